"""Wall clock where calls take time: paretune and gepa on the same worlds, rollouts and reflections asleep.

Driven by `speed.py wall`. Both take a minibatch of 4 and 2,000 rollouts, 32 in flight; paretune once more
with 64, which must not make it pass its budget, and once with a budget of 800.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

from benchmarks import ours
from benchmarks.landscapes import load
from benchmarks.result import Result

SIZES = {"n_train": 56, "n_val": 56}
BUDGET, MINIBATCH, IN_FLIGHT = 2_000, 4, 32
SHORT = 800
"""A budget with which a whole run is to end before that of `FASTEST`, and better."""
FORMS = ("default", "pxn4x4", "independent8")
GOAL, FASTEST = "gepa default", "gepa pxn4x4"


class Level(NamedTuple):
    """The incumbent's means from this second on."""

    seconds: float
    validation: float
    held_out: float


@dataclass(frozen=True, slots=True)
class Timed:
    """One run. Times in seconds; `rollouts` were counted by the world, `utilization` is of all slots.

    `reaches`: when the incumbent's validation mean was first what `GOAL` ends with on the same world;
    `reaches_share` is that by the goal's wall clock, `to_fastest` this wall clock by that of `FASTEST`, and
    `overtakes` when the incumbent was first better on held-out examples than that ends.
    """

    name: str
    world: int
    in_flight: int
    budget: int
    wall: float
    utilization: float
    rollouts: int
    in_budget: bool
    validation: float
    held_out: float
    reaches: float | None = None
    reaches_share: float | None = None
    to_fastest: float | None = None
    overtakes: float | None = None

    def beside(self, rivals: Mapping[str, Timed], levels: Sequence[Level]) -> Timed:
        """Held against gepa."""
        goal, fastest = rivals[GOAL], rivals[FASTEST]
        reaches = next((one.seconds for one in levels if one.validation >= goal.validation - 1e-9), None)
        overtakes = next((one.seconds for one in levels if one.held_out > fastest.held_out), None)
        return replace(
            self,
            reaches=reaches,
            reaches_share=None if reaches is None else reaches / goal.wall,
            to_fastest=self.wall / fastest.wall,
            overtakes=overtakes,
        )


@dataclass(frozen=True, slots=True)
class Course:
    """A world that all run on, each on a fresh copy; `settings` are the world's."""

    landscape: str
    seed: int
    settings: Mapping[str, Any] = field(default_factory=lambda: SIZES)

    def runs(self, modes: Iterable[str]) -> Iterator[Timed]:
        """gepa's first: what the others are held against."""
        from benchmarks import theirs  # here, because gepa need not be installed

        done = []
        for form in FORMS:
            arguments = {**theirs.FORMS[form], "reflection_minibatch_size": MINIBATCH}
            done.append(self._timed(f"gepa {form}", partial(theirs.run, form=arguments)))
        rivals = {timed.name: timed for timed, _ in done}
        yield from (timed.beside(rivals, levels) for timed, levels in done)
        for mode in modes:
            given = replace(ours.MODES[mode], minibatch_size=MINIBATCH)
            for in_flight, budget in ((IN_FLIGHT, BUDGET), (2 * IN_FLIGHT, BUDGET), (IN_FLIGHT, SHORT)):
                run = partial(ours.run, settings=given)
                timed, levels = self._timed(f"paretune {mode}", run, in_flight, budget)
                yield timed.beside(rivals, levels)

    def _timed(
        self, name: str, run: Callable[..., Result], in_flight: int = IN_FLIGHT, budget: int = BUDGET
    ) -> tuple[Timed, list[Level]]:
        """The run, and its curve."""
        module = load(self.landscape)
        world, measure = (module.World(seed=self.seed, **self.settings) for _ in range(2))
        found = run(
            world=world,
            reflection_lm=module.ReflectionLM(world),
            budget=budget,
            concurrency=in_flight,
            sleep=True,
            seed=self.seed,
        )
        told = world.stats(found.wall, in_flight)
        made, best = int(told["rollouts"]), dict(found.best)
        timed = Timed(
            name=name,
            world=self.seed,
            in_flight=in_flight,
            budget=budget,
            wall=found.wall,
            utilization=told["utilization"],
            rollouts=made,
            in_budget=made <= budget,
            validation=measure.true_score(best, "val"),
            held_out=measure.true_score(best, "test"),
        )
        curve = [(point.seconds, dict(point.texts)) for point in found.curve]
        score = measure.true_score
        return timed, [Level(at, score(texts, "val"), score(texts, "test")) for at, texts in curve]


COLUMNS: Mapping[str, tuple[str, str]] = {
    "wall": ("wall s", ".2f"),
    "utilization": ("utilization", ".3f"),
    "rollouts": ("rollouts", ",.0f"),
    "validation": ("validation", ".3f"),
    "held_out": ("held-out", ".3f"),
    "reaches": (f"reaches {GOAL} after s", ".2f"),
    "reaches_share": ("share of its wall", ".3f"),
    "to_fastest": (f"wall to {FASTEST}", ".2f"),
    "overtakes": (f"better held-out than {FASTEST} after s", ".2f"),
}


def medians(timed: Sequence[Timed]) -> list[dict[str, Any]]:
    """A row for each mode, width and budget.

    Never reaching the goal counts as infinite; None if the median is.
    """
    rows = []
    for kind in dict.fromkeys((t.name, t.in_flight, t.budget) for t in timed):
        own = [t for t in timed if (t.name, t.in_flight, t.budget) == kind]
        row: dict[str, Any] = dict(zip(("name", "in_flight", "budget"), kind, strict=True))
        for column in COLUMNS:
            values = [getattr(t, column) for t in own]
            middle = statistics.median(float("inf") if v is None else v for v in values)
            row[column] = None if middle == float("inf") else middle
        row["in_budget"] = f"{sum(t.in_budget for t in own)}/{len(own)}"
        rows.append(row)
    return rows


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Markdown."""
    heads = ["", "in flight", "budget", *(head for head, _ in COLUMNS.values()), "in budget"]
    lines = [heads, ["---"] * len(heads)]
    for row in rows:
        cells = [
            "never" if row[name] is None else format(row[name], form) for name, (_, form) in COLUMNS.items()
        ]
        lines.append([row["name"], str(row["in_flight"]), f"{row['budget']:,}", *cells, row["in_budget"]])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
