"""What a demo task is, and how its examples are drawn from wordings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from paretune.core.canonical import stream

Score = Callable[[str, str], tuple[float, str]]
"""(expected answer, model output) -> reward 0.0 or 1.0, and a sentence of feedback."""

Draw = Callable[[Random], str]

COUNTS = {"train": 240, "select": 80, "test": 160}
"""Examples of a demo task, by split."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a prompt; `{text}` in the pattern is where an example's text goes."""

    role: str
    pattern: str


@dataclass(frozen=True, slots=True)
class DemoExample:
    """A text to read and the one right answer."""

    id: str
    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class Fact:
    """The thing asked for: as it stands in the text, and as it should be answered."""

    surface: str
    answer: str


@dataclass(frozen=True, slots=True)
class Material:
    """What the examples of one split are made of; the other split's material shares none of it.

    A wording holds `{fact}` and any of the `slots`, which draw names, places and distractors.
    """

    wordings: tuple[str, ...]
    slots: Mapping[str, Draw]


@dataclass(frozen=True, slots=True)
class DemoTask:
    """Data, score and the prompt a newcomer would start with.

    `train`, `select` and `test` share no wording, no name and no answer: what is chosen on `select` must
    do well on wordings that the search never saw.
    """

    name: str
    description: str
    seed_messages: tuple[Message, ...]
    train: tuple[DemoExample, ...]
    select: tuple[DemoExample, ...]
    test: tuple[DemoExample, ...]
    score: Score


def draw_splits(
    task: str, materials: Mapping[str, Material], fact: Callable[[Random], Fact]
) -> dict[str, tuple[DemoExample, ...]]:
    """Split -> its examples, as many as `COUNTS` says; no answer stands in two splits."""
    splits: dict[str, tuple[DemoExample, ...]] = {}
    for split, material in materials.items():
        avoid = frozenset(example.answer for examples in splits.values() for example in examples)
        splits[split] = _draw(task, split, material, fact, avoid)
    return splits


def _draw(
    task: str, split: str, material: Material, fact: Callable[[Random], Fact], avoid: frozenset[str]
) -> tuple[DemoExample, ...]:
    """Different examples, the wordings in turn, no answer in `avoid`; always the same ones."""
    rng = stream(3, "demo", task, split)
    found: dict[str, DemoExample] = {}
    while len(found) < COUNTS[split]:
        wording = material.wordings[len(found) % len(material.wordings)]
        drawn = fact(rng)
        filled = {name: draw(rng) for name, draw in material.slots.items()}
        text = wording.format(fact=drawn.surface, **filled)
        if drawn.answer not in avoid and text not in found:
            found[text] = DemoExample(f"{task}-{split}-{len(found):03d}", text, drawn.answer)
    return tuple(found.values())


def one_of(*values: str) -> Draw:
    """Draws one of these."""
    return lambda rng: rng.choice(values)


def between(low: int, high: int) -> Draw:
    """Draws a whole number, both ends included."""
    return lambda rng: str(rng.randint(low, high))
