"""GEPA: reflective evolution with a Pareto frontier (Agrawal et al., arXiv 2507.19457), one lane."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from functools import partial

from paretune.algorithms.pool import Pool
from paretune.algorithms.ports import Ports
from paretune.algorithms.screening import Asking
from paretune.algorithms.search import Search
from paretune.core import events
from paretune.core.budget import PAID
from paretune.core.candidate import Candidate, CandidateId
from paretune.core.errors import BudgetExceeded
from paretune.core.example import Example
from paretune.core.gate import Acceptance, compare
from paretune.core.rollout import LO, Outcome, scores
from paretune.evaluate.queue import Priority

__all__ = ["Gepa", "Ports"]


@dataclass(frozen=True, slots=True)
class Child:
    """A draft on its way through the gate: the candidate, and what it must beat."""

    candidate: Candidate
    before: dict[str, float]
    examples: tuple[Example, ...]


@dataclass(slots=True)
class Gepa(Search):
    """One search, one thing at a time. `run` leaves the pool; who is best is decided elsewhere."""

    async def run(self, seed: Candidate) -> Pool:
        """Evolve the pool from this seed until a stop applies."""
        self.note(seed)
        if seed.id not in self.pool.members:
            await self._evaluate_fully(0, seed)
        while not (end := self.over or await self.ended(step := self.at + 1)):
            self.at = step
            await self._within_budget(step, self._step(step))
        if end.reason not in {*PAID, "time"}:  # what is left of these is for the closing
            await self._within_budget(step, self._catch_up(step, self.schedule.closing()))
            await self._within_budget(step, self._complete_finalists())
        return self.pool

    async def _within_budget(self, step: int, work: Awaitable[None]) -> None:
        try:
            await work
        except BudgetExceeded as stop:
            await self.stopped(step, stop)

    # -- one step ---------------------------------------------------------------------------------

    async def _step(self, step: int) -> None:
        await self.pooled.choose(step, self.schedule.generation(step))
        await self._catch_up(step, self.schedule.keep(step - 1) if step > 1 else 0)
        child = await self._merge(step) or await self._mutate(step)
        if child and await self._passes_gate(step, child):
            await self._admit(step, child.candidate)

    async def _mutate(self, step: int) -> Child | None:
        """Parent, minibatch, reflection, guards: a child to be gated, or None."""
        parent_id, targets = self._parent_and_targets(step)
        parent = self.pool.members[parent_id].candidate
        examples = self.draw_minibatch()
        self._refuse_half_a_step(parent, examples)
        start = events.StepStarted(
            step=step,
            generation=self.schedule.generation(step),
            parent=parent_id,
            targets=list(targets),
            minibatch=[e.id for e in examples],
        )
        await self.ports.record.step(f"{step}/start", lambda: start)
        outcomes = await self._rollouts(parent, examples)
        before = scores(outcomes)
        if nothing := self.nothing_to_learn(before):
            await self.skip(step, *nothing)
            return None
        packet = self.packet(step, parent, targets, outcomes)
        drafted = await self.paid(step, self.ports.propose.start(packet))
        proposal = await self.guarded(step, packet, drafted)
        if proposal is None:
            return None
        generation = self.schedule.generation(step)
        child = Candidate(proposal.components, (parent.id,), generation, "mutation")
        await self.proposed(step, child, rationale=proposal.rationale, proposal=drafted.key)
        return Child(child, before, examples)

    def _parent_and_targets(self, step: int) -> tuple[CandidateId, tuple[str, ...]]:
        """Generation 0 edits the seed; later parents come by frontier frequency, components by turns."""
        if self.schedule.generation(step) == 0:
            parent_id = next(iter(self.pool.members))
        else:
            parent_id = self.frontier_parent(step)
        member = self.pool.members[parent_id]
        targets = self.targets(step, list(member.candidate.components), member.cursor)
        member.cursor += 1
        return parent_id, targets

    def _refuse_half_a_step(self, parent: Candidate, examples: tuple[Example, ...]) -> None:
        """Raises BudgetExceeded unless parent and child both fit, with the end of the run kept back."""
        ledger = self.ports.ledger
        wanted = self.undrawn(parent, examples) + len(examples) + self.schedule.closing()
        if not ledger.affords((), wanted):
            raise BudgetExceeded("rollouts", wanted, ledger.left() or 0)

    async def _merge(self, step: int) -> Child | None:
        """With the chance of `crossover_rate`, a child of two frontier members instead of a mutation."""
        merge = self.merge_of_two(step)
        if merge is None:
            return None
        examples, before = self.merge_gate(merge, step)
        if not self.ports.ledger.affords((), self.undrawn(merge.child, examples) + self.schedule.closing()):
            return None
        await self.proposed(step, merge.child, ancestor=merge.ancestor)
        return Child(merge.child, before, examples)

    async def _passes_gate(self, step: int, child: Child) -> bool:
        """Paired on exactly the examples its parent was scored on."""
        outcomes = await self._rollouts(child.candidate, child.examples)
        verdict = compare(child.before, scores(outcomes), acceptance=self._acceptance(child))
        return await self.judged(step, child.candidate, verdict)

    def _acceptance(self, child: Child) -> Acceptance:
        """A merge need not beat its better parent on the gate, only hold it (as in the paper)."""
        return Acceptance.EQUAL if child.candidate.origin == "merge" else self.settings.acceptance

    async def _admit(self, step: int, candidate: Candidate) -> None:
        """Full evaluation, or put off if the budget keeps what it would take for gates and the end."""
        if self._affords_all(candidate, self.schedule.keep(step)):
            await self._evaluate_fully(step, candidate)
        else:
            await self.put_off(step, candidate)

    async def _catch_up(self, step: int, keep: int) -> None:
        """Evaluate children that were put off, as soon as the budget holds it."""
        while self.deferred and self._affords_all(self.deferred[0], keep):
            await self._evaluate_fully(step, self.deferred.pop(0))

    def _affords_all(self, candidate: Candidate, keep: int) -> bool:
        """True if all it is measured on first fits beside what is kept."""
        return self._fits(candidate, self.pooled.examples, keep)

    def _fits(self, candidate: Candidate, examples: Sequence[Example], keep: int) -> bool:
        """True if all of these fit beside what is kept; what is drawn already costs nothing."""
        ledger = self.ports.ledger
        if ledger.affords((), len(examples) + keep):
            return True
        wanted = self.undrawn(candidate, examples)
        return not wanted or ledger.affords((), wanted + keep)

    async def _evaluate_fully(self, step: int, candidate: Candidate) -> None:
        rollouts = partial(self._rollouts, candidate, priority=Priority.FULL)
        lo, keep = partial(self._rollouts, priority=Priority.FULL, tier=LO), self.schedule.keep(step)
        asking = Asking(lo, lambda wanted: self._affords_all(candidate, keep + wanted))
        outcomes = await self.evaluated_in_full(step, candidate, rollouts, asking)
        if outcomes is not None:
            await self.admit(step, candidate, outcomes)

    async def _complete_finalists(self) -> None:
        """Who may be a finalist and was measured on a pool only is measured on the rest, if that fits."""
        for finalist in self.pooled.unfinished(self.pool):
            if self._fits(finalist, self.splits.pareto, self.schedule.closing()):
                outcomes = await self._rollouts(finalist, self.splits.pareto, Priority.FULL)
                await self.pooled.finished(self.at, finalist, outcomes, self.pool)

    async def _rollouts(
        self,
        candidate: Candidate,
        examples: Sequence[Example],
        priority: Priority = Priority.GATE,
        tier: str = "",
    ) -> list[Outcome]:
        requests = self.requests(candidate, examples, tier=tier)
        outcomes = await self.paid(self.at, self.ports.evaluate.evaluate(requests, priority))
        if not tier:
            self.notes.keep(candidate.id, outcomes)
        return outcomes
