"""Candidates against examples, a byte for each cell: as many as there are fit into a page."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paretune.core.example import ExampleId
from paretune.views.coverage import Strip
from paretune.views.run_view import Row, RunView
from paretune.views.scores import scores

FAILED, NOT_RUN = 254, 255
"""Cells without a reward."""
LEVELS = 250
"""Of more distinct rewards than this, cells hold the nearest of so many steps from lowest to highest."""
KINDS = ("new", "win", "miss")


@dataclass(frozen=True, slots=True)
class Grid:
    """`cells` is candidates x examples, uint8: an index into `values` (rewards, rising; for coverage, into
    `KINDS`), FAILED or NOT_RUN. `order` are places of examples, where candidates disagree most first.
    `exact`: the values are the rewards themselves."""

    rows: Sequence[Row]
    examples: Sequence[ExampleId]
    cells: np.ndarray
    values: Sequence[float]
    order: Sequence[int]
    exact: bool = True

    @property
    def packed(self) -> str:
        """The cells row by row, deflated (zlib), in base64."""
        return base64.b64encode(zlib.compress(self.cells.tobytes(), 6)).decode("ascii")


def grid(view: RunView, split: str) -> Grid:
    """All candidates with a rollout on this split, in order of appearance, against all its examples. First
    draws only."""
    measured = scores(view, split)
    cells = np.where(measured.failed, FAILED, NOT_RUN).astype(np.uint8)
    _, columns = there = np.nonzero(~np.isnan(measured.rewards))
    rewards = measured.rewards[there]
    values, cells[there], exact = _steps(rewards)
    asked = (cells != NOT_RUN).any(axis=1)
    order = _by_disagreement(columns, rewards, len(measured.examples))
    shown = [row for row, was in zip(view.rows.values(), asked, strict=True) if was]
    return Grid(shown, measured.examples, cells[asked], values, order, exact)


def coverage_grid(view: RunView, strips: Sequence[Strip]) -> Grid:
    """The squares of these strips."""
    codes = {kind: code for code, kind in enumerate(KINDS)} | {"failed": FAILED, "not_run": NOT_RUN}
    examples = view.splits["pareto"]
    cells = np.array([[*map(codes.__getitem__, strip.squares)] for strip in strips], np.uint8)
    cells = cells.reshape(len(strips), len(examples))
    wins = (cells <= KINDS.index("win")).mean(axis=0) if len(strips) else np.zeros(len(examples))
    order = np.argsort(np.abs(wins - 0.5), kind="stable").tolist()
    return Grid([view.rows[s.candidate] for s in strips], examples, cells, (), order)


def _steps(rewards: np.ndarray) -> tuple[list[float], np.ndarray, bool]:
    """The values that cells can have, and which of them each reward is."""
    values, steps = np.unique(rewards, return_inverse=True)
    if len(values) <= LEVELS:
        return values.tolist(), steps.astype(np.uint8), True
    low, high = float(values[0]), float(values[-1])
    steps = np.rint((rewards - low) / (high - low) * (LEVELS - 1)).astype(np.uint8)
    return np.linspace(low, high, LEVELS).tolist(), steps, False


def _by_disagreement(columns: np.ndarray, rewards: np.ndarray, examples: int) -> list[int]:
    """By the variance of rewards, those with the most first; then in their own order."""
    counts = np.maximum(np.bincount(columns, minlength=examples), 1)
    means = np.bincount(columns, rewards, examples) / counts
    variance = np.bincount(columns, (rewards - means[columns]) ** 2, examples) / counts
    found: list[int] = np.argsort(-np.round(variance, 9), kind="stable").tolist()
    return found
