"""Validating rarely: the incumbent, and the panel that it is measured on beside the pareto examples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from paretune.algorithms.settings import GepaSettings
from paretune.core.candidate import Candidate
from paretune.core.canonical import stream
from paretune.core.example import Example, ExampleId, Splits

SHARE_OF_BUDGET, SHARE_OF_REFLECT = 40, 4
"""A panel has at most the budget, and the reflect examples, divided by this."""
LEAST_PANEL = 3
"""Fewer examples would tell nothing."""


MOST_SHARE = 0.6
"""Of the rollouts, at most so many go to validations."""
DEEPEST = 4
ROUNDING = 1e-9
IN_PROPORTION = 112
"""Up to so many rollouts a validation is waited for in proportion to what it takes, beyond that with the root
of it: what drifts unseen grows with the interval, so the best one between checks grows like that."""


@dataclass(slots=True)
class Pace:
    """How soon the next head is validated: the sooner, the more of the last ones were no better.

    The first validation in vain doubles the `share` of the rollouts, each further one also halves the number
    of accepted edits (`every`) between two; each success takes one such step back. While edits add up, most
    of what is validated will be overtaken; once they do not, the longer a head is edited the worse it is.
    The share is that of validations which take at most `IN_PROPORTION` rollouts.
    """

    every: int
    share: float
    level: int = 0

    def due(self, edits: int, drawn: int, wanted: int) -> bool:
        """After so many accepted edits and so many rollouts since the last one, which is to take `wanted`."""
        share = max(self.share, min(MOST_SHARE, self.share * 2**self.level))
        every = self.every >> max(0, self.level - 1)
        waited_for = min(wanted, math.sqrt(IN_PROPORTION * wanted))
        return edits >= max(1, every) and drawn * share >= waited_for * (1 - share)

    def heard(self, *, won: bool) -> None:
        self.level = max(0, self.level - 1) if won else min(DEEPEST, self.level + 1)


@dataclass(frozen=True, slots=True)
class Duel:
    """A challenger against the incumbent, paired on all examples that both were scored on."""

    wins: int
    losses: int
    difference: float

    @property
    def won(self) -> bool:
        return self.difference > 0

    @property
    def clearly_worse(self) -> bool:
        """By more than what a coin would do to as many differing examples."""
        return self.losses - self.wins > math.sqrt(self.wins + self.losses)


@dataclass(slots=True)
class Incumbent:
    """The best candidate validated so far; `lost` counts challengers that did not beat it, `idle` those in
    a row."""

    candidate: Candidate
    rewards: Mapping[ExampleId, float]
    idle: int = 0
    lost: int = 0

    def challenge(
        self,
        candidate: Candidate,
        rewards: Mapping[ExampleId, float],
        *,
        complete: bool = True,
        difference: float | None = None,
        ties: bool = False,
    ) -> Duel:
        """Compare, and make the challenger the incumbent if its summed reward is larger, or the `difference`
        is above 0 where that is estimated otherwise; with `ties` also if it is the same.

        One that was measured in part, because there was no hope for it, has lost whatever the sums say.
        """
        shared = [e for e in rewards if e in self.rewards]
        duel = Duel(
            wins=sum(rewards[e] > self.rewards[e] for e in shared),
            losses=sum(rewards[e] < self.rewards[e] for e in shared),
            difference=math.fsum(rewards[e] - self.rewards[e] for e in shared)
            if difference is None
            else difference,
        )
        tie = ties and len(shared) == len(self.rewards) and abs(duel.difference) <= ROUNDING
        if (duel.won or tie) and complete:
            self.candidate, self.rewards, self.idle = candidate, rewards, 0
        else:
            self.idle += 1
            self.lost += 1
        return duel


def choose_panel(splits: Splits, settings: GepaSettings, budget: int | None) -> tuple[Example, ...]:
    """A fixed part of the reflect examples: validation on the pareto examples alone would be fitted to them.

    A small part, since heads are made on all of them. None when the same examples serve both.
    """
    if splits.shared:
        return ()
    size = min(settings.pipeline.panel, len(splits.reflect) // SHARE_OF_REFLECT, len(splits.pareto))
    if budget is not None:
        size = min(size, budget // SHARE_OF_BUDGET)
        size = size if size >= LEAST_PANEL else 0
    return tuple(stream(settings.seed, "panel").sample(splits.reflect, size))
