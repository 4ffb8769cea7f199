"""GEPA: reflective evolution with a Pareto frontier (Agrawal et al., arXiv 2507.19457), one lane."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from paretune.algorithms.merge import Merge, Merger, gate_examples
from paretune.algorithms.notebook import Notebook
from paretune.algorithms.pool import Pool
from paretune.algorithms.ports import Drafted, Evaluate, Propose, Record
from paretune.algorithms.settings import GepaSettings
from paretune.algorithms.stops import LiveStop, Schedule
from paretune.core import events
from paretune.core.budget import Ledger
from paretune.core.candidate import Candidate, CandidateId
from paretune.core.canonical import stream
from paretune.core.errors import BudgetExceeded, RunFailed
from paretune.core.example import Example, Splits
from paretune.core.frontier import choose_parent
from paretune.core.gate import Acceptance, Verdict, compare
from paretune.core.rollout import Failure, Outcome, Rollout, RolloutRequest, scores
from paretune.core.sampling import minibatch
from paretune.propose.base import Packet, Proposal, Surface, Tried
from paretune.propose.guards import Rejected, check


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything a search acts through."""

    evaluate: Evaluate
    propose: Propose
    record: Record
    ledger: Ledger
    live_stop: LiveStop


@dataclass(frozen=True, slots=True)
class Child:
    """A draft on its way through the gate: the candidate, and what it must beat."""

    candidate: Candidate
    before: dict[str, float]
    examples: tuple[Example, ...]


