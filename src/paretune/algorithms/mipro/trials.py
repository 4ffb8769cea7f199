"""What trials have shown: estimates that count how many examples stand behind a score."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from paretune.algorithms.mipro.effects import Effects
from paretune.algorithms.tpe import Choice
from paretune.core.candidate import Candidate
from paretune.core.example import ExampleId


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
            effects = Effects.of([(one.choice, one.rewards) for one in known]) if known else None
            means = {one.choice: effects.mean(one.choice) for one in known} if effects else {}
            self._known, self._estimates = rewards_known, means
        return self._estimates

    def told(self) -> list[tuple[Choice, float]]:
        """What the sampler is told: each combination once, by its newest estimate."""
        return list(self.estimates().items())

    def likely(self, choices: Sequence[Choice], rng: random.Random) -> Choice | None:
        """Of these one that may be the best: Thompson sampling. None before anything was measured."""
        known = [(one.choice, one.rewards) for one in self.measured()]
        if not known or not choices:
            return None
        return choices[int(Effects.of(known, choices).drawn(choices, rng).argmax())]

    def best_open(self) -> Tried | None:
        """The best combination that is to be evaluated in full and is not yet, by its estimate."""
        estimates = self.estimates()
        left = [one for one in self.measured() if not one.settled and not one.out]
        return max(left, key=lambda one: estimates[one.choice], default=None)
