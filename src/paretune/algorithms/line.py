"""The line of heads that lanes share: who is head, when one is evaluated in full, when it falls back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from paretune.algorithms.finish import Contender
from paretune.algorithms.laned import Laned
from paretune.algorithms.lanes import Lane
from paretune.algorithms.rungs import rung_ends
from paretune.algorithms.screening import Look
from paretune.algorithms.spans import Span
from paretune.algorithms.validation import Incumbent, Pace
from paretune.core import events
from paretune.core.candidate import Candidate, CandidateId
from paretune.core.errors import BudgetExceeded
from paretune.core.example import Example, ExampleId
from paretune.core.rollout import Outcome, scores

FIRST = 2
"""The first validation does not wait for its share of the rollouts, but for so many times as many steps:
until then the result of the run is the initial prompt."""

IDLE = 8
"""Nor does any, once steps from the head found nothing to learn on so large a part of an epoch."""

ODDS = 0.5
"""A validation stops when the chance that its head is better is at this or below (see `chance_to_win`)."""
LATER = 4
"""The first look is after so many times `rungs.first` examples, since it is less forgiving."""


@dataclass(slots=True)
class Line(Laned):
    """`head` is what lanes edit, `moves` counts how often another one took its place, `barren` the steps
    since that found nothing to learn.

    `incumbent` is the best head that was evaluated in full.
    """

    head: Candidate = field(init=False)
    incumbent: Incumbent = field(init=False)
    moves: int = 0
    barren: int = 0
    panel: tuple[Example, ...] = ()
    pace: Pace = field(init=False)
    _unvalidated: int = 0
    _validating: bool = False
    _validated_at: int = 0
    _measured: dict[CandidateId, Mapping[ExampleId, float]] = field(default_factory=dict)

    async def begin(self, lane: Lane, seed: Candidate) -> None:
        """The seed is head and incumbent, with all pareto examples and the panel."""
        pipeline = self.settings.pipeline
        self.pace = Pace(pipeline.validate_every, pipeline.validation_share)
        self.head = seed
        self.note(seed)
        outcomes = await self.rollouts(lane, 0, seed, self.everything)
        await self._admitted(0, seed, outcomes)
        self.incumbent = Incumbent(seed, scores(outcomes))
        self._validated_at = self._by_hi

    @property
    def everything(self) -> tuple[Example, ...]:
        """What a head is validated on; on the examples of the pool, if there is one, and the panel first."""
        return (*self.splits.pareto, *self.panel)

    @property
    def _by_hi(self) -> int:
        """Rollouts so far, without the cheap policy's: what the next validation waits for is HI's."""
        return len(self.ports.ledger.drawn) - self.cheap

    async def move(self, step: int, head: Candidate, reason: str) -> None:
        """This is the head now; a validation may be due."""
        self.head, self.moves, self.barren = head, self.moves + 1, 0
        self.note(head)
        self.schedule.better(step)
        moved = events.HeadMoved(
            step=step,
            head=head.id,
            parents=list(head.parents),
            generation=head.generation,
            components=dict(head.components),
            reason=reason,
        )
        await self.ports.record.step(f"{step}/head/{self.moves}", lambda: moved)
        if reason in ("accepted", "joined"):
            self._unvalidated += 1
            await self._validate_if_due(step)

    async def learned_nothing(self, step: int, parent: Candidate) -> None:
        """A step from this parent asked nothing of the proposer: a head that solves all it gets is due."""
        if parent.id == self.head.id:
            self.barren += 1
            await self._validate_if_due(step)

    # -- validation -------------------------------------------------------------------------------

    async def _validate_if_due(self, step: int) -> None:
        """Start one in the background, of the newest head, one at a time."""
        head = self.head
        if self._validating or not self._unvalidated or head.id in self.pool.members:
            return
        at_once = len(self.pool.members) == 1 and self._unvalidated >= FIRST * self.pace.every
        if IDLE * self.barren * self.settings.minibatch_size >= len(self.splits.reflect):
            at_once = True
        since = self._by_hi - self._validated_at
        order = self.order()
        spared = len(self.everything) - len(order)  # goes into edits: a pool makes none come sooner
        least = max(0, len(self.everything) - self.asked_of[head.id])
        if not at_once and not self.pace.due(self._unvalidated, since, least):
            return  # what it takes is counted exactly only where that may decide
        wanted = self.undrawn(head, order)
        if (at_once or self.pace.due(self._unvalidated, since, wanted + spared)) and self.affords(wanted):
            self._validating, self._unvalidated = True, 0
            self._validated_at = self._by_hi + wanted
            begun = events.ValidationStarted(step=step, candidate=head.id, panel=len(self.panel))
            await self.ports.record.step(f"{step}/validation/{head.id}", lambda: begun)
            # Drawn here and now: other lanes go on before this one has its first turn.
            span = self.start(head, self._rungs(order)[0], background=True)
            self.turns.start(lambda lane: self._validate(lane, step, head, order, span))

    async def _validate(
        self, lane: Lane, step: int, head: Candidate, order: Sequence[Example], span: Span
    ) -> None:
        try:
            won = await self._measured_in_rungs(lane, step, head, order, span)
        except BudgetExceeded as stop:
            await self.stopped(step, stop)
            return
        self._validating = False
        if won is not None:
            self.pace.heard(won=won)
        await self._validate_if_due(step)

    async def measure(self, lane: Lane, step: int, child: Candidate) -> bool:
        """A child from off the line is evaluated in full at once; if it wins (True), it is the head."""
        order = self.order()
        if not self.affords(self.undrawn(child, order)):
            await self.put_off(step, child)
            return False
        if not await self._measured_in_rungs(lane, step, child, order):
            return False
        await self.move(step, child, "won")
        return True

    def order(self) -> list[Example]:
        """What a head is validated on first, in the order in which heads are measured; one per run."""
        mixed = self.stream("rungs", 0).sample(self.everything, len(self.everything))
        return self.pooled.of(mixed, self.panel)

    def _rungs(self, order: Sequence[Example]) -> list[Sequence[Example]]:
        """Parts of it; after each one the head is looked at."""
        ends = rung_ends(self.screens.first or LATER * self.settings.rungs.first, len(order))
        return [order[start:end] for start, end in pairwise([0, *ends])]

    async def _measured_in_rungs(
        self,
        lane: Lane,
        step: int,
        candidate: Candidate,
        order: Sequence[Example],
        begun: Span | None = None,
    ) -> bool | None:
        """True if it is the incumbent now; None if it was not scored, or the budget did not last.

        It is stopped, and no member, once it is not believed to beat the incumbent. `begun` is the work on
        its first part, if that is under way in the background.
        """
        outcomes: dict[ExampleId, Outcome] = {}
        background = begun is not None
        for part in self._rungs(order):
            if begun is None:
                if not self.affords(self.undrawn(candidate, part)):
                    if candidate not in self.deferred:
                        await self.put_off(step, candidate)
                    return None
                begun = self.start(candidate, part, background=background)
            home = await self.home(lane, step, candidate, begun)
            outcomes, begun = outcomes | {e.id: o for e, o in zip(part, home, strict=True)}, None
            if len(outcomes) < len(order) and await self._losing(lane, step, candidate, order, outcomes):
                self._validated_at -= self.undrawn(candidate, order) if background else 0  # saved
                return await self._compared(step, candidate, list(outcomes.values()), stopped=True)
        await self.screens.done(candidate, outcomes)
        known = [outcomes[e.id] for e in self.everything if e.id in outcomes]
        if not await self._admitted(step, candidate, known):
            return None
        return await self._compared(step, candidate, known)

    async def _losing(
        self,
        lane: Lane,
        step: int,
        head: Candidate,
        order: Sequence[Example],
        outcomes: Mapping[ExampleId, Outcome],
    ) -> bool:
        """Cells do not count: what a head knows its line knows, and parents seldom come from the frontier."""
        closed = dict.fromkeys((e.id for e in order), max(1.0, self.settings.perfect))
        contest, rungs = self.contest(order, self.incumbent.rewards, closed), self.settings.rungs
        look = Look(step, head, self.incumbent.candidate, contest, order, outcomes, ODDS, 0.0)
        if rungs.first and len(outcomes) >= LATER * rungs.first and await self.hopeless(look):
            return True
        asking = self.asking(lane, step, head, order)
        return await self.screens.look(replace(look, level=rungs.level), asking)

    async def catch_up(self, lane: Lane) -> None:
        """At the end: the head and those put off get their full evaluation, as far as the budget holds it,
        and who was measured on a pool only the rest of it, the incumbent first.

        A head for which it does not is a finalist all the same.
        """
        self.broke = False
        try:
            for candidate in (self.head, *self.deferred):
                if candidate.id not in self.pool.members:
                    await self._caught_up(lane, candidate)
            for finalist in dict.fromkeys((self.incumbent.candidate, *self.pooled.unfinished(self.pool))):
                await self._finished(lane, finalist)
        except BudgetExceeded as stop:
            await self.stopped(self.at, stop)
        self.deferred = [c for c in self.deferred if c.id not in self.pool.members]

    async def _caught_up(self, lane: Lane, candidate: Candidate) -> None:
        order = self.order()
        rest = len(self.everything) - len(order)  # of whoever is the incumbent then
        wanted = self.undrawn(candidate, order) + rest + self.schedule.closing()
        if not self.ports.ledger.affords((), wanted):
            if candidate not in self.deferred:
                await self.put_off(self.at, candidate)
            return
        asked = set(order)
        outcomes = await self.rollouts(lane, self.at, candidate, [e for e in self.everything if e in asked])
        if await self._admitted(self.at, candidate, outcomes):
            await self._compared(self.at, candidate, outcomes)

    async def _finished(self, lane: Lane, finalist: Candidate) -> None:
        """Who may be a finalist and was measured on a pool only is measured on the rest, if that fits."""
        wanted = self.undrawn(finalist, self.everything) + self.schedule.closing()
        if not self.pool.complete(finalist.id) and self.ports.ledger.affords((), wanted):
            outcomes = await self.rollouts(lane, self.at, finalist, self.everything)
            self._measured[finalist.id] = scores(outcomes)
            await self.pooled.finished(self.at, finalist, outcomes, self.pool)

    async def _admitted(self, step: int, candidate: Candidate, outcomes: list[Outcome]) -> bool:
        panel = {example.id for example in self.panel}
        pareto = [outcome for outcome in outcomes if outcome.example not in panel]
        self._measured[candidate.id] = scores(outcomes)
        return candidate.id not in self.pool.members and await self.admit(step, candidate, pareto)

    async def _compared(
        self,
        step: int,
        new: Candidate,
        outcomes: list[Outcome],
        *,
        stopped: bool = False,
    ) -> bool:
        """True if the newly validated one is the incumbent now; if clearly worse, its line falls back.

        One that was `stopped` before the end has lost. On a pool the difference is estimated for everything.
        """
        old, rewards = self.incumbent.candidate, scores(outcomes)
        found = await self.pooled.compared(step, new, rewards, self.incumbent, len(self.everything))
        shorter = new.origin == "ablation"
        duel = self.incumbent.challenge(
            new, rewards, complete=not stopped, difference=found, ties=shorter and found is None
        )
        ended = events.ValidationEnded(
            step=step,
            candidate=new.id,
            incumbent=old.id,
            wins=duel.wins,
            losses=duel.losses,
            difference=duel.difference,
        )
        await self.ports.record.step(f"{step}/validated/{new.id}", lambda: ended)
        if (stopped or duel.clearly_worse) and self._descends(self.head, new):
            await self.move(step, old, "fallback")
        return self.incumbent.candidate.id == new.id

    def contenders(self) -> list[Contender]:
        """Who was validated, by everything that it was validated on; then those put off."""
        all_of = self._measured if self.panel else {}
        leader = self.incumbent.candidate.id
        members = [
            Contender(m.candidate, known, all_of.get(m.candidate.id, {}) if known else {})
            for m in self.pool.ranked()
            for known in [self.pooled.known(self.pool, m, leader)]
        ]
        members.sort(key=lambda one: (not self.pool.scored_enough(one.candidate.id), -one.mean))
        return [*members, *map(Contender, self.deferred)]

    def _descends(self, late: Candidate, early: Candidate) -> bool:
        while late.id != early.id and late.parents:
            late = self.known[late.parents[0]]
        return late.id == early.id

    def known_failures(self, candidate: Candidate, drawn: Sequence[Example]) -> tuple[Example, ...]:
        """Examples besides those drawn that it fails, as this run has seen: those it was asked last, as many
        as one step takes (`GepaSettings.known_failures`)."""
        seen, taken = self.seen.get(candidate.id, {}), {e.id for e in drawn}
        failed = [e for e, reward in seen.items() if reward < self.settings.perfect and e not in taken]
        last = set(failed[::-1][: self.settings.known_failures])
        return tuple(e for e in self.splits.reflect if e.id in last)

    def kept(self) -> int:
        """Kept for the closing, and where nothing else chooses the best, for the head's validation."""
        head = 0 if self.splits.select else len(self.everything)
        return self.schedule.closing() + head
