"""The coverage strip: which pareto examples each candidate wins, and which it was the first to win."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from paretune.core import events
from paretune.core.candidate import CandidateId
from paretune.views.run_view import RunView
from paretune.views.scores import scores

SQUARES = ("new", "win", "miss", "failed", "not_run")
Square = Literal["new", "win", "miss", "failed", "not_run"]


@dataclass(frozen=True, slots=True)
class Strip:
    """One candidate's line of squares, one per pareto example, in the order of the split. It was scored on
    `measured` of them; `gained` are those that nobody before it had won, `covered` those that it or anybody
    before it won."""

    candidate: str
    index: int
    squares: tuple[Square, ...]
    gained: int
    wins: int
    covered: int
    measured: int


def coverage(view: RunView, perfect: float | None = None) -> list[Strip]:
    """Everybody who was asked a pareto example, in the order in which the run was done with them (see
    `settled`); the seed comes first.

    A win is a reward at or above `perfect` (the run's own by default). Of a candidate that was turned down
    before its full evaluation only what it was asked counts.
    """
    level = view.run.job["settings"]["perfect"] if perfect is None else perfect
    measured = scores(view, "pareto")
    asked = ~np.isnan(measured.rewards) | measured.failed
    seen_at = settled(view)
    rows = [row for row in view.rows.values() if asked[measured.row_at[row.id]].any()]
    if not rows:
        return []
    rows.sort(key=lambda row: (row.id != view.seed.id, seen_at.get(row.id, len(view.decisions)), row.index))
    rewards = measured.of([row.id for row in rows])
    won = rewards >= level
    seen = np.logical_or.accumulate(won, axis=0)
    new = won.copy()
    new[1:] &= ~seen[:-1]
    failed = measured.failed[[measured.row_at[row.id] for row in rows]]
    there = ~np.isnan(rewards)
    kinds = [new, won, there, failed]
    squares = np.array(SQUARES, object)[np.select(kinds, range(len(kinds)), len(kinds))]
    counts = zip(*(each.sum(axis=1).tolist() for each in (new, won, seen, there)), strict=True)
    return [
        Strip(row.id, row.index, tuple(line), *count)
        for row, line, count in zip(rows, squares.tolist(), counts, strict=True)
    ]


def settled(view: RunView) -> dict[CandidateId, int]:
    """Candidate -> place of the decision that the run was done with it by: its first admission; for who was
    never admitted, the last one about it. Who is still under way has none."""
    admitted, turned_down = dict[CandidateId, int](), dict[CandidateId, int]()
    for seq, decision in enumerate(view.decisions):
        match decision:
            case events.CandidateAdmitted():
                admitted.setdefault(decision.candidate, seq)
            case events.GateDecided() | events.EvaluationDeferred():
                turned_down[decision.child] = seq
            case events.RungEnded() | events.ValidationEnded():
                turned_down[decision.candidate] = seq
            case events.HeadMoved():
                turned_down[decision.head] = seq
            case _:
                pass
    return turned_down | admitted
