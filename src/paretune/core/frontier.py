"""The Pareto frontier, kept incrementally: per example, per objective, both, or per pair of the two."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from paretune.core.candidate import CandidateId
from paretune.core.example import ExampleId

Cell = tuple[str, ...]
"""`("example", id)`, `("objective", name)` or `("pair", id, name)`."""


class FrontierType(StrEnum):
    """Which cells there are (GEPA's `frontier_type`)."""

    INSTANCE = "instance"
    OBJECTIVE = "objective"
    HYBRID = "hybrid"
    CARTESIAN = "cartesian"


def cells(
    kind: FrontierType,
    rewards: Mapping[ExampleId, float],
    objectives: Mapping[ExampleId, Mapping[str, float]] | None = None,
) -> dict[Cell, float]:
    """The cells of one candidate from what was measured; nothing is filled in.

    `rewards` maps examples to rewards, `objectives` examples to named rewards. Without named
    objectives the reward is the one objective, called `reward`.
    """
    named = {
        example: dict((objectives or {}).get(example) or {"reward": rewards[example]}) for example in rewards
    }
    by_example: dict[Cell, float] = {("example", example): reward for example, reward in rewards.items()}
    if kind is FrontierType.INSTANCE:
        return by_example
    if kind is FrontierType.CARTESIAN:
        return {("pair", e, name): value for e, values in named.items() for name, value in values.items()}
    columns: dict[str, list[float]] = {}
    for values in named.values():
        for name, value in values.items():
            columns.setdefault(name, []).append(value)
    by_objective: dict[Cell, float] = {
        ("objective", name): sum(column) / len(column) for name, column in sorted(columns.items())
    }
    return by_objective if kind is FrontierType.OBJECTIVE else by_example | by_objective


@dataclass(slots=True)
class _Front:
    best: float
    holders: list[CandidateId]


@dataclass(slots=True)
class Frontier:
    """Cell -> all candidates that share its best measured score.

    `epsilon`: two scores closer than this tie. Admission costs one pass over the candidate's cells.
    Candidates are kept in order of admission, so nothing depends on hash order.
    """

    epsilon: float = 1e-6
    _fronts: dict[Cell, _Front] = field(default_factory=dict)
    _scores: dict[CandidateId, dict[Cell, float]] = field(default_factory=dict)
    _held: dict[CandidateId, int] = field(default_factory=dict)

    def admit(self, candidate: CandidateId, measured: Mapping[Cell, float]) -> list[Cell]:
        """Add a candidate; returns the cells that it alone now leads (strictly better than before)."""
        if candidate in self._scores:
            raise ValueError(f"{candidate} is already on record")
        unmeasured = [cell for cell, score in measured.items() if not math.isfinite(score)]
        if unmeasured:
            raise ValueError(f"cell {unmeasured[0]} of {candidate} holds no number: leave it out")
        self._scores[candidate] = dict(measured)
        self._held[candidate] = 0
        gained = []
        for cell, score in measured.items():
            if self._place(candidate, cell, score):
                gained.append(cell)
        return gained

    def _place(self, candidate: CandidateId, cell: Cell, score: float) -> bool:
        front = self._fronts.get(cell)
        if front is not None and score < front.best - self.epsilon:
            return False
        if front is None or front.best < score - self.epsilon:
            for holder in front.holders if front else ():
                self._held[holder] -= 1
            self._fronts[cell] = _Front(score, [candidate])
            self._held[candidate] += 1
            return front is not None
        front.holders.append(candidate)
        self._held[candidate] += 1
        if score > front.best:
            front.best = score
            self._drop_left_behind(cell, front)
        return False

    def _drop_left_behind(self, cell: Cell, front: _Front) -> None:
        """Ties are with the best, not with each other: small steps must not carry old holders along."""
        left = [h for h in front.holders if self._scores[h][cell] < front.best - self.epsilon]
        for holder in left:
            front.holders.remove(holder)
            self._held[holder] -= 1

    def retire(self, candidate: CandidateId) -> None:
        """Forget a candidate; the cells that it alone held go to the next best measured score."""
        measured = self._scores.pop(candidate)
        del self._held[candidate]
        for cell in measured:
            front = self._fronts[cell]
            if candidate not in front.holders:
                continue
            del self._fronts[cell]
            for holder in front.holders:
                if holder != candidate:
                    self._held[holder] -= 1
            for other, scores in self._scores.items():
                if cell in scores:
                    self._place(other, cell, scores[cell])

    @property
    def candidates(self) -> list[CandidateId]:
        """All candidates on record, in order of admission."""
        return list(self._scores)

    def holders(self) -> dict[Cell, list[CandidateId]]:
        """Cell -> its co-winners, in order of admission."""
        return {cell: list(front.holders) for cell, front in self._fronts.items()}

    def best_scores(self) -> dict[Cell, float]:
        """Cell -> the best measured score."""
        return {cell: front.best for cell, front in self._fronts.items()}

    def scores(self, candidate: CandidateId) -> dict[Cell, float]:
        """The measured cells of one candidate."""
        return dict(self._scores[candidate])

    def wins(self, candidate: CandidateId) -> int:
        """How many cells this candidate holds, alone or shared."""
        return self._held[candidate]

    def coverage(self, perfect: float) -> int:
        """How many cells are won at or above `perfect` by anybody."""
        return sum(front.best >= perfect - self.epsilon for front in self._fronts.values())

    def frequencies(self) -> dict[CandidateId, int]:
        """Cells held by each candidate that is not dominated (GEPA paper, algorithm 2).

        A candidate is dominated when every cell it holds is also held by a candidate that stays.
        Removal goes from the lowest mean measured score up, as in gepa 0.1.4.
        """
        left: dict[Cell, int] = {}
        cells_of: dict[CandidateId, list[Cell]] = {c: [] for c, n in self._held.items() if n}
        for cell, front in self._fronts.items():
            left[cell] = len(front.holders)
            for holder in front.holders:
                cells_of[holder].append(cell)
        order = sorted(cells_of, key=self._mean)
        for candidate in order:
            if all(left[cell] > 1 for cell in cells_of[candidate]):
                for cell in cells_of.pop(candidate):
                    left[cell] -= 1
        return {c: len(cells_of[c]) for c in self._scores if c in cells_of}

    def _mean(self, candidate: CandidateId) -> float:
        measured = self._scores[candidate]
        return sum(measured.values()) / len(measured)


def choose_parent(
    frequencies: Mapping[CandidateId, int], rng: random.Random, pressure: float = 1.0
) -> CandidateId:
    """A frontier member, with probability proportional to (cells held) ** pressure.

    `pressure` 1 is the paper, 0 is uniform. Raises ValueError on an empty frontier.
    """
    if not frequencies:
        raise ValueError("the frontier is empty: nothing was measured")
    members = list(frequencies)
    return rng.choices(members, weights=[frequencies[m] ** pressure for m in members])[0]


def coverage_by_candidate(
    order: Iterable[CandidateId], wins: Mapping[CandidateId, Iterable[ExampleId]]
) -> dict[CandidateId, tuple[int, int, int]]:
    """(newly covered examples, wins, covered so far) for each candidate, in the given order."""
    covered: set[ExampleId] = set()
    table = {}
    for candidate in order:
        won = set(wins.get(candidate, ()))
        new = won - covered
        covered |= won
        table[candidate] = (len(new), len(won), len(covered))
    return table