@dataclass(slots=True)
class Gepa:
    """One search. `run` leaves the pool; who is best is decided elsewhere."""

    splits: Splits
    surface: Surface
    settings: GepaSettings
    ports: Ports
    pool: Pool = field(init=False)
    deferred: list[Candidate] = field(default_factory=list)
    _merger: Merger = field(init=False)
    _schedule: Schedule = field(init=False)
    _notes: Notebook = field(init=False)
    _known: set[CandidateId] = field(default_factory=set)
    _minibatches: int = 0
    _step: int = 0

    def __post_init__(self) -> None:
        self.pool = Pool(self.settings.frontier, self.settings.epsilon, len(self.splits.pareto))
        self._merger = Merger(self.settings.merge_overlap_floor)
        self._schedule = Schedule(self.settings, self.splits, self.ports.ledger)
        self._notes = Notebook(self.splits.reflect, self.settings.perfect)

    async def run(self, seed: Candidate) -> Pool:
        """Evolve the pool from this seed until a stop applies."""
        self._known.add(seed.id)
        await self._evaluate_fully(0, seed)
        while not (end := await self._ended(step := self._step + 1)):
            self._step = step
            try:
                await self._catch_up(step, self._schedule.keep(step - 1) if step > 1 else 0)
                child = await self._merge(step) or await self._mutate(step)
                if child and await self._passes_gate(step, child):
                    await self._admit(step, child.candidate)
            except BudgetExceeded as stop:
                end = await self._end(step, stop.limit, str(stop))
                break
        if end.reason not in ("cost_usd", "tokens", "time"):  # what is left of these is for the closing
            await self._catch_up(step, self._schedule.closing())
        return self.pool

    async def _ended(self, step: int) -> events.SearchEnded | None:
        """A stop that follows from the record is decided afresh; one by clock or person is recorded."""
        due = self._schedule.due(step, self.pool)
        if due:
            return await self._end(step, *due)
        self.ports.ledger.steps = step
        return await self.ports.record.chance(f"{step}/end", lambda: self.ports.live_stop(step))

    async def _end(self, step: int, reason: str, detail: str) -> events.SearchEnded:
        decision = events.SearchEnded(step=step, reason=reason, detail=detail)
        if reason in ("cost_usd", "tokens"):
            # What calls cost and in which order they came home is no consequence of the record.
            return await self.ports.record.chance(f"{step}/end", lambda: decision) or decision
        return await self.ports.record.step(f"{step}/end", lambda: decision)

    # -- one step ---------------------------------------------------------------------------------

    async def _mutate(self, step: int) -> Child | None:
        """Parent, minibatch, reflection, guards: a child to be gated, or None."""
        parent_id, targets = self._parent_and_targets(step)
        examples = self._draw_minibatch()
        self._refuse_half_a_step(self.pool.members[parent_id].candidate, examples)
        await self.ports.record.step(
            f"{step}/start",
            lambda: events.StepStarted(
                step=step,
                generation=self._schedule.generation(step),
                parent=parent_id,
                targets=list(targets),
                minibatch=[e.id for e in examples],
            ),
        )
        parent = self.pool.members[parent_id].candidate
        outcomes = await self._rollouts(parent, examples)
        before = scores(outcomes)
        if not before:
            await self._skip(step, "nothing_scored", "every rollout of the parent failed")
            return None
        if self.settings.skip_perfect and all(r >= self.settings.perfect for r in before.values()):
            await self._skip(step, "all_perfect", f"the parent solved all {len(before)} examples")
            return None
        shown = [o.example for o in outcomes if isinstance(o, Rollout)]
        packet = Packet(
            parent=parent,
            targets=targets,
            evidence=self._notes.of(parent.id, shown),
            surface=self.surface,
            grandparent=self.pool.members[parent.parents[0]].candidate if parent.parents else None,
            examples=self._notes.besides(shown),
            rejected=tuple(self.pool.members[parent.id].tried),
            draw=f"{self.settings.seed}/{step}",
        )
        drafted = await self.ports.propose.propose(packet)
        child = await self._guarded(step, packet, drafted)
        return Child(child, before, examples) if child else None

    def _parent_and_targets(self, step: int) -> tuple[CandidateId, tuple[str, ...]]:
        """Generation 0 edits the seed; later parents come by frontier frequency, components by turns."""
        if self._schedule.generation(step) == 0:
            parent_id = next(iter(self.pool.members))
        else:
            frequencies = self.pool.frontier.frequencies()
            parent_id = choose_parent(frequencies, self._stream("parent", step), self.settings.pressure)
        member = self.pool.members[parent_id]
        names = list(member.candidate.components)
        turn = names[member.cursor % len(names)]
        member.cursor += 1
        rng = self._stream("components", step)
        also = {n for n in names if n != turn and rng.random() < self.settings.mutation_rate}
        return parent_id, tuple(n for n in names if n == turn or n in also)

    def _draw_minibatch(self) -> tuple[Example, ...]:
        drawn = minibatch(
            self.splits.reflect, self.settings.minibatch_size, self._minibatches, seed=self.settings.seed
        )
        self._minibatches += 1
        return tuple(drawn)

    def _refuse_half_a_step(self, parent: Candidate, examples: tuple[Example, ...]) -> None:
        """Raises BudgetExceeded unless parent and child both fit, with the end of the run kept back."""
        ledger = self.ports.ledger
        parent_keys = self.ports.evaluate.keys([RolloutRequest(parent, e) for e in examples])
        if not ledger.affords(parent_keys, len(examples) + self._schedule.closing()):
            wanted = len(set(parent_keys) - ledger.drawn) + len(examples) + self._schedule.closing()
            raise BudgetExceeded("rollouts", wanted, ledger.left() or 0)

    async def _guarded(self, step: int, packet: Packet, drafted: Drafted) -> Candidate | None:
        """The child that the proposal makes of the parent, if the guards let it pass."""
        parent, result = packet.parent, drafted.result
        try:
            if isinstance(result, Rejected):
                raise result
            components = check(result, packet, known=self._known, training=self._notes.all())
        except Rejected as rejection:
            await self._turned_down(step, parent.id, rejection, result)
            return None
        generation = self._schedule.generation(step)
        child = Candidate(components, (parent.id,), generation, "mutation")
        await self._proposed(step, child, rationale=result.rationale, proposal=drafted.key)
        return child

    async def _turned_down(
        self, step: int, parent: CandidateId, rejection: Rejected, result: Proposal | Rejected
    ) -> None:
        """On record, and remembered for the next proposal from this parent."""
        texts = dict(result.components) if isinstance(result, Proposal) else {}
        decision = events.ProposalRejected(
            step=step,
            parent=parent,
            reason=rejection.reason.value,
            detail=rejection.detail,
            components=texts,
        )
        await self.ports.record.step(f"{step}/rejected", lambda: decision)
        tried = Tried(texts, f"{rejection.reason.value}: {rejection.detail}")
        self.pool.members[parent].tried.append(tried)

    async def _proposed(
        self, step: int, child: Candidate, *, rationale: str = "", proposal: str = "", ancestor: str = ""
    ) -> None:
        decision = events.ChildProposed(
            step=step,
            child=child.id,
            parents=list(child.parents),
            origin=child.origin,
            generation=child.generation,
            components=dict(child.components),
            rationale=rationale,
            proposal=proposal,
            ancestor=ancestor,
        )
        await self.ports.record.step(f"{step}/child", lambda: decision)

    async def _merge(self, step: int) -> Child | None:
        """With the chance of `crossover_rate`, a child of two frontier members instead of a mutation."""
        rng = self._stream("merge", step)
        if self._schedule.generation(step) == 0 or rng.random() >= self.settings.crossover_rate:
            return None
        merge = self._merger.propose(self.pool, self._known, self._schedule.generation(step), rng)
        if merge is None:
            return None
        examples = self._merge_gate(merge, step)
        gate = self.ports.evaluate.keys([RolloutRequest(merge.child, e) for e in examples])
        if not self.ports.ledger.affords(gate, self._schedule.closing()):
            return None
        await self._proposed(step, merge.child, ancestor=merge.ancestor)
        lines = [self.pool.members[p].rewards for p in merge.parents]
        better = max(lines, key=lambda rewards: sum(rewards[e.id] for e in examples))
        return Child(merge.child, {e.id: better[e.id] for e in examples}, examples)

    def _merge_gate(self, merge: Merge, step: int) -> tuple[Example, ...]:
        one, other = (self.pool.members[p] for p in merge.parents)
        ids = gate_examples(one, other, self.settings.merge_gate_size, self._stream("merge-gate", step))
        by_id = {example.id: example for example in self.splits.pareto}
        return tuple(by_id[i] for i in ids)

    async def _skip(self, step: int, reason: str, detail: str) -> None:
        decision = events.StepSkipped(step=step, reason=reason, detail=detail)
        await self.ports.record.step(f"{step}/skipped", lambda: decision)

    async def _passes_gate(self, step: int, child: Child) -> bool:
        """Paired on exactly the examples its parent was scored on."""
        outcomes = await self._rollouts(child.candidate, child.examples)
        verdict = compare(child.before, scores(outcomes), acceptance=self._acceptance(child))
        decided = await self.ports.record.step(f"{step}/gate", lambda: _gate_decision(step, child, verdict))
        if decided.passed:
            self._known.add(child.candidate.id)
        if not decided.passed:
            reason = (
                f"{decided.reason}: {decided.before:g} before, {decided.after:g} after, on {decided.pairs}"
            )
            for parent in child.candidate.parents[:1]:
                tried = Tried(dict(child.candidate.components), reason)
                self.pool.members[parent].tried.append(tried)
        return decided.passed

    def _acceptance(self, child: Child) -> Acceptance:
        """A merge need not beat its better parent on the gate, only hold it (as in the paper)."""
        return Acceptance.EQUAL if child.candidate.origin == "merge" else self.settings.acceptance

    async def _admit(self, step: int, candidate: Candidate) -> None:
        """Full evaluation, or put off if the budget keeps what it would take for gates and the end."""
        if self._affords_all(candidate, self._schedule.keep(step)):
            await self._evaluate_fully(step, candidate)
            return
        self.deferred.append(candidate)
        self._schedule.last_better = self._schedule.generation(step)
        wanted, left = len(self._unknown_keys(candidate)), self.ports.ledger.left() or 0
        put_off = events.EvaluationDeferred(step=step, child=candidate.id, wanted=wanted, left=left)
        await self.ports.record.step(f"{step}/deferred", lambda: put_off)

    async def _catch_up(self, step: int, keep: int) -> None:
        """Evaluate children that were put off, as soon as the budget holds it."""
        while self.deferred and self._affords_all(self.deferred[0], keep):
            await self._evaluate_fully(step, self.deferred.pop(0))

    def _affords_all(self, candidate: Candidate, keep: int) -> bool:
        """True if all pareto examples fit beside what is kept; what is drawn already costs nothing."""
        keys = self._unknown_keys(candidate)
        return not keys or self.ports.ledger.affords(keys, keep)

    def _unknown_keys(self, candidate: Candidate) -> set[str]:
        requests = [RolloutRequest(candidate, example) for example in self.splits.pareto]
        return set(self.ports.evaluate.keys(requests)) - self.ports.ledger.drawn

    async def _evaluate_fully(self, step: int, candidate: Candidate) -> None:
        """All pareto examples, then the frontier; the archive sees to its size."""
        outcomes = await self._rollouts(candidate, self.splits.pareto)
        if not scores(outcomes):
            await self._unscored(step, candidate, outcomes)
            return
        gained = self.pool.admit(candidate, outcomes)
        if self.pool.best == candidate.id:
            self._schedule.last_better = self._schedule.generation(step)
        await self.ports.record.step(
            f"{step}/admitted/{candidate.id}", lambda: self._admission(step, candidate, outcomes, gained)
        )
        leaver = self.pool.crowded_out(self.settings.archive_size)
        if leaver:
            wins = self.pool.frontier.wins(leaver)
            self.pool.frontier.retire(leaver)
            retired = events.CandidateRetired(step=step, candidate=leaver, cells=wins)
            await self.ports.record.step(f"{step}/retired/{leaver}", lambda: retired)

    async def _unscored(self, step: int, candidate: Candidate, outcomes: list[Outcome]) -> None:
        """Every rollout of a full evaluation failed: no mean, no member. Without the seed there is no run."""
        cause = next(f"{o.kind.value}: {o.message}" for o in outcomes if isinstance(o, Failure))
        if not candidate.parents:
            raise RunFailed("the initial prompt was not scored on a single pareto example", cause)
        decision = events.StepSkipped(step=step, reason="nothing_scored", detail=cause)
        await self.ports.record.step(f"{step}/unscored/{candidate.id}", lambda: decision)

    def _admission(
        self, step: int, candidate: Candidate, outcomes: list[Outcome], gained: list[str]
    ) -> events.CandidateAdmitted:
        member = self.pool.members[candidate.id]
        return events.CandidateAdmitted(
            step=step,
            candidate=candidate.id,
            parents=list(candidate.parents),
            origin=candidate.origin,
            generation=candidate.generation,
            components=dict(candidate.components),
            mean=member.mean,
            scored=len(member.rewards),
            failed=len(outcomes) - len(member.rewards),
            gained=gained,
            best=self.pool.best == candidate.id,
        )

    async def _rollouts(self, candidate: Candidate, examples: Sequence[Example]) -> list[Outcome]:
        requests = [RolloutRequest(candidate, example) for example in examples]
        if self.ports.record.ahead(f"{self._step}/end"):
            # Money ran out right here in an earlier session: draw what was drawn then, ask for nothing.
            self.ports.ledger.draw(self.ports.evaluate.keys(requests))
            raise BudgetExceeded("cost_usd", 0, 0)
        outcomes = await self.ports.evaluate.evaluate(requests)
        self._notes.keep(candidate.id, outcomes)
        return outcomes

    def _stream(self, purpose: str, step: int) -> random.Random:
        return stream(self.settings.seed, purpose, step)


def _gate_decision(step: int, child: Child, verdict: Verdict) -> events.GateDecided:
    return events.GateDecided(
        step=step,
        child=child.candidate.id,
        passed=verdict.passed,
        before=verdict.before,
        after=verdict.after,
        pairs=verdict.pairs,
        reason=verdict.reason,
    )
