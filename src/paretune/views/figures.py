"""What each candidate took and reached, in one pass over the rollouts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from paretune.core.candidate import CandidateId
from paretune.propose.guards import estimated_tokens
from paretune.views.run_view import Row, RunView


@dataclass(slots=True)
class Figures:
    """`usd` counts rollouts whose price is known, `unpriced` the others; `tokens` are those of rollouts.

    What another run paid for is counted like what this one did: it is what the candidate takes.
    """

    rollouts: int = 0
    failures: int = 0
    tokens: int = 0
    usd: float = 0.0
    unpriced: int = 0

    @property
    def money(self) -> float | None:
        """None where no rollout says what it cost."""
        return None if self.unpriced == self.rollouts else self.usd


def figures(view: RunView, only: CandidateId = "") -> dict[CandidateId, Figures]:
    """For each candidate of the run, or for one."""
    found = {candidate: Figures() for candidate in ([only] if only else view.rows)}
    for cell in view.rollouts:
        one = found.get(cell[0])
        if one is None:
            continue
        prompt, completion, usd = view.rollouts.usage(cell)
        one.rollouts += 1
        one.tokens += prompt + completion
        if usd is None:
            one.unpriced += 1
        else:
            one.usd += usd
    for failure in view.failures:
        if failure.key.candidate in found:
            found[failure.key.candidate].failures += 1
    return found


def text_tokens(row: Row) -> int:
    """The size of a candidate's texts, estimated as the guards do where they have no counter."""
    return sum(map(estimated_tokens, row.components.values()))


def objective_means(view: RunView, candidate: CandidateId, split: str) -> Mapping[str, float]:
    """Mean of each named reward over the examples of the split that have it; empty without any."""
    sums: dict[str, tuple[float, int]] = {}
    for example in view.splits[split]:
        for name, value in view.rollouts.objectives((candidate, example, 0)).items():
            total, count = sums.get(name, (0.0, 0))
            sums[name] = total + value, count + 1
    return {name: total / count for name, (total, count) in sums.items()}
