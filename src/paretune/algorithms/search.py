"""What every search does alike: drafts, guards, full evaluation, the pool, and what goes on record."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from paretune.algorithms.doubt import Doubt
from paretune.algorithms.finish import Contender
from paretune.algorithms.merge import Merge, Merger, gate_examples
from paretune.algorithms.notebook import Notebook, TurnedDown
from paretune.algorithms.pool import Member, Pool
from paretune.algorithms.pooled import Pooled
from paretune.algorithms.ports import Drafted, Ports
from paretune.algorithms.rungs import Contest, rung_ends
from paretune.algorithms.screening import Asking, Look, Screens
from paretune.algorithms.settings import GepaSettings
from paretune.algorithms.stops import Schedule
from paretune.core import events
from paretune.core.budget import PAID
from paretune.core.candidate import Candidate, CandidateId
from paretune.core.canonical import stream
from paretune.core.errors import BudgetExceeded, ParetuneError, RunFailed
from paretune.core.example import Example, ExampleId, Splits
from paretune.core.frontier import FrontierType, choose_parent
from paretune.core.gate import Verdict
from paretune.core.rollout import Failure, Outcome, Rollout, RolloutRequest, scores
from paretune.core.sampling import minibatch
from paretune.propose.base import Packet, Proposal, Surface, Tried
from paretune.propose.guards import Rejected, check

T = TypeVar("T")

PAUSE = 2
"""Steps between two searches of a run: the end of one and the beginning of the next have their own."""

GAINING = ("mutation", "join")
"""Origins of children that must gain something; a merge, or a text without some lines, need only hold."""


@dataclass(slots=True)
class Search:
    """State and vocabulary of one search.

    `known` are the seed and all who passed a gate, `deferred` those among them whose full evaluation did not
    fit the budget. `tried` are proposals that were turned down, by parent. `over` says why no further step
    begins; `broke` that work could not be paid, so that what else is under way is given up. `pooled` says
    on which pareto examples a child is measured first.
    """

    splits: Splits
    surface: Surface
    settings: GepaSettings
    ports: Ports
    pool: Pool = field(init=False)
    deferred: list[Candidate] = field(default_factory=list)
    known: dict[CandidateId, Candidate] = field(default_factory=dict)
    tried: dict[CandidateId, TurnedDown] = field(default_factory=dict)
    merger: Merger = field(init=False)
    schedule: Schedule = field(init=False)
    notes: Notebook = field(init=False)
    doubt: Doubt = field(default_factory=Doubt)
    screens: Screens = field(init=False)
    minibatches: int = 0
    at: int = 0
    over: events.SearchEnded | None = None
    broke: bool = False
    pooled: Pooled = field(init=False)
    _works: int = 0
    pareto_order: list[Example] = field(init=False)

    def __post_init__(self) -> None:
        self.pool = Pool(self.settings.frontier, self.settings.epsilon, len(self.splits.pareto))
        self.pooled = Pooled(self.splits.pareto, self.settings, self.ports.record)
        self.merger = Merger(self.settings.merge_overlap_floor)
        self.schedule = Schedule(self.settings, self.splits, self.ports.ledger)
        self.notes = Notebook(self.splits.reflect, self.settings.perfect)
        self.screens = Screens(self.settings.proxy, self.ports)
        self.pareto_order = self.stream("rungs", 0).sample(self.splits.pareto, len(self.splits.pareto))

    def follow(self, before: Search) -> None:
        """Go on after another search of the same run, with the pool that it left and all it noted."""
        self.pool, self.notes, self.doubt = before.pool, before.notes, before.doubt
        self.known, self.tried, self.deferred = before.known, before.tried, before.deferred
        self.minibatches, self.at = before.minibatches, before.at + PAUSE
        self.screens = before.screens
        self.schedule.better_at = self.at

    # -- choices ----------------------------------------------------------------------------------

    def stream(self, purpose: str, step: int) -> random.Random:
        return stream(self.settings.seed, purpose, step)

    def frontier_parent(self, step: int) -> CandidateId:
        """By frontier frequency among the non-dominated, as in the paper, or any of the archive."""
        if self.settings.selection == "random":
            return self.stream("parent", step).choice(self.pool.frontier.candidates)
        frequencies = self.pooled.frequencies(self.pool.frontier)
        return choose_parent(frequencies, self.stream("parent", step), self.settings.pressure)

    def targets(self, step: int, names: Sequence[str], cursor: int) -> tuple[str, ...]:
        """Components by turns; each further one with the chance of `mutation_rate`."""
        turn = names[cursor % len(names)]
        rng = self.stream("components", step)
        also = {n for n in names if n != turn and rng.random() < self.settings.mutation_rate}
        return tuple(n for n in names if n == turn or n in also)

    def draw_minibatch(self) -> tuple[Example, ...]:
        drawn = minibatch(
            self.splits.reflect, self.settings.minibatch_size, self.minibatches, seed=self.settings.seed
        )
        self.minibatches += 1
        return tuple(drawn)

    # -- stops ------------------------------------------------------------------------------------

    async def ended(self, step: int) -> events.SearchEnded | None:
        """A stop that follows from the record is decided afresh; one by clock or person is recorded."""
        due = self.schedule.due(step, self.pool)
        if due:
            return await self.end(step, *due)
        self.ports.ledger.steps = step
        return await self.ports.record.chance(f"{step}/end", lambda: self.ports.live_stop(step))

    async def end(self, step: int, reason: str, detail: str) -> events.SearchEnded:
        decision = events.SearchEnded(step=step, reason=reason, detail=detail)
        return await self.ports.record.step(f"{step}/end", lambda: decision)

    async def stopped(self, step: int, stop: BudgetExceeded) -> None:
        """No further step begins; the first reason counts, later steps are skipped for theirs."""
        if self.over is None:
            self.over = await self.end(step, stop.limit, str(stop))
        elif stop.limit not in PAID:  # that is on record already
            await self.skip(step, "budget", str(stop))

    async def paid(self, step: int, work: Awaitable[T]) -> T:
        """The result of this work. Raises BudgetExceeded if it could not be paid, then or now.

        What calls cost, and in which order they came home, is no consequence of the record. So such an end
        of the search is put on record where it is met; before the seed is measured there is nothing to end.
        """
        error: ParetuneError | None = None
        try:
            result = await work
        except ParetuneError as raised:
            error = raised
        if self._ran_out() and isinstance(error, BudgetExceeded | None):
            raise BudgetExceeded("cost_usd", 0, 0) from error
        end = None
        if isinstance(error, BudgetExceeded) and error.limit in PAID and self.begun:
            end = events.SearchEnded(step=step, reason=error.limit, detail=str(error))
        self._works += 1
        made = await self.ports.record.chance(f"{step}/unpaid/{self._works}", lambda: end)
        if made is not None:
            self.over, self.broke = self.over or made, True
            raise BudgetExceeded(made.reason, 0, 0) from error
        if error is not None:
            raise error
        return result

    @property
    def begun(self) -> bool:
        """Whether somebody was measured, so that there is something to end."""
        return bool(self.pool.members)

    def _ran_out(self) -> bool:
        return self.broke or (self.over is not None and self.over.reason in PAID)

    def nothing_to_learn(self, before: Mapping[ExampleId, float]) -> tuple[str, str] | None:
        """Reason and detail, if a parent with these rewards leaves the proposer nothing to learn from."""
        if not before:
            return "nothing_scored", "every rollout of the parent failed"
        if self.settings.skip_perfect and all(r >= self.settings.perfect for r in before.values()):
            return "all_perfect", f"the parent solved all {len(before)} examples"
        return None

    # -- proposals --------------------------------------------------------------------------------

    def packet(
        self, step: int, parent: Candidate, targets: tuple[str, ...], outcomes: Sequence[Outcome]
    ) -> Packet:
        """What the proposer sees: these outcomes, and what else is known of the `reflect` split."""
        shown = [o.example for o in outcomes if isinstance(o, Rollout)]
        tried = self.tried.get(parent.id, TurnedDown())
        return Packet(
            parent=parent,
            targets=targets,
            evidence=self.notes.evidence(outcomes),
            surface=self.surface,
            grandparent=self.known[parent.parents[0]] if parent.parents else None,
            examples=self.notes.besides(shown),
            rejected=tuple(tried.newest),
            tried=tried.why,
            draw=f"{self.settings.seed}/{step}",
        )

    async def guarded(self, step: int, packet: Packet, drafted: Drafted, number: int = 0) -> Proposal | None:
        """The proposal with all components filled in, if the guards let it pass.

        `number` counts the times that this step asked the proposer.
        """
        result = drafted.result
        try:
            if isinstance(result, Rejected):
                raise result
            components = check(result, packet, known=self.known, training=self.notes.texts())
        except Rejected as rejection:
            await self.turned_down(step, packet.parent.id, rejection, result, number)
            return None
        return Proposal(components, result.rationale, result.demonstrations)

    async def turned_down(
        self,
        step: int,
        parent: CandidateId,
        rejection: Rejected,
        result: Proposal | Rejected,
        number: int = 0,
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
        key = f"{step}/rejected/{number}" if number else f"{step}/rejected"
        await self.ports.record.step(key, lambda: decision)
        self.remember(parent, Tried(texts, f"{rejection.reason.value}: {rejection.detail}"))

    def remember(self, parent: CandidateId, tried: Tried) -> None:
        self.tried.setdefault(parent, TurnedDown()).add(self.known[parent], tried)

    async def proposed(
        self,
        step: int,
        child: Candidate,
        *,
        rationale: str = "",
        proposal: str = "",
        ancestor: str = "",
        number: int = 0,
    ) -> None:
        """On record. `number` counts further children of one step."""
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
        key = f"{step}/child/{number}" if number else f"{step}/child"
        await self.ports.record.step(key, lambda: decision)

    async def skip(self, step: int, reason: str, detail: str) -> None:
        decision = events.StepSkipped(step=step, reason=reason, detail=detail)
        await self.ports.record.step(f"{step}/skipped", lambda: decision)

    # -- merges -----------------------------------------------------------------------------------

    def merge_of_two(self, step: int) -> Merge | None:
        """With the chance of `crossover_rate`, a child of two frontier members."""
        rng = self.stream("merge", step)
        if self.schedule.generation(step) == 0 or rng.random() >= self.settings.crossover_rate:
            return None
        return self.merger.propose(self.pool, self.known, self.schedule.generation(step), rng)

    def merge_gate(self, merge: Merge, step: int) -> tuple[tuple[Example, ...], dict[str, float]]:
        """The examples of a merge's gate, and what its better parent has on them."""
        one, other = (self.pool.members[p] for p in merge.parents)
        ids = gate_examples(one, other, self.settings.merge_gate_size, self.stream("merge-gate", step))
        better = max(
            (one.rewards.plain(), other.rewards.plain()), key=lambda rewards: sum(rewards[e] for e in ids)
        )
        by_id = {example.id: example for example in self.splits.pareto}
        return tuple(by_id[i] for i in ids), {e: better[e] for e in ids}

    def note(self, candidate: Candidate) -> None:
        """From now on it may be a parent, and is not proposed again."""
        self.known[candidate.id] = candidate
        self.pool.lineage.setdefault(candidate.id, candidate.parents)

    # -- the gate ---------------------------------------------------------------------------------

    async def judged(
        self, step: int, child: Candidate, verdict: Verdict, baseline: CandidateId = "", number: int = 0
    ) -> bool:
        """The gate's verdict on record, and what `least_gain` asks for beside it; a child that fell is
        remembered for its parent's next proposal.

        `baseline` is who had to be beaten, if not the parent; `number` counts the gates of this step.
        """
        least = self.settings.least_gain * verdict.pairs
        if child.origin in GAINING and verdict.passed and 0 < least >= verdict.after - verdict.before:
            verdict = replace(verdict, passed=False, reason="too_little")
        made = events.GateDecided(
            step=step,
            child=child.id,
            passed=verdict.passed,
            before=verdict.before,
            after=verdict.after,
            pairs=verdict.pairs,
            reason=verdict.reason,
            baseline=baseline,
        )
        key = f"{step}/gate/{number}" if number else f"{step}/gate"
        decided = await self.ports.record.step(key, lambda: made)
        if decided.passed:
            self.note(child)
            return True
        told = f"{decided.reason}: {decided.before:g} before, {decided.after:g} after, on {decided.pairs}"
        for parent in child.parents[:1]:
            self.remember(parent, Tried(dict(child.components), told))
        return False

    # -- full evaluation --------------------------------------------------------------------------

    def requests(
        self, candidate: Candidate, examples: Sequence[Example], replicate: int = 0, tier: str = ""
    ) -> list[RolloutRequest]:
        return [RolloutRequest(candidate, example, replicate, tier) for example in examples]

    def undrawn(self, candidate: Candidate, examples: Sequence[Example]) -> int:
        """Rollouts that scoring this candidate on these examples would take from the budget."""
        keys = self.ports.evaluate.keys(self.requests(candidate, examples))
        return len(self.ports.ledger.drawn.missing(keys))

    async def evaluated_in_full(
        self,
        step: int,
        candidate: Candidate,
        rollouts: Callable[[Sequence[Example]], Awaitable[list[Outcome]]],
        asking: Asking,
    ) -> list[Outcome] | None:
        """Outcomes on all pareto examples, in their order, or on those of the pool; None if it was stopped
        in a rung, or by LO.

        `rollouts` is asked for one rung after the other; it notes what a proposer may see.
        """
        outcomes = dict[ExampleId, Outcome]()
        pareto, order = self.splits.pareto, self.pooled.of(self.pareto_order)
        settings = self.settings.rungs
        first = (settings.first or self.screens.first) if self._rival() else 0
        for end in rung_ends(first, len(order)):
            asked = order[len(outcomes) : end]
            outcomes |= zip((e.id for e in asked), await rollouts(asked), strict=True)
            rival = self._rival() if end < len(order) else None
            if rival is None:
                continue
            front = {cell[1]: best for cell, best in self.pool.frontier.best_scores().items()}
            contest = self.contest(order, rival.rewards.plain(), front)
            level, enough = settings.level, settings.cells * len(pareto)
            look = Look(step, candidate, rival.candidate, contest, order, outcomes, level, enough)
            if settings.first and await self.hopeless(look):
                return None
            if await self.screens.look(look, asking):
                return None
        await self.screens.done(candidate, outcomes)
        if rest := [e for e in pareto if e.id not in outcomes]:
            best = self.pool.members[self.pool.best]
            fits = self.ports.ledger.affords((), self.undrawn(candidate, rest) + self.schedule.closing())
            if await self.pooled.goes_on(step, candidate, outcomes, best, fits=fits):
                outcomes |= zip((e.id for e in rest), await rollouts(rest), strict=True)
        return [outcomes[e.id] for e in pareto if e.id in outcomes]

    def contest(
        self,
        order: Sequence[Example],
        rival: Mapping[ExampleId, float],
        front: Mapping[ExampleId, float],
    ) -> Contest:
        """Against these rewards, on examples in this order; `front`: the cells that matter."""
        perfect = max(1.0, self.settings.perfect)
        return Contest([e.id for e in order], rival, front, perfect, self.settings.epsilon)

    async def hopeless(self, look: Look) -> bool:
        """After a rung, on record: whether the candidate can neither beat its rival nor win cells that
        matter."""
        step, candidate, measured = look.step, look.candidate.id, len(look.outcomes)
        now = look.contest.standing(measured, scores(list(look.outcomes.values())), look.level)
        decision = events.RungEnded(
            step=step,
            candidate=candidate,
            rival=look.rival.id,
            measured=measured,
            wanted=len(look.contest.order),
            chance=now.chance,
            cells=now.cells,
            stopped=now.hopeless(look.level, look.enough),
        )
        made = await self.ports.record.step(f"{step}/rung/{candidate}/{measured}", lambda: decision)
        return made.stopped

    def _rival(self) -> Member | None:
        """Whom a child must beat to be chosen: the best, or with a selection split the last finalist.

        None where nothing can be ruled out: fewer members than finalists, or cells that are no examples.
        """
        if not self.pool.best or self.pool.kind is not FrontierType.INSTANCE:
            return None
        if not self.splits.select:
            return self.pool.members[self.pool.best]
        finalists = [m for m in self.pool.ranked() if m.candidate.parents][: self.settings.finalists]
        return finalists[-1] if len(finalists) == self.settings.finalists else None

    async def admit(self, step: int, candidate: Candidate, outcomes: list[Outcome]) -> bool:
        """Into the pool with what was measured on pareto examples; the archive sees to its size."""
        if not any(isinstance(outcome, Rollout) for outcome in outcomes):
            await self._unscored(step, candidate, outcomes)
            return False
        estimate = self.pooled.estimate(self.pool, outcomes)
        gained = self.pool.admit(candidate, outcomes, estimate)
        self.pooled.heard(candidate.id, outcomes)
        if self.pool.best == candidate.id:
            self.schedule.better(step)
        admission = self._admission(step, candidate, outcomes, gained)
        await self.ports.record.step(f"{step}/admitted/{candidate.id}", lambda: admission)
        leaver = self.pool.crowded_out(self.settings.archive_size)
        if leaver:
            wins = self.pool.frontier.wins(leaver)
            self.pool.frontier.retire(leaver)
            retired = events.CandidateRetired(step=step, candidate=leaver, cells=wins)
            await self.ports.record.step(f"{step}/retired/{leaver}", lambda: retired)
        return True

    def contenders(self) -> list[Contender]:
        """Who may be the result, best first: the members, then those put off."""
        members = [
            Contender(m.candidate, self.pooled.known(self.pool, m, self.pool.best))
            for m in self.pool.ranked()
        ]
        return [*members, *map(Contender, self.deferred)]

    async def put_off(self, step: int, candidate: Candidate) -> None:
        """It passed its gate, and its full evaluation must wait for budget that may be left at the end."""
        self.deferred.append(candidate)
        self.schedule.better(step)
        wanted = self.undrawn(candidate, self.splits.pareto)
        left = self.ports.ledger.left() or 0
        decision = events.EvaluationDeferred(step=step, child=candidate.id, wanted=wanted, left=left)
        await self.ports.record.step(f"{step}/deferred/{candidate.id}", lambda: decision)

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
            pool=0 if self.pool.complete(candidate.id) else len(outcomes),
        )
