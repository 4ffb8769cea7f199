"""The adaptive pool over time, and what it spared."""

from __future__ import annotations

from dataclasses import dataclass

from paretune.core import events
from paretune.views.run_view import RunView


@dataclass(frozen=True, slots=True)
class PoolChange:
    """The pool from this decision on; `elapsed` are active seconds of the run."""

    seq: int
    step: int
    elapsed: float
    size: int
    anchors: int
    heated: int
    reason: str


@dataclass(frozen=True, slots=True)
class PoolCourse:
    """`judged` candidates were compared on a pool, `completed` of them measured on all pareto examples in the
    end; the others' `spared` rollouts were not asked for."""

    changes: tuple[PoolChange, ...]
    judged: int
    completed: int
    spared: int

    @property
    def told(self) -> str:
        first, last = self.changes[0].size, self.changes[-1].size
        pool = f"a pool of {first} examples" + (f", {last} in the end" if last != first else "")
        return (
            f"{pool}: {self.judged} candidates compared on it, {self.completed} measured on all, "
            f"{self.spared} rollouts not asked for"
        )


def pool_course(view: RunView) -> PoolCourse | None:
    """None where every candidate was measured on everything."""
    changes = tuple(
        PoolChange(
            seq,
            made.step,
            view.moments[seq].elapsed,
            made.size,
            len(made.anchors),
            len(made.heated),
            made.reason,
        )
        for seq, made in enumerate(view.decisions)
        if isinstance(made, events.PoolChanged)
    )
    if not changes:
        return None
    left: dict[str, int] = {}
    for made in view.decisions:
        if isinstance(made, events.PoolJudged):
            left[made.candidate] = 0 if made.completed else made.wanted - made.measured
    return PoolCourse(changes, len(left), sum(not rest for rest in left.values()), sum(left.values()))
