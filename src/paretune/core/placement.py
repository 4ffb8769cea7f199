"""Where demonstrations stand in a prompt: as turns of the conversation, or as text in a component."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from paretune.core.demonstrations import Demonstration, load, stage_of, usable
from paretune.core.placeholders import filled, placeholders


class Placement(StrEnum):
    """`messages`: turns of user and assistant before the question. `text`: behind the instructions."""

    MESSAGES = "messages"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Turn:
    """One message as it is sent. `name` is its component, or names a demonstration."""

    role: str
    name: str
    text: str


def as_messages(
    messages: Sequence[tuple[str, str]], components: Mapping[str, str], demonstrations: Collection[str]
) -> list[Turn]:
    """The conversation: `messages` are (component, role) in order, `demonstrations` components among all.

    Demonstrations stand just before the message that puts the question: the last one (of their stage) that
    has placeholders; without one, behind all. Raises ValueError where a component is none of that form.
    """
    plain = [(name, role) for name, role in messages if name not in demonstrations]
    turns = [Turn(role, name, components[name]) for name, role in plain]
    for component in demonstrations:
        at = _question(component, turns)
        pattern = turns[at].text if at < len(turns) else ""
        shown = _usable(load(components[component]), [components[name] for name, _ in plain])
        turns[at:at] = _conversation(component, pattern, shown)
    return turns


def as_text(components: Mapping[str, str], hosts: Mapping[str, str]) -> dict[str, str]:
    """The components without demonstrations, which stand as text in their hosts (component -> host).

    Raises ValueError where a component is none of that form.
    """
    texts = {name: text for name, text in components.items() if name not in hosts}
    patterns = list(texts.values())
    for component, host in hosts.items():
        shown = _usable(load(components[component]), patterns)
        texts[host] = with_demonstrations(texts[host], shown)
    return texts


def with_demonstrations(text: str, demonstrations: Sequence[Demonstration]) -> str:
    """The text with solved examples behind it; before the line of its first placeholder, if it has any."""
    if not demonstrations:
        return text
    shown = "\n\n".join(f"Input: {one.plain}\nOutput: {one.output}" for one in demonstrations)
    block = f"Solved examples:\n\n{shown}"
    lines = text.split("\n")
    at = next((n for n, line in enumerate(lines) if placeholders(line)), len(lines))
    parts = ["\n".join(lines[:at]).rstrip(), block, "\n".join(lines[at:])]
    return "\n\n".join(part for part in parts if part)


def host_of(component: str, texts: Mapping[str, str]) -> str:
    """The component with the instructions: the first (of the stage) without placeholders, else the first."""
    stage = stage_of(component)
    own = [name for name in texts if _of_stage(name, stage)] or list(texts)
    return next((name for name in own if not placeholders(texts[name])), own[0])


def _question(component: str, turns: Sequence[Turn]) -> int:
    """The place of the question, or the one behind all."""
    stage = stage_of(component)
    asking = [place for place, turn in enumerate(turns) if placeholders(turn.text)]
    own = [place for place in asking if _of_stage(turns[place].name, stage)]
    return max(own or asking, default=len(turns))


def _of_stage(name: str, stage: str) -> bool:
    return not stage or name == stage or name.startswith(f"{stage}.")


def _usable(demonstrations: Iterable[Demonstration], patterns: Iterable[str]) -> list[Demonstration]:
    names = {name for pattern in patterns for name in placeholders(pattern)}
    return [one for one in demonstrations if usable(one, names)]


def _conversation(component: str, pattern: str, shown: Iterable[Demonstration]) -> Iterator[Turn]:
    for number, one in enumerate(shown, 1):
        yield Turn("user", f"{component}.{number}.input", asked(pattern, one))
        yield Turn("assistant", f"{component}.{number}.output", one.output)


def asked(pattern: str, one: Demonstration) -> str:
    """The question as it would have been put for this example; what is given alone where it does not fit."""
    names = placeholders(pattern)
    if isinstance(one.input, str):
        return filled(pattern, {names[0]: one.input}) if len(names) == 1 else one.input
    fits = bool(names) and set(names) <= set(one.input)
    return filled(pattern, one.input) if fits else one.plain
