"""GEPA one iteration after the other, with the choices of somebody else: selectors and strategies of users.

An iteration has one task (a parent and a minibatch) or several, and each task is a step of the record. A
guide is asked the same questions in the same order whether a run begins or is resumed, so that what it keeps
for itself (a random generator, a count) comes to where it was; what is on record holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from paretune.algorithms.gepa import Gepa
from paretune.algorithms.ports import Drafting
from paretune.core import events
from paretune.core.candidate import Candidate, CandidateId
from paretune.core.errors import BudgetExceeded
from paretune.core.example import Example, ExampleId
from paretune.core.gate import Acceptance, Verdict, compare
from paretune.core.rollout import Outcome, scores
from paretune.evaluate.queue import Priority
from paretune.propose.base import Packet


@dataclass(frozen=True, slots=True)
class Task:
    """One proposal to be made: a member of the pool, and the `reflect` examples to learn from."""

    parent: CandidateId
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """A child that was measured beside what it must beat. `proposal` is the fact's key, empty for a merge."""

    step: int
    child: Candidate
    examples: tuple[Example, ...]
    before: Mapping[ExampleId, float]
    after: Mapping[ExampleId, float]
    verdict: Verdict
    proposal: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """What becomes of an offer. `reason` is a word for the record."""

    passed: bool
    reason: str


class Guide(Protocol):
    """Whoever makes the choices of an iteration, and is told what came of them."""

    def begin(self, step: int) -> None:
        """An iteration begins; `step` is its first."""
        ...

    def tasks(self) -> Sequence[Task]: ...

    def evaluating(self, candidate: Candidate, examples: Sequence[Example]) -> None:
        """It is about to be measured on these, for an iteration's task or gate."""
        ...

    def evaluated(self, candidate: Candidate, outcomes: Sequence[Outcome]) -> None: ...

    def targets(self, task: Task, outcomes: Sequence[Outcome]) -> Sequence[str]:
        """The components to be edited, at least one. The parent has these outcomes on the task's examples."""
        ...

    def skipped(self, task: Task, outcomes: Sequence[Outcome], reason: str) -> None: ...

    def merging(self, child: Candidate) -> None:
        """Two members were merged to this."""
        ...

    def choose(self, offers: Sequence[Offer]) -> Sequence[Choice]:
        """One for each offer."""
        ...

    def duplicate(self, offer: Offer) -> None:
        """It was chosen, and another with the same texts was chosen before it."""
        ...

    def validation(self, candidate: Candidate) -> Sequence[Example]:
        """The pareto examples that this candidate, the seed or one that passed, is measured on."""
        ...

    def admitted(self, candidate: Candidate, outcomes: Sequence[Outcome]) -> None: ...

    def end(self, step: int) -> None:
        """The iteration is over; `step` is its last."""
        ...

    def stop(self) -> str:
        """Why no further iteration begins; empty if one does."""
        ...


@dataclass(slots=True)
class Merging:
    """gepa's schedule of merges: one is due for each accepted child, and is tried right after one only; at
    most `most` are accepted."""

    most: int = 0
    due: int = 0
    made: int = 0
    fresh: bool = False

    def accepted(self) -> None:
        self.fresh = True
        if self.made < self.most:
            self.due += 1

    @property
    def now(self) -> bool:
        return self.most > 0 and self.due > 0 and self.fresh


@dataclass(slots=True)
class _Draft:
    """A task on its way to a child."""

    step: int
    task: Task
    before: dict[ExampleId, float]
    packet: Packet
    drafting: Drafting


