"""First rewards of all candidates on one split as an array: what pages count, compare and draw."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from paretune.core.candidate import CandidateId
from paretune.core.example import ExampleId
from paretune.views.run_view import RunView

KEPT = 6


@dataclass(frozen=True, slots=True)
class Scores:
    """`rewards` is candidates x examples, float64, NaN where there is none; `failed` bool of the same shape.

    Candidates are in order of appearance, examples in that of the split.
    """

    examples: Sequence[ExampleId]
    row_at: Mapping[CandidateId, int]
    rewards: np.ndarray
    failed: np.ndarray

    def of(self, candidates: Sequence[CandidateId]) -> np.ndarray:
        """The rewards of these, row by row."""
        rewards: np.ndarray = self.rewards[[self.row_at[candidate] for candidate in candidates]]
        return rewards


def scores(view: RunView, split: str) -> Scores:
    """Made once for the views that were asked last: a page needs them several times."""
    for known, name, found in list(_kept):
        if known is view and name == split:
            return found
    made = _made(view, split)
    _kept.append((view, split, made))
    return made


_kept: deque[tuple[RunView, str, Scores]] = deque(maxlen=KEPT)


def _made(view: RunView, split: str) -> Scores:
    examples = view.splits[split]
    row_at = {candidate: at for at, candidate in enumerate(view.rows)}
    column_at = {example: at for at, example in enumerate(examples)}
    width = len(examples)
    places: list[int] = []
    rewards: list[float] = []
    for cell in view.rollouts:
        candidate, example, replicate = cell
        column = column_at.get(example)
        if column is not None and not replicate and candidate in row_at:
            places.append(row_at[candidate] * width + column)
            rewards.append(view.rollouts.reward(cell) or 0.0)
    found = np.full(len(row_at) * width, np.nan)
    found[places] = rewards
    failed = np.zeros((len(row_at), width), bool)
    for failure in view.failures:
        at, column = row_at.get(failure.key.candidate), column_at.get(failure.example)
        if at is not None and column is not None and not failure.key.replicate:
            failed[at, column] = True
    return Scores(examples, row_at, found.reshape(len(row_at), width), failed)
