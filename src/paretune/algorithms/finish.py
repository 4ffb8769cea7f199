"""The end of every search: finalists, the selection split, and the untouched test split, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from paretune.algorithms.ports import Evaluate, Record
from paretune.core import events
from paretune.core.budget import Ledger
from paretune.core.candidate import Candidate, CandidateId
from paretune.core.example import Example, ExampleId, Splits
from paretune.core.rollout import RolloutRequest, scores

LOWEST = float("-inf")


@dataclass(frozen=True, slots=True)
class Contender:
    """A finalist and its rewards on pareto examples; none if it was not fully evaluated.

    `measured` are all rewards that it was validated on, where that is more than the pareto examples.
    """

    candidate: Candidate
    rewards: Mapping[ExampleId, float] = field(default_factory=dict)
    measured: Mapping[ExampleId, float] = field(default_factory=dict)

    @property
    def pareto_mean(self) -> float | None:
        return _mean(self.rewards) if self.rewards else None

    @property
    def known(self) -> Mapping[ExampleId, float]:
        """What the choice is made by where there is no selection split."""
        return self.measured or self.rewards

    @property
    def mean(self) -> float:
        return _mean(self.known) if self.known else LOWEST


@dataclass(frozen=True, slots=True)
class Finish:
    """Chooses among finalists and reports; the seed is always one of them, and the first."""

    splits: Splits
    evaluate: Evaluate
    record: Record
    ledger: Ledger

    async def best(self, contenders: Sequence[Contender], finalists: int) -> Candidate:
        """The winner on the selection split, or on all that the finalists were validated on without one.

        Means are over the examples that all finalists were scored on. `contenders` come best first,
        the seed among them. Ties go to the better pareto mean, then to the earlier contender.
        """
        seed = next(c for c in contenders if not c.candidate.parents)
        others = [c for c in contenders if c is not seed]
        if self.splits.select:
            chosen_on, most = "select", self._affordable(finalists)
            finals = [c for c in contenders if c is seed or c in others[:most]]
            rewards = {c.candidate.id: await self._rewards(c.candidate, self.splits.select) for c in finals}
        else:
            chosen_on, others = "pareto", [c for c in others if c.rewards]
            if any(c.measured for c in others):
                chosen_on = "pareto+panel"
            finals = [c for c in contenders if c is seed or c in others[:finalists]]
            rewards = {c.candidate.id: dict(c.known) for c in finals}
        means = means_over_shared(rewards)
        pareto = {c.candidate.id: c.pareto_mean for c in finals if c.pareto_mean is not None}
        order = [c.candidate for c in finals]
        best = max(order, key=lambda c: (means.get(c.id, LOWEST), pareto.get(c.id, LOWEST)))
        decision = events.BestChosen(best=best.id, chosen_on=chosen_on, means=means, pareto_means=pareto)
        await self.record.step("best", lambda: decision)
        return best

    def _affordable(self, wanted: int) -> int:
        """How many finalists the budget holds beside the seed and the test split."""
        left = self.ledger.left()
        if left is None:
            return wanted
        per_finalist = len(self.splits.select)
        return max(1, min(wanted, (left - 2 * len(self.splits.test)) // per_finalist - 1))

    async def report(self, seed: Candidate, best: Candidate, replicates: int = 0) -> dict[CandidateId, float]:
        """Seed and best on the test split, which nothing was chosen by; empty without one.

        With `replicates` 1 the seed is rolled out a second time where the budget allows, for the noise floor.
        """
        if not self.splits.test:
            return {}
        rewards = {c.id: await self._rewards(c, self.splits.test) for c in dict.fromkeys((seed, best))}
        again = [RolloutRequest(seed, example, replicate=1) for example in self.splits.test]
        if replicates and self.ledger.affords(self.evaluate.keys(again)):
            await self.evaluate.evaluate(again)
        return means_over_shared(rewards)

    async def _rewards(self, candidate: Candidate, examples: tuple[Example, ...]) -> dict[ExampleId, float]:
        return scores(await self.evaluate.evaluate([RolloutRequest(candidate, e) for e in examples]))


def _mean(rewards: Mapping[ExampleId, float]) -> float:
    return sum(rewards.values()) / len(rewards)


def means_over_shared(
    rewards: Mapping[CandidateId, Mapping[ExampleId, float]],
) -> dict[CandidateId, float]:
    """Means over the examples that everybody was scored on; who was scored on none has no mean.

    Failures on hard examples must not flatter. Without a single shared example each mean is its own.
    """
    scored = {candidate: line for candidate, line in rewards.items() if line}
    if not scored:
        return {}
    first = next(iter(scored.values()))
    shared = [e for e in first if all(e in line for line in scored.values())]
    return {
        candidate: sum(line[e] for e in shared or line) / len(shared or line)
        for candidate, line in scored.items()
    }