@dataclass(slots=True, kw_only=True)
class Guided(Gepa):
    """See the module. `merging` is off unless told otherwise."""

    guide: Guide
    merging: Merging = field(default_factory=Merging)

    async def ended(self, step: int) -> events.SearchEnded | None:
        """What the guide says is asked for each iteration, and goes on record where nothing else ends it."""
        wish = self.guide.stop()
        # Named as in `Search`: a class with slots knows no `super()` in its methods.
        if end := await Gepa.ended(self, step):
            return end
        made = events.SearchEnded(step=step, reason="stopper", detail=wish) if wish else None
        return await self.ports.record.chance(f"{step}/stopper", lambda: made)

    async def _step(self, step: int) -> None:
        self.guide.begin(step)
        try:
            await self._catch_up(step, self.schedule.keep(step - 1) if step > 1 else 0)
            if not await self._merged(step):
                self.merging.fresh = False
                await self._reflected(step)
        finally:
            self.guide.end(self.at)

    # -- reflection -------------------------------------------------------------------------------

    async def _reflected(self, step: int) -> None:
        tasks = self.guide.tasks()
        self._refuse_half(tasks)
        self.at = step + max(0, len(tasks) - 1)
        outcomes = await self._all_measured(
            step, [(self.pool.members[t.parent].candidate, t.examples) for t in tasks]
        )
        drafts = [
            draft
            for number, (task, seen) in enumerate(zip(tasks, outcomes, strict=True))
            if (draft := await self._drafted(step + number, task, seen))
        ]
        children = [child for draft in drafts if (child := await self._child(draft))]
        after = await self._all_measured(step, [(child, draft.task.examples) for draft, child, _ in children])
        offers = [
            Offer(
                d.step, child, d.task.examples, d.before, scores(seen), compare(d.before, scores(seen)), key
            )
            for (d, child, key), seen in zip(children, after, strict=True)
        ]
        await self._chosen(offers)

    def _refuse_half(self, tasks: Sequence[Task]) -> None:
        """Raises BudgetExceeded unless all parents and children fit, with the end of the run kept back."""
        new = {
            (task.parent, example.id)
            for task in tasks
            for example in task.examples
            if self.undrawn(self.pool.members[task.parent].candidate, (example,))
        }
        wanted = len(new) + sum(len(task.examples) for task in tasks) + self.schedule.closing()
        if not self.ports.ledger.affords((), wanted):
            raise BudgetExceeded("rollouts", wanted, self.ports.ledger.left() or 0)

    async def _all_measured(
        self, step: int, wanted: Sequence[tuple[Candidate, Sequence[Example]]]
    ) -> list[list[Outcome]]:
        """Outcomes of each candidate on its examples; all are under way at once."""
        for candidate, examples in wanted:
            self.guide.evaluating(candidate, examples)
        works = [self.ports.evaluate.start(self.requests(c, e), Priority.GATE) for c, e in wanted]
        found = []
        for (candidate, _), work in zip(wanted, works, strict=True):
            outcomes = await self.paid(step, work)
            self.notes.keep(candidate.id, outcomes)
            self.guide.evaluated(candidate, outcomes)
            found.append(outcomes)
        return found

    async def _drafted(self, step: int, task: Task, outcomes: list[Outcome]) -> _Draft | None:
        """The proposer is asked, unless there is nothing to learn."""
        parent, before = self.pool.members[task.parent].candidate, scores(outcomes)
        nothing = self.nothing_to_learn(before)
        targets = () if nothing else tuple(self.guide.targets(task, outcomes))
        start = events.StepStarted(
            step=step,
            generation=self.schedule.generation(step),
            parent=parent.id,
            targets=list(targets),
            minibatch=[e.id for e in task.examples],
        )
        made = await self.ports.record.step(f"{step}/start", lambda: start)
        if nothing:
            await self.skip(step, *nothing)
            self.guide.skipped(task, outcomes, nothing[0])
            return None
        packet = self.packet(step, parent, tuple(made.targets), outcomes)
        return _Draft(step, task, before, packet, self.ports.propose.start(packet))

    async def _child(self, draft: _Draft) -> tuple[_Draft, Candidate, str] | None:
        """What the proposer wrote, if the guards let it pass and no other task of the iteration wrote it."""
        drafted = await self.paid(draft.step, draft.drafting)
        proposal = await self.guarded(draft.step, draft.packet, drafted)
        if proposal is None:
            return None
        generation = self.schedule.generation(draft.step)
        child = Candidate(proposal.components, (draft.task.parent,), generation, "mutation")
        await self.proposed(draft.step, child, rationale=proposal.rationale, proposal=drafted.key)
        return draft, child, drafted.key

    async def _chosen(self, offers: Sequence[Offer]) -> None:
        """Each offer's verdict on record; those that pass are validated, each text once."""
        passed: dict[CandidateId, Offer] = {}
        for offer, choice in zip(offers, self.guide.choose(offers), strict=True):
            passes, reason = choice.passed, choice.reason
            if passes and offer.child.id in passed:
                passes, reason = False, "duplicate"
                self.guide.duplicate(offer)
            verdict = replace(offer.verdict, passed=passes, reason=reason)
            if await self.judged(offer.step, offer.child, verdict):
                passed[offer.child.id] = offer
        for offer in passed.values():
            self.merging.accepted()
            await self._admit(offer.step, offer.child)

    # -- merges -----------------------------------------------------------------------------------

    async def _merged(self, step: int) -> bool:
        """True if a merge was tried, which takes the whole iteration."""
        if not self.merging.now:
            return False
        self.merging.fresh = False
        merge = self.merger.propose(
            self.pool, self.known, self.schedule.generation(step), self.stream("merge", step)
        )
        if merge is None:
            return False
        examples, before = self.merge_gate(merge, step)
        if not self.ports.ledger.affords((), self.undrawn(merge.child, examples) + self.schedule.closing()):
            return False
        await self.proposed(step, merge.child, ancestor=merge.ancestor)
        self.guide.merging(merge.child)
        (seen,) = await self._all_measured(step, [(merge.child, examples)])
        verdict = compare(before, scores(seen), acceptance=Acceptance.EQUAL)
        offer = Offer(step, merge.child, examples, before, scores(seen), verdict)
        (choice,) = self.guide.choose([offer])
        if await self.judged(step, merge.child, replace(verdict, passed=choice.passed, reason=choice.reason)):
            self.merging.due -= 1
            self.merging.made += 1
            await self._admit(step, merge.child)
        return True

    # -- validation -------------------------------------------------------------------------------

    def _affords_all(self, candidate: Candidate, keep: int) -> bool:
        return self._fits(candidate, self.guide.validation(candidate), keep)

    async def _evaluate_fully(self, step: int, candidate: Candidate) -> None:
        outcomes = await self._rollouts(candidate, self.guide.validation(candidate), Priority.FULL)
        if await self.admit(step, candidate, outcomes):
            self.guide.admitted(candidate, outcomes)
