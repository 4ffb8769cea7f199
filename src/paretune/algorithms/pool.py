"""The pool: candidates that were measured on the frontier's examples, and what is known of them."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass, field

from paretune.algorithms.rewards import Rewards
from paretune.core.candidate import Candidate, CandidateId
from paretune.core.example import ExampleId
from paretune.core.frontier import Frontier, FrontierType, cells
from paretune.core.rollout import Outcome, Rollout, scores

ROUNDING = 1e-9
"""Two means closer than this are the same number."""


@dataclass(slots=True)
class Member:
    """A candidate with its measured rewards on pareto examples.

    `mean` is over what was scored, or an estimate where not all was asked. `cursor` is the next component's
    turn.
    """

    candidate: Candidate
    rewards: Rewards
    mean: float
    cursor: int = 0


@dataclass(slots=True)
class Pool:
    """All members ever admitted, the frontier over those in the archive, and the best so far.

    `lineage` holds the parents of everybody who is a member or has descendants.

    `examples` is the number of pareto examples: who was scored on fewer than half of those that it was asked
    ranks behind all others and is never the best.
    """

    kind: FrontierType
    epsilon: float
    examples: int = 0
    members: dict[CandidateId, Member] = field(default_factory=dict)
    lineage: dict[CandidateId, tuple[CandidateId, ...]] = field(default_factory=dict)
    frontier: Frontier = field(init=False)
    best: CandidateId = ""
    _by_mean: list[Member] = field(default_factory=list)
    _columns: Mapping[ExampleId, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.frontier = Frontier(self.epsilon)

    def admit(
        self, candidate: Candidate, outcomes: list[Outcome], estimate: float | None = None
    ) -> list[str]:
        """Add a measured candidate; returns the cells that it alone now leads, as text.

        `estimate` is its mean where only some examples were asked.
        """
        if candidate.id in self.members:
            raise ValueError(f"{candidate.id} is a member already")
        self.lineage[candidate.id] = candidate.parents
        rewards = scores(outcomes)
        named = (o for o in outcomes if isinstance(o, Rollout) and o.answer.objectives)
        objectives = {o.example: o.answer.objectives for o in named}
        mean = sum(rewards.values()) / len(rewards) if rewards else float("-inf")
        mean = mean if estimate is None else estimate
        kept = Rewards(outcomes, self._columns)
        self._columns = kept.columns
        cursor = max((self.members[p].cursor for p in candidate.parents if p in self.members), default=0)
        self.members[candidate.id] = member = Member(candidate, kept, mean, cursor)
        insort(self._by_mean, member, key=lambda m: (not self.scored_enough(m.candidate.id), -m.mean))
        gained = self.frontier.admit(candidate.id, cells(self.kind, rewards, objectives))
        if not self.best or self._beats_best(candidate.id):
            self.best = candidate.id
        return [":".join(cell) for cell in gained]

    def crowded_out(self, size: int) -> CandidateId | None:
        """Who leaves an archive of this size: the holder of the fewest cells, never the best."""
        if len(self.frontier) <= size:
            return None
        return min((c for c in self.frontier.candidates if c != self.best), key=self.frontier.wins)

    def ancestors(self, candidate: CandidateId) -> set[CandidateId]:
        """All ancestors, members or not; the candidate itself is not among them."""
        found: set[CandidateId] = set()
        open_ones = list(self.lineage[candidate])
        while open_ones:
            one = open_ones.pop()
            if one not in found:
                found.add(one)
                open_ones.extend(self.lineage[one])
        return found

    def _beats_best(self, candidate: CandidateId) -> bool:
        """By the mean over the examples that both were scored on, or by an estimate."""
        if not (self.complete(candidate) and self.complete(self.best)):
            ahead = self.members[candidate].mean - self.members[self.best].mean
            return self.scored_enough(candidate) and ahead > ROUNDING
        new, best = (self.members[c].rewards.plain() for c in (candidate, self.best))
        shared = [example for example in new if example in best]
        if not self.scored_enough(candidate) or not shared:
            return False
        difference = math.fsum(new[e] for e in shared) - math.fsum(best[e] for e in shared)
        return difference / len(shared) > ROUNDING

    def complete(self, candidate: CandidateId) -> bool:
        """Whether it was asked on all examples."""
        return len(self.members[candidate].rewards.columns) >= self.examples

    def scored_enough(self, candidate: CandidateId) -> bool:
        rewards = self.members[candidate].rewards
        return 2 * len(rewards) >= min(self.examples, len(rewards.columns))

    def ranked(self) -> list[Member]:
        """The best, then the other members by mean; the earlier one wins a tie."""
        return sorted(self._by_mean, key=lambda m: m.candidate.id != self.best)
