"""The list of runs: one line each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paretune.console.source import Source
from paretune.core.errors import ParetuneError
from paretune.store import Run
from paretune.views.lift import Lift, lift_on
from paretune.views.run_view import RunView


@dataclass(frozen=True, slots=True)
class Line:
    """`lift` is the best against the seed, on the untouched split if there is one. `trouble`: why nothing
    more is known of it."""

    run: Run
    state: str
    best: float | None = None
    lift: Lift | None = None
    rollouts: int = 0
    cap: int | None = None
    usd: float = 0.0
    usd_cap: float | None = None
    seconds: float = 0.0
    left: float | None = None
    failures: int = 0
    trouble: str = ""


def lines(source: Source) -> Sequence[Line]:
    return [_line(source, run) for run in source.runs()]


def _line(source: Source, run: Run) -> Line:
    try:
        return _told(source.view(run.id), source.state(run))
    except ParetuneError as error:
        return Line(run, run.status, trouble=str(error))


def _told(view: RunView, state: str) -> Line:
    best, limits = view.best, view.ledger.limits
    lifts = (lift_on(view, best, "best", split) for split in ("test", "select", "pareto")) if best else ()
    left = view.outlook.seconds_left if state == "running" else None
    return Line(
        view.run,
        state,
        best=best.mean if best else None,
        lift=next((lift for lift in lifts if lift), None),
        rollouts=len(view.ledger.drawn),
        cap=limits.rollouts,
        usd=view.ledger.cost_usd,
        usd_cap=limits.cost_usd,
        seconds=view.elapsed,
        left=left.likely if left else None,
        failures=len(view.failures),
    )
