"""The line of heads that lanes share: who is head, when one is evaluated in full, when it falls back."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from paretune.algorithms.finish import Contender
from paretune.algorithms.lanes import Lane, Turns
from paretune.algorithms.search import Search
from paretune.algorithms.validation import Incumbent
from paretune.core import events
from paretune.core.budget import PAID
from paretune.core.candidate import Candidate, CandidateId
from paretune.core.errors import BudgetExceeded, ParetuneError
from paretune.core.example import Example, ExampleId
from paretune.core.rollout import Outcome, scores
from paretune.evaluate.queue import Priority

T = TypeVar("T")

ROLLOUTS, PROPOSAL, VALIDATION = 1, 2, 8
"""Ticks: how long a batch of rollouts, a proposal and a validation in the background are taken to last."""

FIRST = 2
"""The first validation does not wait for its share of the rollouts, but for so many times as many steps:
until then the result of the run is the initial prompt."""


@dataclass(slots=True)
class Line(Search):
    """`head` is what lanes edit, `moves` counts how often another one took its place.

    `incumbent` is the best head that was evaluated in full. `over` says why no further step begins. `seen`
    are first rewards on examples that a proposer may see, in the order of asking.
    """

    turns: Turns = field(default_factory=Turns)
    head: Candidate = field(init=False)
    incumbent: Incumbent = field(init=False)
    over: events.SearchEnded | None = None
    moves: int = 0
    panel: tuple[Example, ...] = ()
    seen: dict[CandidateId, dict[ExampleId, float]] = field(default_factory=dict)
    _unvalidated: int = 0
    _validating: bool = False
    _validated_at: int = 0
    _measured: dict[CandidateId, Mapping[ExampleId, float]] = field(default_factory=dict)

    async def begin(self, lane: Lane, seed: Candidate) -> None:
        """The seed is head and incumbent, with all pareto examples and the panel."""
        self.head = seed
        self.note(seed)
        outcomes = await self.rollouts(lane, 0, seed, self.everything)
        await self._admitted(0, seed, outcomes)
        self.incumbent = Incumbent(seed, scores(outcomes))
        self._validated_at = len(self.ports.ledger.drawn)

    @property
    def everything(self) -> tuple[Example, ...]:
        """What a head is validated on."""
        return (*self.splits.pareto, *self.panel)

    async def move(self, step: int, head: Candidate, reason: str) -> None:
        """This is the head now; a validation may be due."""
        self.head, self.moves = head, self.moves + 1
        self.note(head)
        self.schedule.last_better = self.schedule.generation(step)
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

    # -- validation -------------------------------------------------------------------------------

    async def _validate_if_due(self, step: int) -> None:
        """Start one in the background, of the newest head, one at a time."""
        head, pipeline = self.head, self.settings.pipeline
        if self._validating or self._unvalidated < pipeline.validate_every or head.id in self.pool.members:
            return
        wanted = self.undrawn(head, self.everything)
        since, share = len(self.ports.ledger.drawn) - self._validated_at, pipeline.validation_share
        first = len(self.pool.members) == 1 and self._unvalidated >= FIRST * pipeline.validate_every
        enough = since * share >= wanted * (1 - share)
        if (first or enough) and self.affords(wanted):
            self._validating, self._unvalidated = True, 0
            self._validated_at = len(self.ports.ledger.drawn) + wanted
            begun = events.ValidationStarted(step=step, candidate=head.id, panel=len(self.panel))
            await self.ports.record.step(f"{step}/validation/{head.id}", lambda: begun)
            # Drawn here and now: other lanes go on before this one has its first turn.
            work = self.ports.evaluate.start(self.requests(head, self.everything), Priority.BACKGROUND)
            self.turns.start(lambda lane: self._validate(lane, step, head, work))

    async def _validate(self, lane: Lane, step: int, head: Candidate, work: Awaitable[list[Outcome]]) -> None:
        try:
            outcomes = await self._home(lane, step, head, work, VALIDATION)
        except BudgetExceeded as stop:
            await self.stopped(step, stop)
            return
        self._validating = False
        if await self._admitted(step, head, outcomes):
            await self._compared(step, head, outcomes)
        await self._validate_if_due(step)

    async def measure(self, lane: Lane, step: int, child: Candidate) -> None:
        """A child from off the line is evaluated in full at once; if it wins, it is the head."""
        if not self.affords(self.undrawn(child, self.everything)):
            await self.put_off(step, child)
            return
        outcomes = await self.rollouts(lane, step, child, self.everything)
        if await self._admitted(step, child, outcomes) and await self._compared(step, child, outcomes):
            await self.move(step, child, "won")

    async def catch_up(self, lane: Lane) -> None:
        """At the end: the head and those put off get their full evaluation, as far as the budget holds it.

        A head for which it does not is a finalist all the same.
        """
        for candidate in (self.head, *self.deferred):
            if candidate.id in self.pool.members:
                continue
            wanted = self.undrawn(candidate, self.everything) + self.schedule.closing()
            if not self.ports.ledger.affords((), wanted):
                if candidate not in self.deferred:
                    await self.put_off(self.at, candidate)
                continue
            outcomes = await self.rollouts(lane, self.at, candidate, self.everything)
            if await self._admitted(self.at, candidate, outcomes):
                await self._compared(self.at, candidate, outcomes)
        self.deferred = [c for c in self.deferred if c.id not in self.pool.members]

    async def _admitted(self, step: int, candidate: Candidate, outcomes: list[Outcome]) -> bool:
        pareto = outcomes[: len(self.splits.pareto)]
        self._measured[candidate.id] = scores(outcomes)
        return candidate.id not in self.pool.members and await self.admit(step, candidate, pareto)

    async def _compared(self, step: int, new: Candidate, outcomes: list[Outcome]) -> bool:
        """True if the newly validated one is the incumbent now; if clearly worse, its line falls back."""
        old = self.incumbent.candidate
        duel = self.incumbent.challenge(new, scores(outcomes))
        ended = events.ValidationEnded(
            step=step,
            candidate=new.id,
            incumbent=old.id,
            wins=duel.wins,
            losses=duel.losses,
            difference=duel.difference,
        )
        await self.ports.record.step(f"{step}/validated/{new.id}", lambda: ended)
        if duel.clearly_worse and self._descends(self.head, new):
            await self.move(step, old, "fallback")
        return duel.won

    def contenders(self) -> list[Contender]:
        """Who was validated, by everything that it was validated on; then those put off."""
        all_of = self._measured if self.panel else {}
        members = [
            Contender(m.candidate, m.rewards, all_of.get(m.candidate.id, {})) for m in self.pool.ranked()
        ]
        members.sort(key=lambda one: (not self.pool.scored_enough(one.candidate.id), -one.mean))
        return [*members, *map(Contender, self.deferred)]

    def _descends(self, late: Candidate, early: Candidate) -> bool:
        while late.id != early.id and late.parents:
            late = self.known[late.parents[0]]
        return late.id == early.id

    # -- rollouts and budget ----------------------------------------------------------------------

    def kept(self) -> int:
        """Kept for the closing, and where nothing else chooses the best, for the head's validation."""
        head = 0 if self.splits.select else len(self.everything)
        return self.schedule.closing() + head

    def affords(self, wanted: int) -> bool:
        return self.ports.ledger.affords((), wanted + self.kept())

    async def stopped(self, step: int, stop: BudgetExceeded) -> None:
        """No further step begins; the first reason counts, later steps are skipped for theirs."""
        if self.over is None:
            self.over = await self.end(step, stop.limit, str(stop))
        elif stop.limit not in PAID:  # what could be paid is no consequence of the record
            await self.skip(step, "budget", str(stop))

    async def rollouts(
        self,
        lane: Lane,
        step: int,
        candidate: Candidate,
        examples: Sequence[Example],
        replicate: int = 0,
    ) -> list[Outcome]:
        """Outcomes, noted in this lane's turn; a proposer sees first draws only.

        Raises BudgetExceeded where money ran out, then or now.
        """
        requests = self.requests(candidate, examples, replicate)
        work = self.ports.evaluate.start(requests, Priority.GATE)
        return await self._home(lane, step, candidate, work, ROLLOUTS, noted=not replicate)

    async def _home(
        self,
        lane: Lane,
        step: int,
        candidate: Candidate,
        work: Awaitable[list[Outcome]],
        ticks: int,
        *,
        noted: bool = True,
    ) -> list[Outcome]:
        outcomes = await self.paid(lane, step, work, ticks)
        if self._ran_out(step):
            raise BudgetExceeded("cost_usd", 0, 0)
        noticed = self.notes.keep(candidate.id, outcomes if noted else ())
        self.seen.setdefault(candidate.id, {}).update(noticed)
        return outcomes

    async def paid(self, lane: Lane, step: int, work: Awaitable[T], ticks: int) -> T:
        """The result of this work, at the lane's next turn. Raises BudgetExceeded if money ran out by then:
        what could not be paid is not on record."""
        try:
            return await lane.work(work, ticks)
        except ParetuneError as error:
            if self._ran_out(step):
                raise BudgetExceeded("cost_usd", 0, 0) from error
            raise

    def _ran_out(self, step: int) -> bool:
        """Money or tokens ended the search, or did so here in an earlier session."""
        return (self.over is not None and self.over.reason in PAID) or self.ports.record.ahead(f"{step}/end")
