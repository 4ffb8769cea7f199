"""The Pareto frontier, kept incrementally: per example, per objective, both, or per pair of the two."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Mapping
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
    by_example: dict[Cell, float] = {("example", example): reward for example, reward in rewards.items()}
    if kind is FrontierType.INSTANCE:
        return by_example
    named = {
        example: dict((objectives or {}).get(example) or {"reward": rewards[example]}) for example in rewards
    }
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
class _Line:
    """What is kept of a candidate: its scores by the number of the cell (NaN: not measured), their mean, and
    the cells that it holds, a bit for each number."""

    scores: array[float]
    mean: float
    held: int = 0


@dataclass(slots=True)
class Frontier:
    """Cell -> all candidates that share its best measured score.

    `epsilon`: two scores closer than this tie. Admission costs one pass over the candidate's cells.
    Candidates are kept in order of admission, so nothing depends on hash order.
    """

    epsilon: float = 1e-6
    _numbers: dict[Cell, int] = field(default_factory=dict)
    _fronts: dict[Cell, _Front] = field(default_factory=dict)
    _lines: dict[CandidateId, _Line] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._lines)

    def admit(self, candidate: CandidateId, measured: Mapping[Cell, float]) -> list[Cell]:
        """Add a candidate; returns the cells that it alone now leads (strictly better than before)."""
        if candidate in self._lines:
            raise ValueError(f"{candidate} is already on record")
        if not all(map(math.isfinite, measured.values())):
            unmeasured = next(cell for cell, score in measured.items() if not math.isfinite(score))
            raise ValueError(f"cell {unmeasured} of {candidate} holds no number: leave it out")
        numbers = self._numbers
        for cell in measured:
            if cell not in numbers:
                numbers[cell] = len(numbers)
        scores = array("d", [math.nan]) * len(numbers)
        for cell, score in measured.items():
            scores[numbers[cell]] = score
        mean = sum(measured.values()) / len(measured) if measured else 0.0
        self._lines[candidate] = _Line(scores, mean)
        return [cell for cell, score in measured.items() if self._place(candidate, cell, score)]

    def _place(self, candidate: CandidateId, cell: Cell, score: float) -> bool:
        front = self._fronts.get(cell)
        if front is not None and score < front.best - self.epsilon:
            return False
        bit = 1 << self._numbers[cell]
        self._lines[candidate].held |= bit
        if front is None or front.best < score - self.epsilon:
            for holder in front.holders if front else ():
                self._lines[holder].held ^= bit
            if front is None:
                self._fronts[cell] = _Front(score, [candidate])
                return False
            front.best, front.holders = score, [candidate]
            return True
        front.holders.append(candidate)
        if score > front.best:
            front.best = score
            self._drop_left_behind(cell, front)
        return False

    def _drop_left_behind(self, cell: Cell, front: _Front) -> None:
        """Ties are with the best, not with each other: small steps must not carry old holders along."""
        number = self._numbers[cell]
        left = [h for h in front.holders if self._lines[h].scores[number] < front.best - self.epsilon]
        for holder in left:
            front.holders.remove(holder)
            self._lines[holder].held ^= 1 << number

    def retire(self, candidate: CandidateId) -> None:
        """Forget a candidate; the cells that it alone held go to the next best measured score."""
        line = self._lines.pop(candidate)
        for cell, number in self._numbers.items():
            if line.held >> number & 1:
                self._leave(candidate, cell, number)

    def _leave(self, candidate: CandidateId, cell: Cell, number: int) -> None:
        front = self._fronts[cell]
        front.holders.remove(candidate)
        if any(self._lines[holder].scores[number] == front.best for holder in front.holders):
            return  # the best score stays, and so does who ties with it
        del self._fronts[cell]
        for holder in front.holders:
            self._lines[holder].held ^= 1 << number
        for other, line in self._lines.items():
            if number < len(line.scores) and not math.isnan(line.scores[number]):
                self._place(other, cell, line.scores[number])

    @property
    def candidates(self) -> list[CandidateId]:
        """All candidates on record, in order of admission."""
        return list(self._lines)

    def holders(self) -> dict[Cell, list[CandidateId]]:
        """Cell -> its co-winners, in order of admission."""
        return {cell: list(front.holders) for cell, front in self._fronts.items()}

    def best_scores(self) -> dict[Cell, float]:
        """Cell -> the best measured score."""
        return {cell: front.best for cell, front in self._fronts.items()}

    def scores(self, candidate: CandidateId) -> dict[Cell, float]:
        """The measured cells of one candidate."""
        scores = self._lines[candidate].scores
        return {cell: s for cell, s in zip(self._numbers, scores, strict=False) if not math.isnan(s)}

    def wins(self, candidate: CandidateId) -> int:
        """How many cells this candidate holds, alone or shared."""
        return self._lines[candidate].held.bit_count()

    def coverage(self, perfect: float) -> int:
        """How many cells are won at or above `perfect` by anybody."""
        return sum(front.best >= perfect - self.epsilon for front in self._fronts.values())

    def frequencies(self) -> dict[CandidateId, int]:
        """Cells held by each candidate that is not dominated (GEPA paper, algorithm 2).

        A candidate is dominated when every cell it holds is also held by a candidate that stays.
        Removal goes from the lowest mean measured score up, as in gepa 0.1.4.
        """
        holding = {c: line for c, line in self._lines.items() if line.held}
        order = sorted(holding, key=lambda c: holding[c].mean)
        above, higher = list[int](), 0  # the cells held by those with a higher mean, from the highest down
        for candidate in reversed(order):
            above.append(higher)
            higher |= holding[candidate].held
        stays, kept = set[CandidateId](), 0
        for candidate, higher in zip(order, reversed(above), strict=True):
            if holding[candidate].held & ~(kept | higher):
                stays.add(candidate)
                kept |= holding[candidate].held
        return {c: line.held.bit_count() for c, line in holding.items() if c in stays}


def choose_parent(
    frequencies: Mapping[CandidateId, float], rng: random.Random, pressure: float = 1.0
) -> CandidateId:
    """A frontier member, with probability proportional to (cells held) ** pressure.

    `pressure` 1 is the paper, 0 is uniform. Raises ValueError on an empty frontier.
    """
    if not frequencies:
        raise ValueError("the frontier is empty: nothing was measured")
    members = list(frequencies)
    return rng.choices(members, weights=[frequencies[m] ** pressure for m in members])[0]
