"""Which candidate of the pool to improve next.

The same seed draws the same candidates in every process: fronts are sets of indices, so nothing is drawn
before they are sorted.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from paretune.core.errors import Misconfigured

if TYPE_CHECKING:
    from paretune.library.state import GEPAState


@runtime_checkable
class CandidateSelector(Protocol):
    """Chooses a parent."""

    def select_candidate_idx(self, state: GEPAState[Any, Any]) -> int:
        """An index into `state.program_candidates`."""
        ...


class ParetoCandidateSelector(CandidateSelector):
    """A candidate that no others make superfluous, drawn by the number of fronts that it is on."""

    def __init__(self, rng: random.Random | None = None) -> None:
        self.rng = rng or random.Random(0)

    def select_candidate_idx(self, state: GEPAState[Any, Any]) -> int:
        return draw(state.get_pareto_front_mapping(), state.per_program_tracked_scores, self.rng)


class CurrentBestCandidateSelector(CandidateSelector):
    """The candidate with the best validation mean; of equals the oldest."""

    def select_candidate_idx(self, state: GEPAState[Any, Any]) -> int:
        return best(state.program_full_scores_val_set)


class EpsilonGreedyCandidateSelector(CandidateSelector):
    """Any candidate with probability `epsilon`, otherwise the best. Raises Misconfigured."""

    def __init__(self, epsilon: float, rng: random.Random | None = None) -> None:
        if not 0.0 <= epsilon <= 1.0:
            raise Misconfigured("epsilon", f"is a probability, from 0 to 1, not {epsilon!r}")
        self.epsilon = epsilon
        self.rng = rng or random.Random(0)

    def select_candidate_idx(self, state: GEPAState[Any, Any]) -> int:
        if self.rng.random() < self.epsilon:
            return self.rng.randrange(len(state.program_candidates))
        return best(state.program_full_scores_val_set)


class TopKParetoCandidateSelector(CandidateSelector):
    """As the Pareto selector, among the `k` candidates with the best means. Raises Misconfigured."""

    def __init__(self, k: int, rng: random.Random | None = None) -> None:
        if k < 1:
            raise Misconfigured("k", f"must be 1 or more, not {k!r}")
        self.k = k
        self.rng = rng or random.Random(0)

    def select_candidate_idx(self, state: GEPAState[Any, Any]) -> int:
        scores = state.per_program_tracked_scores
        kept = set(ranked(range(len(scores)), scores)[: self.k])
        fronts = {cell: held & kept for cell, held in state.get_pareto_front_mapping().items()}
        return draw({cell: held for cell, held in fronts.items() if held}, scores, self.rng)


def draw(fronts: Mapping[Any, Collection[int]], scores: Sequence[float], rng: random.Random) -> int:
    """A candidate drawn by the number of fronts it is on, among those that cannot be left out.

    Without any front (nobody has a score yet) the best by `scores`.
    """
    counts = Counter(program for held in essential(fronts, scores).values() for program in held)
    if not counts:
        return best(scores)
    programs = sorted(counts)
    return rng.choices(programs, weights=[counts[program] for program in programs])[0]


def essential(fronts: Mapping[Any, Collection[int]], scores: Sequence[float]) -> dict[Any, set[int]]:
    """The fronts without the candidates that can be left out of all of them and leave none empty.

    From the worst mean upwards, of equals the older first: who shares each front with somebody who is
    still there goes. One pass is enough, for leaving only makes it harder for others to leave.
    """
    left = {cell: set(held) for cell, held in fronts.items()}
    cells: dict[int, list[Any]] = {}
    for cell, held in left.items():
        for program in held:
            cells.setdefault(program, []).append(cell)
    for program in sorted(cells, key=lambda p: (known(scores[p]), p)):
        if all(len(left[cell]) > 1 for cell in cells[program]):
            for cell in cells[program]:
                left[cell].remove(program)
    return left


def best(scores: Sequence[float]) -> int:
    """The index of the first maximum. Raises ValueError without scores."""
    if not scores:
        raise ValueError("there is no candidate to choose from")
    return ranked(range(len(scores)), scores)[0]


def ranked(programs: Collection[int], scores: Sequence[float]) -> list[int]:
    """Best first, of equals the older."""
    return sorted(programs, key=lambda program: (-known(scores[program]), program))


def known(score: float) -> float:
    """What is not a number is no score, and below all that are."""
    return -math.inf if math.isnan(score) else score
