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
    """One candidate's line of squares, one per pareto example, in the order of the split."""

    candidate: str
    index: int
    squares: tuple[Square, ...]
    gained: int
    wins: int
    covered: int


def coverage(view: RunView, perfect: float | None = None) -> list[Strip]:
    """Admitted candidates in order of their first admission; the seed comes first.

    A win is a reward at or above `perfect` (the run's own by default); `covered` counts examples won
    by anybody up to here.
    """
    level = view.run.job["settings"]["perfect"] if perfect is None else perfect
    measured = scores(view, "pareto")
    admitted = [view.rows[candidate] for candidate in _admitted(view)]
    if not admitted:
        return []
    rewards = measured.of([row.id for row in admitted])
    won = rewards >= level
    seen = np.logical_or.accumulate(won, axis=0)
    new = won.copy()
    new[1:] &= ~seen[:-1]
    failed = measured.failed[[measured.row_at[row.id] for row in admitted]]
    kinds = [new, won, ~np.isnan(rewards), failed]
    squares = np.array(SQUARES, object)[np.select(kinds, range(len(kinds)), len(kinds))]
    counts = zip(new.sum(axis=1), won.sum(axis=1), seen.sum(axis=1), strict=True)
    return [
        Strip(row.id, row.index, tuple(line), *map(int, count))
        for row, line, count in zip(admitted, squares.tolist(), counts, strict=True)
    ]


def _admitted(view: RunView) -> list[CandidateId]:
    found = dict.fromkeys(d.candidate for d in view.decisions if isinstance(d, events.CandidateAdmitted))
    return sorted(found, key=lambda candidate: candidate != view.seed.id)
