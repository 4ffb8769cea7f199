"""The coverage strip: which pareto examples each candidate wins, and which it was the first to win."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from paretune.core.frontier import coverage_by_candidate
from paretune.views.run_view import RunView

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
    """Admitted candidates in order of admission.

    A win is a reward at or above `perfect` (the run's own by default); `covered` counts examples won
    by anybody up to here.
    """
    level = view.run.job["settings"]["perfect"] if perfect is None else perfect
    examples = view.splits["pareto"]
    admitted = [row for row in view.rows.values() if row.mean is not None]
    rewards = {row.id: view.rewards(row.id, "pareto") for row in admitted}
    wins = {row.id: [e for e in examples if rewards[row.id].get(e, level - 1) >= level] for row in admitted}
    counts = coverage_by_candidate([row.id for row in admitted], wins)
    failed = {(failure.key.candidate, failure.example) for failure in view.failures}
    strips, seen = [], set[str]()
    for row in admitted:
        won = set(wins[row.id])
        squares: list[Square] = []
        for example in examples:
            if example in won:
                squares.append("win" if example in seen else "new")
            elif example in rewards[row.id]:
                squares.append("miss")
            else:
                squares.append("failed" if (row.id, example) in failed else "not_run")
        seen |= won
        strips.append(Strip(row.id, row.index, tuple(squares), *counts[row.id]))
    return strips
