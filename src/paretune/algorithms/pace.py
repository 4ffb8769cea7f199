"""How long the work of lanes lasts in virtual seconds: from what is on record, and never without bounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from paretune.algorithms.ports import Rollouts

TICK = 0.05
"""Seconds; what is faster counts as so long, so that a task without latency has an order of its own too."""
ROLLOUTS, PROPOSAL, VALIDATION = TICK, 2 * TICK, 8 * TICK
"""Seconds that a batch of rollouts, a proposal and a validation in the background last at least."""


@dataclass(slots=True)
class Pace:
    """Rollouts of a batch last as long as the longest of them, and as their sum takes with `slots` at once.

    A rollout that an earlier batch asked for lasts from then on; one that is home costs no time.
    """

    slots: int
    _out: dict[str, float] = field(default_factory=dict)
    """Key of a rollout that is out -> the virtual moment at which it was asked for."""

    def begin(
        self, now: float, keys: Collection[str], fresh: Collection[str], work: Rollouts, least: float
    ) -> Callable[[], float]:
        """Seconds that this work lasts from `now` on, or at least. `fresh` are those asked for just now."""
        self._out |= dict.fromkeys(fresh, now)
        asked = {key: self._out[key] for key in keys if key in self._out}

        def lasts() -> float:
            seconds = {key: work.seconds(key) for key in asked}
            longest = max((moment - now + seconds[key] for key, moment in asked.items()), default=0.0)
            return max(least, longest, math.fsum(seconds[key] for key in fresh) / self.slots)

        return lasts

    def end(self, keys: Collection[str]) -> None:
        """The batch of these rollouts is home."""
        for key in keys:
            self._out.pop(key, None)
