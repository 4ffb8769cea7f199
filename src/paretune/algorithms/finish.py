"""The end of every search: finalists, the selection split, and the untouched test split, once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paretune.algorithms.ports import Evaluate, Record
from paretune.core import events
from paretune.core.budget import Ledger
from paretune.core.candidate import Candidate, CandidateId
from paretune.core.example import Example, Splits
from paretune.core.rollout import RolloutRequest, scores


@dataclass(frozen=True, slots=True)
class Contender:
    """A finalist and its mean on the pareto examples that it was scored on (None: not fully evaluated)."""

    candidate: Candidate
    pareto_mean: float | None


@dataclass(frozen=True, slots=True)
class Finish:
    """Chooses among finalists and reports; the seed is always one of them, and the first."""

    splits: Splits
    evaluate: Evaluate
    record: Record
    ledger: Ledger

    async def best(self, contenders: Sequence[Contender], finalists: int) -> Candidate:
        """The winner on the selection split, or on the pareto examples when there is no such split.

        `contenders` come best first, the seed among them. Ties go to the better pareto mean, then to
        the earlier contender.
        """
        seed = next(c for c in contenders if not c.candidate.parents)
        others = [c for c in contenders if c is not seed][:finalists]
        if self.splits.select:
            others = others[: self._affordable(len(others))]
            chosen_on = "select"
            means = {
                c.candidate.id: await self._mean(c.candidate, self.splits.select) for c in [seed, *others]
            }
        else:
            others = [c for c in others if c.pareto_mean is not None]
            chosen_on = "pareto"
            means = {c.candidate.id: c.pareto_mean for c in [seed, *others]}
        ranked = sorted(
            [c for c in contenders if c is seed or c in others],  # best first, the earlier one before
            key=lambda c: (_order(means[c.candidate.id]), _order(c.pareto_mean)),
        )
        best = ranked[0].candidate
        decision = events.BestChosen(
            best=best.id,
            chosen_on=chosen_on,
            means={c: m for c, m in means.items() if m is not None},
            pareto_means={
                c.candidate.id: c.pareto_mean for c in [seed, *others] if c.pareto_mean is not None
            },
        )
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
        means = {}
        for candidate in dict.fromkeys((seed, best)):
            mean = await self._mean(candidate, self.splits.test)
            if mean is not None:
                means[candidate.id] = mean
        again = [RolloutRequest(seed, example, replicate=1) for example in self.splits.test]
        if replicates and self.ledger.affords(self.evaluate.keys(again)):
            await self.evaluate.evaluate(again)
        return means

    async def _mean(self, candidate: Candidate, examples: tuple[Example, ...]) -> float | None:
        outcomes = await self.evaluate.evaluate([RolloutRequest(candidate, e) for e in examples])
        rewards = scores(outcomes)
        return sum(rewards.values()) / len(rewards) if rewards else None


def _order(mean: float | None) -> float:
    return float("inf") if mean is None else -mean
