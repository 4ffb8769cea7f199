"""GEPA and MIPRO in one run: texts evolve, are combined with demonstrations, and the best one goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from paretune.algorithms.finish import Contender
from paretune.algorithms.gepa import Gepa
from paretune.algorithms.mipro import Mipro, MiproSettings
from paretune.algorithms.pool import Pool
from paretune.algorithms.ports import Ports
from paretune.algorithms.search import Search
from paretune.algorithms.settings import GepaSettings
from paretune.algorithms.trunk import Trunk
from paretune.core.budget import PAID
from paretune.core.candidate import Candidate
from paretune.core.example import Splits
from paretune.propose.base import Surface

LAST = {*PAID, "time", "target", "steps"}
"""Why a search may end so that no other begins."""


SEARCHES = 3
"""Of a run of both."""


def ends_all(algorithm: str, searches: int, reason: str) -> bool:
    """True if no other search of the run follows the `searches`-th, which ended for this reason."""
    return algorithm != "gepa+mipro" or searches >= SEARCHES or reason in LAST


@dataclass(slots=True)
class Phases:
    """GEPA, MIPRO, and GEPA again from the best candidate so far, demonstrations included.

    `shares` are the parts of the rollouts that the first and the second get. The pool is one and the same.
    """

    splits: Splits
    surface: Surface
    settings: GepaSettings
    ports: Ports
    mipro: MiproSettings
    shares: tuple[float, float] = (0.4, 0.4)
    pool: Pool = field(init=False)

    async def run(self, seed: Candidate) -> Pool:
        """The pool that the last of them leaves."""
        first = self._gepa()
        first.schedule.later = self._rollouts(1 - self.shares[0])
        await first.run(seed)
        self.pool = first.pool
        if self._over(first):
            return self.pool
        settings = self.mipro.shared(self.settings)
        second = Mipro(self.splits, self.surface, settings, self.ports, mipro=self.mipro)
        second.follow(first)
        second.schedule.later = self._rollouts(1 - sum(self.shares))
        await second.run(seed)
        if not self._over(second):
            third = self._gepa()
            third.follow(second)
            await third.run(self.pool.members[self.pool.best].candidate)
        return self.pool

    def _gepa(self) -> Gepa | Trunk:
        kind = Trunk if self.settings.pipeline.lanes else Gepa
        return kind(self.splits, self.surface, self.settings, self.ports)

    def _rollouts(self, share: float) -> int:
        """Of the budget; nothing is kept where there is none."""
        return round((self.ports.ledger.limits.rollouts or 0) * share)

    def _over(self, search: Search) -> bool:
        return search.over is not None and search.over.reason in LAST

    def contenders(self) -> Sequence[Contender]:
        """Who was evaluated in full, best first."""
        return [Contender(member.candidate, member.rewards) for member in self.pool.ranked()]
