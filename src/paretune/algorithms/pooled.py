"""A search on an adaptive pool: which examples a child is measured on first, and whether it goes on to all.

Without a pool (or while it holds all examples) everything here does nothing. The seed, and whoever looks
better than the best, are measured on all pareto examples; so the best is never chosen on a part. All others
are members with the cells that they were measured on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from paretune.algorithms.curriculum import Curriculum, Estimate, Selection, difference
from paretune.algorithms.pool import Member, Pool
from paretune.algorithms.ports import Record
from paretune.algorithms.settings import GepaSettings
from paretune.core import events
from paretune.core.candidate import Candidate, CandidateId
from paretune.core.example import Example, ExampleId
from paretune.core.frontier import Frontier
from paretune.core.rollout import Outcome, Rollout, scores

UNKNOWN = Estimate(0.0, 0.0, 0)


class Rival(Protocol):
    """Who is to be beaten: a member of the pool, or the incumbent."""

    @property
    def candidate(self) -> Candidate: ...

    @property
    def rewards(self) -> Mapping[ExampleId, float]: ...


@dataclass(slots=True)
class Pooled:
    """`now` is the present pool; None as long as everybody is measured on everything."""

    pareto: Sequence[Example]
    settings: GepaSettings
    record: Record
    now: Selection | None = None
    _curriculum: Curriculum | None = None
    _completed: dict[CandidateId, Mapping[ExampleId, float]] = field(default_factory=dict)

    async def choose(self, step: int, iteration: int) -> None:
        """The pool of this step, on record where it changes. The seed was measured before."""
        if self._curriculum is None:
            return
        before, drawn = self.now, self._curriculum.pool(iteration)
        if before is not None and drawn.weights == before.weights:
            return
        made = await self.record.step(f"{step}/pool", lambda: changed(step, drawn))
        self.now = selection(made)
        self._curriculum.adopt(self.now)

    def heard(self, candidate: CandidateId, outcomes: Sequence[Outcome]) -> None:
        """What somebody got; the first one shows the examples' texts, too."""
        if self.settings.pool is None:
            return
        if self._curriculum is None:
            ids = [e.id for e in self.pareto]
            texts = {o.example: o.answer.input for o in outcomes if isinstance(o, Rollout)}
            self._curriculum = Curriculum(ids, self.settings.pool, self.settings.seed, texts)
        self._curriculum.heard(candidate, scores(list(outcomes)))

    @property
    def examples(self) -> Sequence[Example]:
        """The pareto examples to be measured on first."""
        now = self.now
        return self.pareto if now is None else [e for e in self.pareto if e.id in now.weights]

    def of(self, order: Sequence[Example], also: Sequence[Example] = ()) -> list[Example]:
        """Those in the pool, or among `also`, in this order."""
        now, beside = self.now, {e.id for e in also}
        return [e for e in order if now is None or e.id in now.weights or e.id in beside]

    async def goes_on(
        self,
        step: int,
        candidate: Candidate,
        outcomes: Mapping[ExampleId, Outcome],
        best: Rival,
        *,
        fits: bool,
    ) -> bool:
        """On record: True if, by what was measured, it is better than the best on all examples, and measuring
        the rest fits the budget."""
        if self.now is None:
            return True
        found = difference(self.now, scores(list(outcomes.values())), best.rewards) or UNKNOWN
        sizes = len(outcomes), len(self.pareto)
        made = await self._judged(step, candidate, best, found, sizes, goes_on=fits and found.value > 0)
        return made.completed

    async def compared(
        self,
        step: int,
        candidate: Candidate,
        rewards: Mapping[ExampleId, float],
        rival: Rival,
        everything: int,
    ) -> float | None:
        """On record: by how much it is ahead, summed over everything; None if both were measured on that.

        Of what was measured, those that are not in the pool (a panel) stand for themselves.
        """
        if self.now is None or min(len(rewards), len(rival.rewards)) >= everything:
            return None
        pareto = {e.id for e in self.pareto}
        beside = {e: 1.0 for e in rewards if e not in pareto}
        weighed = Selection({**self.now.weights, **beside}, self.now.covered + len(beside))
        found = difference(weighed, rewards, rival.rewards) or UNKNOWN
        made = await self._judged(step, candidate, rival, found, (len(rewards), everything), goes_on=False)
        return made.difference * weighed.covered

    def estimate(self, pool: Pool, outcomes: Sequence[Outcome]) -> float | None:
        """The mean on all pareto examples, from the difference to the best; None if all were asked."""
        if self.now is None or len(outcomes) >= len(self.pareto):
            return None
        best = pool.members[pool.best]
        found = difference(self.now, scores(list(outcomes)), best.rewards)
        return None if found is None else best.mean + found.value

    def frequencies(self, frontier: Frontier) -> Mapping[CandidateId, float]:
        """How many cells each of the non-dominated holds, estimated for all cells from those of the pool.

        Pools are nested, so that everybody was measured on the present one: who was asked less often holds no
        fewer cells of it. Examples that joined for a while are left out.
        """
        now = self.now
        if now is None or len(now) >= len(self.pareto):
            return frontier.frequencies()
        weights = {e: w for e, w in now.weights.items() if e not in set(now.heated)}
        part = Frontier(frontier.epsilon)
        for candidate in frontier.candidates:
            cells = frontier.scores(candidate)
            part.admit(candidate, {cell: score for cell, score in cells.items() if cell[1] in weights})
        held: dict[CandidateId, float] = dict.fromkeys(part.frequencies(), 0.0)
        for cell, holders in part.holders().items():
            for holder in holders:
                if holder in held:
                    held[holder] += weights[cell[1]]
        return held

    # -- the end ----------------------------------------------------------------------------------

    def unfinished(self, pool: Pool) -> list[Candidate]:
        """Who would be finalists, and were measured on a part only."""
        ranked = [m.candidate for m in pool.ranked() if m.candidate.parents]
        return [c for c in ranked[: self.settings.finalists] if not pool.complete(c.id)]

    async def finished(self, step: int, finalist: Candidate, outcomes: Sequence[Outcome], pool: Pool) -> None:
        """On record: a finalist was measured on all pareto examples by now."""
        pareto = {e.id for e in self.pareto}
        rewards = scores([o for o in outcomes if o.example in pareto])
        seed = next(iter(pool.members.values()))
        shared = [rewards[e] - first for e, first in seed.rewards.plain().items() if e in rewards]
        found = Estimate(math.fsum(shared) / max(1, len(shared)), 0.0, len(shared))
        self._completed[finalist.id] = rewards
        sizes = len(pareto), len(pareto)
        await self._judged(step, finalist, seed, found, sizes, goes_on=True)

    def known(self, pool: Pool, member: Member, leader: CandidateId) -> Mapping[ExampleId, float]:
        """What the choice at the end may go by: its rewards, if it was measured on all pareto examples.

        A part is not enough, unless the search ended too early to measure who leads on the rest.
        """
        who = member.candidate.id
        if who in self._completed:
            return self._completed[who]
        early = not pool.complete(leader) and leader not in self._completed
        return member.rewards if early or pool.complete(who) else {}

    # -- decisions --------------------------------------------------------------------------------

    async def _judged(
        self,
        step: int,
        candidate: Candidate,
        rival: Rival,
        found: Estimate,
        sizes: tuple[int, int],
        *,
        goes_on: bool,
    ) -> events.PoolJudged:
        decision = events.PoolJudged(
            step=step,
            candidate=candidate.id,
            rival=rival.candidate.id,
            measured=sizes[0],
            wanted=sizes[1],
            difference=found.value,
            error=found.error,
            completed=goes_on,
        )
        key = f"{step}/pooled/{candidate.id}/{sizes[0]}"
        return await self.record.step(key, lambda: decision)


def changed(step: int, pool: Selection) -> events.PoolChanged:
    """The decision that this is the pool from now on."""
    return events.PoolChanged(
        step=step,
        examples=list(pool.examples),
        weights=list(pool.weights.values()),
        anchors=list(pool.anchors),
        heated=list(pool.heated),
        covered=pool.covered,
        size=len(pool),
        reason=pool.reason,
    )


def selection(made: events.PoolChanged) -> Selection:
    """The pool as it is on record."""
    weights = dict(zip(made.examples, made.weights, strict=True))
    return Selection(weights, made.covered, tuple(made.anchors), tuple(made.heated), made.reason)
