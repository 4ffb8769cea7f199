"""Examples and the four splits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from paretune.core.canonical import JsonValue
from paretune.core.errors import Misconfigured

ExampleId = str


class Split(StrEnum):
    """What an example may be used for. Only `TEST` carries a claim."""

    REFLECT = "reflect"
    PARETO = "pareto"
    SELECT = "select"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Example:
    """One task instance (the wire calls it a seed).

    `split` is its home and part of every rollout key. `data` is what the executor is handed:
    `{"seed": 3}`, a task row of a container, or anything a Python evaluator expects.
    """

    id: ExampleId
    split: Split
    data: Mapping[str, JsonValue] = field(default_factory=dict, compare=False, hash=False)


@dataclass(frozen=True, slots=True)
class Splits:
    """The examples of a run. `reflect` and `pareto` may be the same examples; else all are disjoint."""

    reflect: tuple[Example, ...]
    pareto: tuple[Example, ...]
    select: tuple[Example, ...] = ()
    test: tuple[Example, ...] = ()

    def __post_init__(self) -> None:
        if not self.reflect or not self.pareto:
            raise Misconfigured("evaluation.seeds", "there are no examples to learn from")
        for name in ("reflect", "pareto", "select", "test"):
            _refuse_repeats(name, getattr(self, name))
        self._refuse_wrong_homes()
        train = _ids(self.reflect) | _ids(self.pareto)
        if _ids(self.reflect) != _ids(self.pareto):
            _refuse_overlap("reflect", _ids(self.reflect), "pareto", _ids(self.pareto))
        _refuse_overlap("training", train, "select", _ids(self.select))
        _refuse_overlap("training", train, "test", _ids(self.test))
        _refuse_overlap("select", _ids(self.select), "test", _ids(self.test))

    def _refuse_wrong_homes(self) -> None:
        """An example's own split says where it stands; shared training examples are the same in both."""
        homes = {"select": Split.SELECT, "test": Split.TEST}
        if set(self.reflect) != set(self.pareto):
            homes |= {"reflect": Split.REFLECT, "pareto": Split.PARETO}
        for name, home in homes.items():
            for example in getattr(self, name):
                if example.split is not home:
                    raise Misconfigured(f"split {name}", f"example {example.id!r} is of {example.split}")

    @property
    def shared(self) -> bool:
        """True if the frontier's examples are the ones the proposer sees."""
        return _ids(self.reflect) == _ids(self.pareto)

    def all(self) -> tuple[Example, ...]:
        """Every example once."""
        return tuple(dict.fromkeys((*self.reflect, *self.pareto, *self.select, *self.test)))


def _ids(examples: Iterable[Example]) -> set[ExampleId]:
    return {example.id for example in examples}


def _refuse_repeats(name: str, examples: tuple[Example, ...]) -> None:
    seen: set[ExampleId] = set()
    for example in examples:
        if example.id in seen:
            raise Misconfigured(f"split {name}", f"example {example.id!r} is listed twice")
        seen.add(example.id)


def _refuse_overlap(one: str, first: set[ExampleId], other: str, second: set[ExampleId]) -> None:
    both = sorted(first & second)
    if both:
        shown = ", ".join(both[:10]) + (", ..." if len(both) > 10 else "")
        raise Misconfigured(
            f"splits {one} and {other}", f"they share the examples {shown}; make them disjoint"
        )
