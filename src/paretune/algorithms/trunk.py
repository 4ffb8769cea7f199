"""The trunk: several lanes without barriers that share one head (`pipeline.mode = "async"`).

A lane takes the present head as parent, without waiting for its validation: minibatch, reflection, gate. Its
edit is carried onto whatever the head has become meanwhile (`core.textmerge`), and if it passes, that is the
new head. Full evaluation is rare: after some accepted edits the newest head goes to all pareto examples in
the background. The best one validated is the *incumbent*, to which a head that turns out worse falls back.
When validations bring nothing better, parents come from the Pareto frontier, as in the paper, until a child
wins.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import TypeVar

from paretune.algorithms.lanes import Lane, Turns
from paretune.algorithms.pool import Pool
from paretune.algorithms.racing import Race
from paretune.algorithms.search import Search
from paretune.algorithms.settings import Staleness
from paretune.algorithms.validation import Incumbent, choose_panel
from paretune.core import events
from paretune.core.budget import PAID
from paretune.core.candidate import Candidate, CandidateId
from paretune.core.errors import BudgetExceeded, ParetuneError
from paretune.core.example import Example, ExampleId
from paretune.core.gate import Acceptance, compare
from paretune.core.rollout import Outcome, scores
from paretune.core.textmerge import merge_components
from paretune.evaluate.queue import Priority
from paretune.propose.base import Packet, Proposal
from paretune.propose.guards import Reason, Rejected, check

T = TypeVar("T")

ROLLOUTS, PROPOSAL, VALIDATION = 1, 2, 8
"""Ticks: how long a batch of rollouts, a proposal and a validation in the background are taken to last."""

MOST_GATES = 3
"""A child whose edit clashes with a head that moved must beat that head, in so many gates at most."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A child before its gate. `baseline` is the text that it must beat, `onto` the one that it replaces."""

    child: Candidate
    baseline: Candidate
    onto: Candidate
    packet: Packet
    proposal: Proposal


