"""What trials have shown: estimates that count how many examples stand behind a score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from paretune.algorithms.tpe import Choice
from paretune.core.candidate import Candidate
from paretune.core.example import ExampleId

PRIOR = 8
"""So many examples at the mean of all are added to each score: one of few examples is believed less."""
DOUBT = 0.25
"""So many combinations at the mean are added to each example, for those that only one was asked."""
SWEEPS = 25
"""Rounds of the alternating fit of examples and combinations."""


@dataclass(slots=True)
class Tried:
    """A combination. `times` it was chosen, `asked` of these examples; `settled`: evaluated in full, or
    stopped on the way."""

    choice: Choice
    candidate: Candidate
    times: int = 0
    out: int = 0
    settled: bool = False
    rewards: dict[ExampleId, float] = field(default_factory=dict)
    asked: set[ExampleId] = field(default_factory=set)


@dataclass(slots=True)
class Trials:
    """All combinations, in the order in which they were first chosen."""

    tried: dict[Choice, Tried] = field(default_factory=dict)
    _known: int = -1
    _estimates: Mapping[Choice, float] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Tried]:
        return iter(self.tried.values())

    def measured(self) -> list[Tried]:
        return [one for one in self if one.rewards]

    def estimates(self) -> Mapping[Choice, float]:
        """The mean reward that each measured combination would have on all examples alike.

        Rewards are taken to be a mean, plus what the combination is better, plus what the example is easier:
        who was asked harder examples does not lose by it. Each combination's part is shrunk by `PRIOR`.
        """
        known = self.measured()
        rewards_known = sum(len(one.rewards) for one in known)
        if self._known != rewards_known:
            self._known, self._estimates = rewards_known, _estimates(known) if known else {}
        return self._estimates

    def told(self) -> list[tuple[Choice, float]]:
        """What the sampler is told: each combination once, by its newest estimate."""
        return list(self.estimates().items())

    def best_open(self) -> Tried | None:
        """The best combination that is to be evaluated in full and is not yet, by its estimate."""
        estimates = self.estimates()
        left = [one for one in self.measured() if not one.settled and not one.out]
        return max(left, key=lambda one: estimates[one.choice], default=None)


def _estimates(known: Sequence[Tried]) -> dict[Choice, float]:
    """By alternating least squares, both parts shrunk."""
    columns = {e: n for n, e in enumerate(dict.fromkeys(e for one in known for e in one.rewards))}
    rewards = np.full((len(known), len(columns)), np.nan)
    for row, one in enumerate(known):
        for example, reward in one.rewards.items():
            rewards[row, columns[example]] = reward
    there = ~np.isnan(rewards)
    grand, filled = rewards[there].mean(), np.where(there, rewards, 0.0)
    better, easier = np.zeros(len(known)), np.zeros(len(columns))
    for _ in range(SWEEPS):
        rest = np.where(there, filled - grand - better[:, None], 0.0)
        easier = rest.sum(axis=0) / (there.sum(axis=0) + DOUBT)
        rest = np.where(there, filled - grand - easier[None, :], 0.0)
        better = rest.sum(axis=1) / (there.sum(axis=1) + PRIOR)
    return {one.choice: float(grand + part) for one, part in zip(known, better, strict=True)}
