"""MIPRO, in lanes: demonstrations are bootstrapped, instructions written, and both searched by trials."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from paretune.algorithms.finish import Contender
from paretune.algorithms.laned import Laned
from paretune.algorithms.lanes import Lane
from paretune.algorithms.mipro.options import Options
from paretune.algorithms.mipro.repertoire import Repertoire
from paretune.algorithms.mipro.trials import Tried
from paretune.algorithms.pool import Pool
from paretune.algorithms.tpe import Choice, Tpe
from paretune.core import events
from paretune.core.budget import PAID
from paretune.core.candidate import Candidate
from paretune.core.errors import BudgetExceeded
from paretune.core.example import Example
from paretune.core.rollout import Outcome, scores

LISTED = 2_000
"""Of so many combinations at most the likeliest is looked for."""
Work = Callable[[Lane], Awaitable[None]]


@dataclass(slots=True)
class Mipro(Repertoire):
    """One search. The first step prepares; each later one is a trial, and a full evaluation where due."""

    tpe: Tpe = field(init=False)
    _begun: int = 0
    _ended: int = 0

    def __post_init__(self) -> None:
        Laned.__post_init__(self)
        self.tpe = Tpe(self.settings.seed, self.mipro.startup, self.mipro.candidates)

    async def run(self, seed: Candidate) -> Pool:
        """Until all trials are done or another stop applies."""
        self._seed, self.options, self._begun = seed, Options.of(seed, self.mipro), self.at
        self.note(seed)
        await self._prepare()
        if self.over is None:
            await self._demonstrate()
            await self._inherit()
            await self._write(self.mipro.stages, first=True)
        if self.over is None:
            await self.turns.run(*[self._lane] * self.mipro.at_once)
        if self.over is None or self.over.reason not in {*PAID, "time"}:
            await self.turns.run(self._complete)
        return self.pool

    # -- the beginning ------------------------------------------------------------------------------

    async def _prepare(self) -> None:
        """The initial prompt, and at the same time the examples that demonstrations come from.

        Raises BudgetExceeded if nothing was measured.
        """
        unpaid: list[BudgetExceeded] = []

        async def within_budget(work: Work, lane: Lane) -> None:
            try:
                await work(lane)
            except BudgetExceeded as stop:
                unpaid.append(stop)

        works = [self._bootstrap] if self.pool.members else [self._initial, self._bootstrap]
        await self.turns.run(*(partial(within_budget, work) for work in works))
        if unpaid and not self.begun:
            raise unpaid[0]
        if unpaid:
            await self.stopped(self.at, unpaid[0])

    async def _initial(self, lane: Lane) -> None:
        """The initial prompt in full; on a batch, where all examples would take much of the budget."""
        pareto, count = self.splits.pareto, self.mipro.first(self.splits, self.ports.ledger.limits.rollouts)
        whole = self.settings.pool is not None or count == len(pareto)
        examples = pareto if whole else self.pareto_order[:count]
        outcomes = await self.rollouts(lane, self.at, self._seed, examples)
        if whole:
            await self.admit(self.at, self._seed, outcomes)
        first = Tried(self.options.first, self._seed, times=1, settled=whole, rewards=scores(outcomes))
        first.asked.update(example.id for example in examples)
        self.trials.tried[first.choice] = first

    @property
    def begun(self) -> bool:
        return bool(self.pool.members or self.trials.tried)

    # -- trials -------------------------------------------------------------------------------------

    async def _lane(self, lane: Lane) -> None:
        while self.over is None:
            step = self.at + 1
            self.over = await self.ended(step)
            if self.over is None:
                self.at = step
                try:
                    await self._step(lane, step)
                except BudgetExceeded as stop:
                    await self.stopped(step, stop)

    async def _step(self, lane: Lane, step: int) -> None:
        """A trial; then the best so far in full, if enough trials ended since the last one."""
        await self.pooled.choose(step, self.schedule.generation(step))
        if self._round < len(self.mipro.rounds) and step - self._begun >= self.mipro.rounds[self._round]:
            self._round += 1
            for stage in self.mipro.stages:
                for number in range(self._room(stage)):
                    await self._instruct(lane, stage, number)
        chosen = await self._choose(step)
        if chosen is None:
            self.over = await self.end(step, "exhausted", "every combination was measured in full")
            return
        await self._trial(lane, step, chosen)
        self._ended += 1
        if self._ended % self.mipro.full_every == 0:
            await self._best_in_full(lane, step)

    async def _choose(self, step: int) -> Tried | None:
        """The combination of this trial, on record with its examples."""
        generation = self.schedule.generation(step)

        def decide() -> events.TrialStarted | None:
            choice = self._asked(step)
            if choice is None:
                return None
            tried = self._of(choice, generation)
            return events.TrialStarted(
                step=step,
                generation=generation,
                candidate=tried.candidate.id,
                choice=list(choice),
                examples=[e.id for e in self._batch(tried)],
            )

        started = await self.ports.record.chance(f"{step}/trial", decide)
        if started is None:
            return None
        tried = self._of(tuple(started.choice), generation)
        if not tried.times and tried.candidate.id not in self.known:
            await self.proposed(step, tried.candidate)
            self.note(tried.candidate)
        return tried

    def _asked(self, step: int) -> Choice | None:
        """What TPE would try; after the startup every other time one that may be the best by what its options
        add. One that was measured in full, or is under way, is not tried again."""
        out = [one.choice for one in self.trials if one.out]
        avoid = {one.choice for one in self.trials if one.settled or one.out or not self._batch(one)}
        likely = None
        if step % 2 == 0 and len(self.trials.measured()) + len(out) >= self.mipro.startup:
            rng = self.stream("likely", step)
            listed = [*self.options.listed(LISTED, rng), *(one.choice for one in self.trials)]
            likely = self.trials.likely([choice for choice in listed if choice not in avoid], rng)
        return likely or self.tpe.ask(step, self.options.space, self.trials.told(), out, avoid)

    def _of(self, choice: Choice, generation: int) -> Tried:
        """The combination of this choice; a new one is not remembered before it is tried."""
        return self.trials.tried.get(choice) or Tried(choice, self.options.candidate(choice, generation))

    def _batch(self, tried: Tried) -> Sequence[Example]:
        """The examples of its next trial: all combinations are asked the same, in the same order."""
        left = (e for e in self.pooled.of(self.pareto_order) if e.id not in tried.asked)
        return tuple(islice(left, self.mipro.batch))

    async def _trial(self, lane: Lane, step: int, tried: Tried) -> None:
        """The next batch of a combination that may be new; chosen again it is asked further examples."""
        self.trials.tried[tried.choice] = tried
        examples = self._batch(tried)
        self._refuse_the_end(tried.candidate, examples, self._rest())
        tried.times, tried.out = tried.times + 1, tried.out + 1
        tried.asked.update(e.id for e in examples)
        try:
            outcomes = await self.rollouts(lane, step, tried.candidate, examples)
        finally:
            tried.out -= 1
        tried.rewards.update(scores(outcomes))
        self.pooled.heard(tried.candidate.id, outcomes)
        await self._told(step, tried, outcomes)
        if not self._batch(tried):
            await self._in_full(lane, step, tried)

    def _refuse_the_end(self, candidate: Candidate, examples: Sequence[Example], more: int = 0) -> None:
        """Raises BudgetExceeded if these rollouts, and so many `more`, would take from what the end needs."""
        wanted = self.undrawn(candidate, examples) + more
        if not self.affords(wanted):
            raise BudgetExceeded("rollouts", wanted + self.kept(), self.ports.ledger.left() or 0)

    def _rest(self) -> int:
        """Rollouts that trials leave, so that the best can be evaluated in full: all but its first batch."""
        return len(self.splits.pareto) - self.mipro.batch

    async def _told(self, step: int, tried: Tried, outcomes: Sequence[Outcome]) -> None:
        rewards = scores(list(outcomes))
        made = events.TrialEnded(
            step=step,
            candidate=tried.candidate.id,
            mean=sum(rewards.values()) / len(rewards) if rewards else None,
            scored=len(rewards),
            failed=len(outcomes) - len(rewards),
            estimate=self.trials.estimates().get(tried.choice),
            examples=len(tried.rewards),
        )
        await self.ports.record.step(f"{step}/told", lambda: made)

    # -- full evaluations ---------------------------------------------------------------------------

    async def _best_in_full(self, lane: Lane, step: int) -> None:
        best = self.trials.best_open()
        if best is None:
            return
        wanted = self.undrawn(best.candidate, self.splits.pareto)
        if self.affords(wanted + self._rest() + self.mipro.full_every * self.mipro.batch):
            await self._in_full(lane, step, best)

    async def _in_full(self, lane: Lane, step: int, tried: Tried) -> None:
        """All pareto examples, unless it turns out on the way that it cannot be the best."""
        tried.settled = True

        async def rollouts(examples: Sequence[Example]) -> list[Outcome]:
            self._refuse_the_end(tried.candidate, examples)
            outcomes = await self.rollouts(lane, step, tried.candidate, examples)
            tried.rewards.update(scores(outcomes))
            tried.asked.update(e.id for e in examples)
            return outcomes

        asking = self.asking(lane, step, tried.candidate, self.splits.pareto)
        outcomes = await self.evaluated_in_full(step, tried.candidate, rollouts, asking)
        if outcomes is not None and tried.candidate.id not in self.pool.members:
            await self.admit(step, tried.candidate, outcomes)

    async def _finalists(self, lane: Lane) -> None:
        """Who was measured on a part of an adaptive pool, and leads, is measured on the rest."""
        for finalist in self.pooled.unfinished(self.pool):
            if self.affords(self.undrawn(finalist, self.splits.pareto)):
                outcomes = await self.rollouts(lane, self.at, finalist, self.splits.pareto)
                await self.pooled.finished(self.at, finalist, outcomes, self.pool)

    async def _complete(self, lane: Lane) -> None:
        """At the end, who may still be the best is evaluated in full, as far as the budget holds it."""
        self.broke = False
        try:
            await self._finalists(lane)
        except BudgetExceeded as stop:
            await self.stopped(self.at, stop)
            return
        await self._lead(lane)
        if self.over is None or self.over.reason not in PAID:
            await self._baseline(lane)

    async def _lead(self, lane: Lane) -> None:
        for _ in range(self.settings.finalists):
            best = self.trials.best_open()
            estimates = self.trials.estimates()
            done = [estimates[t.choice] for t in self.trials.measured() if t.settled]
            if best is None or (done and estimates[best.choice] < max(done)):
                return
            if not self.affords(self.undrawn(best.candidate, self.splits.pareto)):
                return
            try:
                await self._in_full(lane, self.at, best)
            except BudgetExceeded as stop:
                await self.stopped(self.at, stop)
                return

    async def _baseline(self, lane: Lane) -> None:
        """The initial prompt in full, if it was not, as far as the budget holds it."""
        pareto = self.splits.pareto
        if self._seed.id in self.pool.members or not self.affords(self.undrawn(self._seed, pareto)):
            return
        try:
            await self.admit(self.at, self._seed, await self.rollouts(lane, self.at, self._seed, pareto))
        except BudgetExceeded as stop:
            await self.stopped(self.at, stop)

    def contenders(self) -> list[Contender]:
        """The initial prompt is one, also where it was measured on a part only, and counts for nothing."""
        found = Laned.contenders(self)
        return found if self._seed.id in self.pool.members else [*found, Contender(self._seed)]