@dataclass(slots=True)
class Trunk(Search):
    """One search of several lanes. `head` is what they edit; `over` says why no further step begins."""

    turns: Turns = field(default_factory=Turns)
    head: Candidate = field(init=False)
    incumbent: Incumbent = field(init=False)
    over: events.SearchEnded | None = None
    _panel: tuple[Example, ...] = ()
    _moves: int = 0
    _unvalidated: int = 0
    _validating: bool = False
    _validated_at: int = 0
    _asked: set[tuple[CandidateId, tuple[ExampleId, ...]]] = field(default_factory=set)

    async def run(self, seed: Candidate) -> Pool:
        """Evolve from this seed until a stop applies; who is in the pool by then was measured in full."""
        self.head = seed
        self.note(seed)
        self._panel = choose_panel(self.splits, self.settings, self.ports.ledger.limits.rollouts)
        await self.turns.run(lambda lane: self._begin(lane, seed))
        if self.over is None or self.over.reason not in {*PAID, "time"}:
            await self.turns.run(self._catch_up)
        return self.pool

    async def _begin(self, lane: Lane, seed: Candidate) -> None:
        """The seed on all pareto examples; then all lanes start."""
        outcomes = await self._rollouts(lane, 0, seed, (*self.splits.pareto, *self._panel))
        await self.admit(0, seed, outcomes[: len(self.splits.pareto)])
        self.incumbent = Incumbent(seed, scores(outcomes))
        for _ in range(self.settings.pipeline.lanes):
            self.turns.start(self._lane)
        self._validated_at = len(self.ports.ledger.drawn)

    async def _lane(self, lane: Lane) -> None:
        while self.over is None:
            step = self.at + 1
            self.over = await self.ended(step)
            if self.over is None:
                self.at = step
                try:
                    await self._step(lane, step)
                except BudgetExceeded as stop:
                    if self.over is None:
                        self.over = await self.end(step, stop.limit, str(stop))

    # -- one step ---------------------------------------------------------------------------------

    async def _step(self, lane: Lane, step: int) -> None:
        """Parent, minibatch, reflection, guards, gate, head."""
        plateau = self.incumbent.idle >= self.settings.pipeline.plateau
        if plateau and await self._merge(lane, step):
            return
        parent = self.known[self.frontier_parent(step)] if plateau else self.head
        moves, examples = self._moves, self.draw_minibatch()
        packet = await self._reflected(lane, step, parent, examples)
        if packet is None:
            return
        drafted = await self._paid(lane, step, self.ports.propose.propose(packet), PROPOSAL)
        proposal = await self.guarded(step, packet, drafted)
        if proposal is None:
            return
        draft = await self._drafted(step, packet, proposal, None if plateau else moves)
        if draft is None:
            return
        ancestor = parent.id if draft.child.parents[0] != parent.id else ""
        await self.proposed(
            step, draft.child, rationale=proposal.rationale, proposal=drafted.key, ancestor=ancestor
        )
        if plateau:
            if await self._passes(lane, step, draft, examples):
                await self._measure(lane, step, draft.child)
        else:
            await self._contend(lane, step, draft, examples)

    async def _reflected(
        self, lane: Lane, step: int, parent: Candidate, examples: tuple[Example, ...]
    ) -> Packet | None:
        """The parent on its minibatch, for the proposer; None if there is nothing to learn from it.

        Raises BudgetExceeded unless parent and child both fit.
        """
        targets = self.targets(step, list(parent.components), step - 1)
        start = events.StepStarted(
            step=step,
            generation=self.schedule.generation(step),
            parent=parent.id,
            targets=list(targets),
            minibatch=[e.id for e in examples],
            lane=lane.number,
        )
        await self.ports.record.step(f"{step}/start", lambda: start)
        wanted = self.undrawn(parent, examples) + len(examples)
        if not self._affords(wanted):
            raise BudgetExceeded("rollouts", wanted + self._kept(), self.ports.ledger.left() or 0)
        outcomes = await self._rollouts(lane, step, parent, examples)
        if nothing := self._nothing_to_learn(parent, scores(outcomes)):
            await self.skip(step, *nothing)
            return None
        return self.packet(step, parent, targets, outcomes)

    def _nothing_to_learn(self, parent: Candidate, before: dict[ExampleId, float]) -> tuple[str, str] | None:
        """Why nothing is asked of the proposer; else the pair of parent and failures is noted as asked."""
        if nothing := self.nothing_to_learn(before):
            return nothing
        failed = tuple(sorted(e for e, reward in before.items() if reward < self.settings.perfect))
        if (parent.id, failed) in self._asked:
            return "asked_before", "the same parent with the same failures"
        self._asked.add((parent.id, failed))
        return None

    async def _drafted(
        self, step: int, packet: Packet, proposal: Proposal, moves: int | None
    ) -> Draft | None:
        """The child: the proposal as it is, or its edit carried onto a head that moved meanwhile.

        `moves` is the head's number when the parent was taken, None for a parent off the trunk. An edit
        that clashes with the head's makes a child that must beat the head itself.
        """
        parent, pipeline = packet.parent, self.settings.pipeline
        generation = self.schedule.generation(step)
        child = Candidate(proposal.components, (parent.id,), generation, "mutation")
        if moves is None or self.head.id == parent.id or pipeline.staleness is Staleness.ACCEPT:
            return Draft(child, parent, parent, packet, proposal)
        try:
            if pipeline.staleness is Staleness.DROP:
                if self._moves - moves > pipeline.oldest:
                    late = f"the head moved {self._moves - moves} times meanwhile"
                    raise Rejected(Reason.STALE, late)
                return Draft(child, parent, parent, packet, proposal)
            merge = merge_components(parent.components, self.head.components, proposal.components)
            if merge.components is None:
                return Draft(child, self.head, self.head, packet, proposal)
            proposal = replace(proposal, components=merge.components)
            texts = self._checked_on_head(proposal, packet)
        except Rejected as rejection:
            await self.turned_down(step, parent.id, rejection, proposal)
            return None
        carried = Candidate(texts, (self.head.id,), generation, "mutation")
        return Draft(carried, parent, self.head, packet, proposal)

    # -- the gate ---------------------------------------------------------------------------------

    async def _contend(self, lane: Lane, step: int, draft: Draft, examples: Sequence[Example]) -> None:
        """Until the child falls, or it (or its edit on a head that moved during the gate) is the head."""
        for number in range(MOST_GATES):
            if not await self._passes(lane, step, draft, examples, number):
                return
            if self.head.id == draft.onto.id or self.settings.pipeline.staleness is not Staleness.REPAIR:
                await self._move(step, draft.child, "accepted")
                return
            joined = self._joined(draft)
            if joined is not None:
                await self._move(step, joined, "joined")
                return
            draft = replace(draft, baseline=self.head, onto=self.head)
        await self.skip(step, "overtaken", f"the head moved during each of {MOST_GATES} gates")

    def _joined(self, draft: Draft) -> Candidate | None:
        """The passed edit on the present head, ungated; None where the two clash or the guards object."""
        onto, head, child = (c.components for c in (draft.onto, self.head, draft.child))
        merge = merge_components(onto, head, child)
        if merge.components is None or dict(merge.components) == dict(head):
            return None
        try:
            joined = replace(draft.proposal, components=merge.components)
            texts = self._checked_on_head(joined, draft.packet)
        except Rejected:
            return None
        return Candidate(texts, (self.head.id, draft.child.id), draft.child.generation, "join")

    def _checked_on_head(self, proposal: Proposal, packet: Packet) -> dict[str, str]:
        """The texts, if the guards let them pass as a child of the head. Raises Rejected."""
        on_head = replace(packet, parent=self.head, rejected=())
        return check(proposal, on_head, known=self.known, training=self.notes.all())

    async def _passes(
        self, lane: Lane, step: int, draft: Draft, examples: Sequence[Example], number: int = 0
    ) -> bool:
        """Child against baseline, on the minibatch and on guards that the baseline is known to pass."""
        rng = self.stream("gate" if not number else f"gate/{number}", step)
        if not self._affords(self.undrawn(draft.baseline, examples)):
            await self.skip(step, "budget", "the gate does not fit")
            return False
        before = scores(await self._rollouts(lane, step, draft.baseline, examples))
        perfect, known = self.settings.perfect, self.notes.rewards(draft.baseline.id)
        passed = {e: reward for e, reward in before.items() if reward >= perfect}
        race = Race(
            failed={e: reward for e, reward in before.items() if reward < perfect},
            passed={**passed, **self._guards(known, examples, rng)},
            share=sum(reward >= perfect for reward in known.values()) / max(1, len(known)),
            chunk=self.settings.minibatch_size,
            rng=rng,
        )
        by_id = {e.id: e for e in self.splits.reflect}
        while chunk := race.next():
            asked = [by_id[e] for e in chunk]
            if not self._affords(self.undrawn(draft.child, asked)):
                await self.skip(step, "budget", "the gate does not fit")
                return False
            race.scored(scores(await self._rollouts(lane, step, draft.child, asked)))
        return await self.judged(step, draft.child, race.verdict(), draft.baseline.id, number)

    def _guards(
        self, known: Mapping[ExampleId, float], beside: Sequence[Example], rng: Random
    ) -> dict[ExampleId, float]:
        taken = {e.id for e in beside}
        passed = {e: r for e, r in known.items() if r >= self.settings.perfect and e not in taken}
        drawn = rng.sample(list(passed), min(self.settings.pipeline.guards, len(passed)))
        return {e: passed[e] for e in drawn}

    async def _move(self, step: int, head: Candidate, reason: str) -> None:
        """This is the head now; a validation may be due."""
        self.head, self._moves = head, self._moves + 1
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
        await self.ports.record.step(f"{step}/head/{self._moves}", lambda: moved)
        if reason in ("accepted", "joined"):
            self._unvalidated += 1
            await self._validate_if_due(step)

    # -- validation -------------------------------------------------------------------------------

    async def _validate_if_due(self, step: int) -> None:
        """Start one in the background, of the newest head, one at a time."""
        head = self.head
        pipeline, wanted = self.settings.pipeline, self.undrawn(head, self._everything)
        since = len(self.ports.ledger.drawn) - self._validated_at
        enough = self._unvalidated >= pipeline.validate_every
        enough = enough and since * pipeline.validation_share >= wanted * (1 - pipeline.validation_share)
        if self._validating or not enough or head.id in self.pool.members:
            return
        if self._affords(wanted):
            self._validating, self._unvalidated = True, 0
            self._validated_at = len(self.ports.ledger.drawn) + wanted
            begun = events.ValidationStarted(step=step, candidate=head.id, panel=len(self._panel))
            await self.ports.record.step(f"{step}/validation/{head.id}", lambda: begun)
            self.turns.start(lambda lane: self._validate(lane, step, head))

    async def _validate(self, lane: Lane, step: int, head: Candidate) -> None:
        try:
            outcomes = await self._rollouts(lane, step, head, self._everything, VALIDATION)
        except BudgetExceeded as stop:
            if self.over is None:
                self.over = await self.end(step, stop.limit, str(stop))
            return
        self._validating = False
        if await self._admitted(step, head, outcomes):
            await self._compared(step, head, outcomes)
        await self._validate_if_due(step)

    @property
    def _everything(self) -> tuple[Example, ...]:
        return (*self.splits.pareto, *self._panel)

    async def _admitted(self, step: int, candidate: Candidate, outcomes: list[Outcome]) -> bool:
        pareto = outcomes[: len(self.splits.pareto)]
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
            await self._move(step, old, "fallback")
        return duel.won

    def _descends(self, late: Candidate, early: Candidate) -> bool:
        while late.id != early.id and late.parents:
            late = self.known[late.parents[0]]
        return late.id == early.id

    # -- off the trunk ----------------------------------------------------------------------------

    async def _merge(self, lane: Lane, step: int) -> bool:
        """With the chance of `crossover_rate`, a child of two frontier members takes this step."""
        merge = self.merge_of_two(step)
        if merge is None:
            return False
        examples, before = self.merge_gate(merge, step)
        if not self._affords(self.undrawn(merge.child, examples)):
            return False
        await self.proposed(step, merge.child, ancestor=merge.ancestor)
        outcomes = await self._rollouts(lane, step, merge.child, examples)
        verdict = compare(before, scores(outcomes), acceptance=Acceptance.EQUAL)
        if await self.judged(step, merge.child, verdict):
            await self._measure(lane, step, merge.child)
        return True

    async def _measure(self, lane: Lane, step: int, child: Candidate) -> None:
        """A child of the frontier is evaluated in full at once; if it wins, it is the head."""
        if not self._affords(self.undrawn(child, self._everything)):
            await self.put_off(step, child)
            return
        outcomes = await self._rollouts(lane, step, child, self._everything)
        if await self._admitted(step, child, outcomes) and await self._compared(step, child, outcomes):
            await self._move(step, child, "won")

    async def _catch_up(self, lane: Lane) -> None:
        """At the end: the head and those put off get their full evaluation, as far as the budget holds it.

        A head for which it does not is a finalist all the same.
        """
        for candidate in (self.head, *self.deferred):
            if candidate.id in self.pool.members:
                continue
            wanted = self.undrawn(candidate, self.splits.pareto) + self.schedule.closing()
            if not self.ports.ledger.affords((), wanted):
                if candidate not in self.deferred:
                    await self.put_off(self.at, candidate)
                continue
            outcomes = await self._rollouts(lane, self.at, candidate, self.splits.pareto)
            if await self._admitted(self.at, candidate, outcomes):
                await self._compared(self.at, candidate, outcomes)
        self.deferred = [c for c in self.deferred if c.id not in self.pool.members]

    # -- rollouts and budget ----------------------------------------------------------------------

    def _kept(self) -> int:
        """Kept for the closing, and where nothing else chooses the best, for the head's validation."""
        head = 0 if self.splits.select else len(self.splits.pareto)
        return self.schedule.closing() + head

    def _affords(self, wanted: int) -> bool:
        return self.ports.ledger.affords((), wanted + self._kept())

    async def _rollouts(
        self,
        lane: Lane,
        step: int,
        candidate: Candidate,
        examples: Sequence[Example],
        ticks: int = ROLLOUTS,
    ) -> list[Outcome]:
        """Outcomes, noted in this lane's turn. Raises BudgetExceeded where money ran out, then or now."""
        requests = self.requests(candidate, examples)
        priority = Priority.BACKGROUND if ticks == VALIDATION else Priority.GATE
        outcomes = await self._paid(lane, step, self.ports.evaluate.start(requests, priority), ticks)
        if self._ran_out(step):
            raise BudgetExceeded("cost_usd", 0, 0)
        self.notes.keep(candidate.id, outcomes)
        return outcomes

    async def _paid(self, lane: Lane, step: int, work: Awaitable[T], ticks: int) -> T:
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
