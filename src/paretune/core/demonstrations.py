"""Demonstrations: solved examples that a prompt shows, kept in a component of the candidate as JSON."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from paretune.core.canonical import JsonValue
from paretune.core.example import ExampleId
from paretune.core.placeholders import mentions

COMPONENT = "demonstrations"
"""The name of their component, and of its format."""

NONE = "[]"
"""The text of no demonstrations."""


@dataclass(frozen=True, slots=True)
class Demonstration:
    """One solved example: what is given and the answer to show.

    `input` is a text, or placeholder -> value where the question has several. `example` is the id of the
    training example, empty where it is of nobody's. `source` says whose the output is: the model's own on a
    rollout that passed, or the answer that was expected; it is not written down.
    """

    input: str | Mapping[str, str]
    output: str
    example: ExampleId = ""
    source: Literal["bootstrapped", "labelled"] = field(default="bootstrapped", compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.input, str):
            object.__setattr__(self, "input", dict(self.input))

    def __hash__(self) -> int:
        return hash((self.plain, self.output, self.example))

    @property
    def plain(self) -> str:
        """What is given as one text: several values as `name: value`, a line each."""
        if isinstance(self.input, str):
            return self.input
        return "\n".join(f"{name}: {value}" for name, value in self.input.items())

    def texts(self) -> tuple[str, ...]:
        """All of its texts."""
        given = (self.input,) if isinstance(self.input, str) else tuple(self.input.values())
        return *given, self.output


def component_of(stage: str = "") -> str:
    """The component that holds a stage's demonstrations; without a name, the only stage's."""
    return f"{stage}.{COMPONENT}" if stage else COMPONENT


def stage_of(component: str) -> str:
    """The stage that these demonstrations are of; empty for the only stage's."""
    return component.removesuffix(COMPONENT).removesuffix(".")


def dump(demonstrations: Iterable[Demonstration]) -> str:
    """The component's text. Equal demonstrations have equal texts, which merge and differ by line."""
    return json.dumps([_row(one) for one in demonstrations], ensure_ascii=False, indent=1)


def _row(one: Demonstration) -> dict[str, JsonValue]:
    given = one.input if isinstance(one.input, str) else dict(one.input)
    return {"input": given, "output": one.output} | ({"example": one.example} if one.example else {})


def load(text: str) -> tuple[Demonstration, ...]:
    """The demonstrations in a component's text. Raises ValueError that says what is wrong with it."""
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"demonstrations must be a JSON list: {error}") from None
    if not isinstance(rows, list):
        raise ValueError("demonstrations must be a JSON list")
    return tuple(_demonstration(number, row) for number, row in enumerate(rows, 1))


def _demonstration(number: int, row: Any) -> Demonstration:
    if not isinstance(row, dict) or not {"input", "output"} <= set(row) <= {"input", "output", "example"}:
        raise ValueError(f'demonstration {number} must be {{"input": ..., "output": ...}}')
    given, answer, example = row["input"], row["output"], row.get("example", "")
    values = list(given.values()) if isinstance(given, dict) else [given]
    if not all(isinstance(value, str) for value in [*values, answer, example]):
        raise ValueError(f"demonstration {number} must hold texts")
    if not answer.strip() or not any(value.strip() for value in values):
        raise ValueError(f"demonstration {number} needs an input and an output")
    return Demonstration(given, answer, example)


def usable(one: Demonstration, names: Collection[str]) -> bool:
    """False if a text of it holds `{name}` of one of the prompt's placeholders.

    Whoever fills the prompt would put the question into the demonstration, so such an example is never shown:
    neither chosen, nor let in by the guards, nor sent.
    """
    return not any(mentions(text, names) for text in one.texts())
