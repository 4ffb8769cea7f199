"""The words that an instruction is asked for with, from what is known of the data and the program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from paretune.propose.base import Grounding, Packet, Scored
from paretune.propose.packet_text import (
    DATA_NOTICE,
    PromptLimits,
    answer_format,
    cut,
    fenced,
    fitted,
    rollouts_told,
    rules_of,
    system_text,
    texts,
    title_of,
    turned_down,
)

GROUNDED_VERSION = 1
"""Part of every such proposal's key: count it up when the words below change."""

TIPS: Mapping[str, str] = MappingProxyType(
    {
        "none": "",
        "plain": "Keep it plain: short sentences, no more of them than the task needs.",
        "thorough": "Be thorough: say how to go about the task, and what to do in the cases that are easily "
        "got wrong.",
        "bold": "Take a way of putting it that nobody has tried here yet.",
        "role": "Begin by saying who the model is: somebody whose daily work is exactly this task.",
        "stakes": "Say what hangs on a right answer, in a situation that fits the task.",
        "checked": "Have the model check its answer against the rules of the task before it gives it.",
    }
)
"""Ways of writing an instruction, by name; each sends the model elsewhere among those that are possible."""

INSTRUCTION = """\
You write the texts that steer a language model on a task. You are shown the current texts, and what is \
known of the task: its data, the program that the texts stand in, solved examples, and texts that were \
measured already with the scores they reached.

Write the complete new text of each component that is to be edited, so that the model solves examples like \
these as well as it can. Say what is given, what is asked for and what a right answer looks like, as far as \
the material shows it; what you cannot see in it, do not make up. Learn from the scores: keep what the \
better texts share, and write none that was measured already. Do not copy examples into the text."""

LOOK = """\
You describe data sets to people who will write instructions for a language model that works on them. Say \
what you see: what an input is and where it may come from, what is asked, what the answers look like and \
which there are, what varies, and what makes some rows hard. Speak of the whole, not of single rows."""

NOTHING_NEW = "NOTHING NEW"

ROW_CHARACTERS, NOTE_CHARACTERS, SUMMARY_CHARACTERS = 1_000, 2_000, 1_200


def render_instruction(
    packet: Packet,
    grounding: Grounding,
    summary: str,
    *,
    metaprompt: str | None = None,
    spec: str = "",
    limits: PromptLimits,
) -> list[dict[str, str]]:
    """The messages that ask for new texts. `summary` is of the grounding's rows; empty parts are left out."""
    system = system_text(metaprompt or INSTRUCTION, spec)
    return fitted(system, lambda within: _sections(packet, grounding, summary, within), limits)


def _sections(packet: Packet, grounding: Grounding, summary: str, limits: PromptLimits) -> Iterator[str]:
    yield from texts(packet)
    for heading, text in (
        ("The data", summary),
        ("The program that the texts stand in", grounding.program),
        ("What the text to be edited does in it", grounding.module),
    ):
        if text.strip():
            yield f"# {heading}\n\n{fenced(cut(text, limits.field))}"
    yield from rollouts_told("Solved examples", "Example", grounding.demonstrations, limits.field)
    failures = [e for e in packet.evidence if not e.perfect]
    yield from rollouts_told("Failures of the current texts", "Failure", failures, limits.field)
    yield from _history(packet, grounding.history, limits.field)
    yield from turned_down(packet, packet.rejected[-limits.tried :], limits.field)
    yield rules_of(packet)
    if tip := tip_text(grounding.tip):
        yield f"# This time\n\n{tip}"
    yield answer_format(packet)


def tip_text(tip: str) -> str:
    """What a tip says: by its name, or as it is given. It comes from us, not from a task."""
    return TIPS.get(tip, tip)


def _history(packet: Packet, history: Sequence[Scored], limit: int) -> Iterator[str]:
    if history:
        yield "# Measured before, best first"
    for number, scored in enumerate(history, 1):
        yield f"## Text {number}: mean score {scored.mean:.4g} on {scored.examples} examples"
        for name in packet.targets:
            text = scored.components.get(name, packet.parent.components[name])
            if text == packet.parent.components[name]:
                yield f"{title_of(packet, name)}: the current text."
            else:
                yield f"{title_of(packet, name)}:\n\n{fenced(cut(text, limit))}"


# -- the data set's summary -----------------------------------------------------------------------


def render_look(rows: Sequence[str], notes: Sequence[str]) -> list[dict[str, str]]:
    """Asks what some rows show that the notes on earlier ones do not say yet."""
    if not notes:
        closing = "Note what you see in two to five sentences."
    else:
        closing = (
            "Note in one to three sentences what these rows show beyond the notes. "
            f"If that is nothing, answer {NOTHING_NEW} and no more."
        )
    return _asked([*_noted(notes), "# Rows", *_rows(rows), f"# Your answer\n\n{closing}"])


def render_summary(rows: Sequence[str], notes: Sequence[str]) -> list[dict[str, str]]:
    """Asks for the summary, of these notes or else of the rows themselves."""
    shown = _noted(notes) if notes else ["# Rows", *_rows(rows)]
    closing = "Sum up the data set in two or three sentences, without any heading or list."
    return _asked([*shown, f"# Your answer\n\n{closing}"])


def _asked(sections: Sequence[str]) -> list[dict[str, str]]:
    system = f"{LOOK}\n\n{DATA_NOTICE}"
    return [{"role": "system", "content": system}, {"role": "user", "content": "\n\n".join(sections)}]


def _noted(notes: Sequence[str]) -> list[str]:
    return [f"# Notes on earlier rows\n\n{fenced(chr(10).join(notes))}"] if notes else []


def _rows(rows: Sequence[str]) -> Iterator[str]:
    for number, row in enumerate(rows, 1):
        yield f"Row {number}:\n\n{fenced(cut(row, ROW_CHARACTERS))}"
