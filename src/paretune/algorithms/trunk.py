"""The trunk: several lanes without barriers that share one head (`pipeline.mode = "async"`).

A lane takes the present head as parent, without waiting for its validation: minibatch, reflection, gate. Its
edit is carried onto whatever the head has become meanwhile (`core.textmerge`), and if it passes, that is the
new head. Full evaluation is rare: after some accepted edits the newest head goes to all pareto examples in
the background. The best one validated is the *incumbent*, to which a head that turns out worse falls back.
When validations bring nothing better, parents come from the Pareto frontier, as in the paper, until a child
wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from paretune.algorithms.ablation import Ablation
from paretune.algorithms.lanes import Lane
from paretune.algorithms.line import Line
from paretune.algorithms.pool import Pool
from paretune.algorithms.ports import Drafted
from paretune.algorithms.racing import Race
from paretune.algorithms.settings import Staleness
from paretune.algorithms.steps import Draft, Step
from paretune.algorithms.validation import choose_panel
from paretune.algorithms.width import Width
from paretune.core import events
from paretune.core.budget import PAID
from paretune.core.candidate import Candidate, CandidateId
from paretune.core.errors import BudgetExceeded
from paretune.core.example import Example, ExampleId
from paretune.core.gate import Acceptance, compare
from paretune.core.rollout import scores
from paretune.core.textmerge import merge_components
from paretune.propose.base import Packet, Proposal
from paretune.propose.guards import Reason, Rejected, check, placeholders

MOST_ASKED = 2
"""An edit that clashes with a head that moved is asked for again, from that head, so often in all."""
RACED, AT_ONCE = 128, 32
"""A text without some lines is raced against the whole on at most so many examples; passes at once."""
MOST_GATES = 3
"""A child that passed, and clashes with a head that moved, must beat that head, in so many gates at most."""


@dataclass(slots=True)
class Trunk(Line):
    """One search of several lanes; how many there are just now follows from how often their edits clash."""

    width: Width = field(init=False)
    ablation: Ablation = field(init=False)
    _lanes: int = 0
    _asked: set[tuple[CandidateId, tuple[ExampleId, ...]]] = field(default_factory=set)

    def __post_init__(self) -> None:
        Line.__post_init__(self)
        self.width = Width(self.settings.pipeline.lanes)

    async def run(self, seed: Candidate) -> Pool:
        """Evolve from this seed until a stop applies; who is in the pool by then was measured in full."""
        self.panel = choose_panel(self.splits, self.settings, self.ports.ledger.limits.rollouts)
        self.ablation = Ablation(seed.components)

        async def first(lane: Lane) -> None:
            await self.begin(lane, seed)
            self._start_lanes()

        await self.turns.run(first)
        if self.over is None or self.over.reason not in {*PAID, "time"}:
            await self.turns.run(self.catch_up)
        return self.pool

    def _start_lanes(self) -> None:
        while self._lanes < self.width.now:
            self._lanes += 1
            self.turns.start(self._lane)

    async def _lane(self, lane: Lane) -> None:
        while self.over is None and self._lanes <= self.width.now:
            step = self.at + 1
            self.over = await self.ended(step)
            if self.over is None:
                self.at = step
                try:
                    await self._step(lane, step)
                except BudgetExceeded as stop:
                    await self.stopped(step, stop)
        self._lanes -= 1

    # -- one step ---------------------------------------------------------------------------------

    async def _step(self, lane: Lane, number: int) -> None:
        """Parent, minibatch, reflection, guards, gate, head."""
        await self.pooled.choose(number, self.schedule.generation(number))
        if self.incumbent.lost and self.settings.pipeline.ablation and await self._ablate(lane, number):
            return
        plateau = self.incumbent.idle >= self.settings.pipeline.plateau
        if plateau and await self._merge(lane, number):
            return
        parent = self.known[self.frontier_parent(number)] if plateau else self.head
        targets = self.targets(number, list(parent.components), number - 1)
        drawn = self.draw_minibatch()
        step = Step(lane, number, drawn, self.known_failures(parent, drawn), targets, plateau)
        started = events.StepStarted(
            step=number,
            generation=self.schedule.generation(number),
            parent=parent.id,
            targets=list(targets),
            minibatch=[e.id for e in (*step.drawn, *step.known)],
            lane=lane.number,
        )
        await self.ports.record.step(f"{number}/start", lambda: started)
        draft = await self._draft(step, parent)
        if draft is None:
            return
        if not plateau:
            await self._contend(step, draft)
        elif await self._passes(step, draft):
            await self.measure(lane, number, draft.child)

    async def _draft(self, step: Step, parent: Candidate) -> Draft | None:
        """A child that is on record. If its edit clashes with a head that moved, that head is the parent."""
        for number in range(MOST_ASKED):
            moves = self.moves
            packet = await self._reflected(step, parent)
            if packet is None:
                return None
            drafted = await self._drafted(step, packet)
            proposal = await self.guarded(step.number, packet, drafted, number)
            if proposal is None:
                return None
            try:
                draft = await self._carried(step, packet, proposal, moves, last=number + 1 == MOST_ASKED)
            except Rejected as rejection:
                clash = rejection.reason is Reason.CLASH
                parent = self.head if clash else parent
                await self.turned_down(step.number, parent.id, rejection, proposal, number)
                if clash:
                    continue
                return None
            ancestor = parent.id if draft.child.parents[0] != parent.id else ""
            await self.proposed(
                step.number,
                draft.child,
                rationale=proposal.rationale,
                proposal=drafted.key,
                ancestor=ancestor,
            )
            return draft
        return None

    async def _drafted(self, step: Step, packet: Packet) -> Drafted:
        drafting, now = self.ports.propose.start(packet), self.turns.now
        work = step.lane.work(drafting, lambda: now + drafting.seconds())
        return await self.paid(step.number, work)

    async def _reflected(self, step: Step, parent: Candidate) -> Packet | None:
        """The parent on the step's examples, for the proposer; None if there is nothing to learn from it.

        Raises BudgetExceeded unless parent and child both fit.
        """
        examples = step.examples(self.seen.get(parent.id, ()))
        wanted = self.undrawn(parent, examples) + len(examples)
        if not self.affords(wanted):
            raise BudgetExceeded("rollouts", wanted + self.kept(), self.ports.ledger.left() or 0)
        outcomes = await self.rollouts(step.lane, step.number, parent, examples)
        if nothing := self._nothing_to_learn(parent, scores(outcomes)):
            await self.skip(step.number, *nothing)
            await self.learned_nothing(step.number, parent)
            return None
        return self.packet(step.number, parent, step.targets, outcomes)

    def _nothing_to_learn(self, parent: Candidate, before: dict[ExampleId, float]) -> tuple[str, str] | None:
        """Why nothing is asked of the proposer; else the pair of parent and failures is noted as asked."""
        if nothing := self.nothing_to_learn(before):
            return nothing
        failed = tuple(sorted(e for e, reward in before.items() if reward < self.settings.perfect))
        if (parent.id, failed) in self._asked:
            return "asked_before", "the same parent with the same failures"
        self._asked.add((parent.id, failed))
        return None

    async def _carried(
        self, step: Step, packet: Packet, proposal: Proposal, moves: int, *, last: bool
    ) -> Draft:
        """The child: the proposal as it is, or its edit carried onto a head that moved meanwhile.

        `moves` is the head's number when the parent was taken. The `last` edit that clashes makes a child
        that must beat the head itself. Raises Rejected.
        """
        parent, pipeline = packet.parent, self.settings.pipeline
        generation = self.schedule.generation(step.number)
        child = Candidate(proposal.components, (parent.id,), generation, "mutation")
        if step.off_line or self.head.id == parent.id or pipeline.staleness is Staleness.ACCEPT:
            return Draft(child, parent, parent, packet, proposal)
        if pipeline.staleness is Staleness.DROP:
            if self.moves - moves > pipeline.oldest:
                raise Rejected(Reason.STALE, f"the head moved {self.moves - moves} times meanwhile")
            return Draft(child, parent, parent, packet, proposal)
        merge = merge_components(parent.components, self.head.components, proposal.components)
        await self._count(step, clashed=merge.components is None)
        if merge.components is None:
            if last:
                return Draft(child, self.head, self.head, packet, proposal)
            told = "not judged: written for an earlier text, and what it changes was changed meanwhile"
            raise Rejected(Reason.CLASH, told)
        proposal = replace(proposal, components=merge.components)
        texts = self._checked_on_head(proposal, packet)
        carried = Candidate(texts, (self.head.id,), generation, "mutation")
        return Draft(carried, parent, self.head, packet, proposal)

    async def _count(self, step: Step, *, clashed: bool) -> None:
        """Lanes come and go by how often their edits clash."""
        before, width = self.width.now, self.width
        if width.count(clashed=clashed) and width.now != before:
            changed = events.LanesChanged(
                step=step.number, lanes=width.now, clashed=width.clashed, carried=width.carried
            )
            await self.ports.record.step(f"{step.number}/lanes/{self.moves}", lambda: changed)
            self._start_lanes()

    # -- the gate ---------------------------------------------------------------------------------

    async def _contend(self, step: Step, draft: Draft) -> None:
        """Until the child falls, or it (or its edit on a head that moved during the gate) is the head."""
        for number in range(MOST_GATES):
            if not await self._passes(step, draft, number):
                return
            if self.head.id == draft.onto.id or self.settings.pipeline.staleness is not Staleness.REPAIR:
                await self.move(step.number, draft.child, "accepted")
                return
            joined = self._joined(draft)
            await self._count(step, clashed=joined is None)
            if joined is not None and not self.incumbent.lost:
                await self.move(step.number, joined, "joined")
                return
            # Once heads stop getting better with each validation, what two edits do together is measured.
            if joined is not None and number + 1 < MOST_GATES:
                await self.proposed(step.number, joined, number=number + 1)
            draft = replace(draft, child=joined or draft.child, baseline=self.head, onto=self.head)
        await self.skip(step.number, "overtaken", f"the head moved during each of {MOST_GATES} gates")

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
        on_head = replace(packet, parent=self.head, rejected=(), tried={})
        return check(proposal, on_head, known=self.known, training=self.notes.texts())

    async def _passes(self, step: Step, draft: Draft, number: int = 0) -> bool:
        """Child against baseline, on the examples of the step and on guards that the baseline passes."""
        rng = self.stream("gate" if not number else f"gate/{number}", step.number)
        perfect, known = self.settings.perfect, self.seen.get(draft.baseline.id, {})
        examples = step.examples(known)
        if not self.affords(self.undrawn(draft.baseline, examples)):
            await self.skip(step.number, "budget", "the gate does not fit")
            return False
        if all(example.id in known for example in examples):
            before = {example.id: known[example.id] for example in examples}
        else:
            before = scores(await self.rollouts(step.lane, step.number, draft.baseline, examples))
        passed = {e: reward for e, reward in before.items() if reward >= perfect}
        race = Race(
            failed={e: reward for e, reward in before.items() if reward < perfect},
            passed={**passed, **self._guards(known, examples, rng)},
            share=sum(reward >= perfect for reward in known.values()) / max(1, len(known)),
            chunk=self.settings.minibatch_size,
            rng=rng,
        )
        asked_again = False
        while True:
            if not await self._raced(step.lane, step.number, draft.child, race, self.splits.reflect):
                return False
            if asked_again or not await self._ask_again(step, draft.child, race):
                break
            asked_again = True  # what the second answer weakened may need more passes
        if not await self.judged(step.number, draft.child, race.verdict(), draft.baseline.id, number):
            return False
        self.ablation.wrote(draft.baseline.components, draft.child.components, race.gained())
        return True

    async def _raced(
        self, lane: Lane, step: int, child: Candidate, race: Race, among: Sequence[Example]
    ) -> bool:
        """The child is scored until the race is decided; False if the budget does not hold that."""
        by_id = {e.id: e for e in among}
        while chunk := race.next():
            asked = [by_id[e] for e in chunk]
            if not self.affords(self.undrawn(child, asked)):
                await self.skip(step, "budget", "the gate does not fit")
                return False
            race.scored(scores(await self.rollouts(lane, step, child, asked)))
        return True

    async def _ask_again(self, step: Step, child: Candidate, race: Race) -> bool:
        """Where a child passes by a single answer, a second one is drawn, and their mean counts."""
        asked = [e for e in self.splits.reflect if e.id == race.hangs_on]
        wanted = self.settings.pipeline.replicates and asked and race.verdict().passed
        if not wanted or not self.affords(1) or not self.doubt.asks(child.id, asked[0].id):
            return False
        again = scores(await self.rollouts(step.lane, step.number, child, asked, replicate=1))
        for example, second in again.items():
            self.doubt.heard(race.after[example], second)
            race.scored({example: (race.after[example] + second) / 2})
        return bool(again)

    def _guards(
        self, known: Mapping[ExampleId, float], beside: Sequence[Example], rng: Random
    ) -> dict[ExampleId, float]:
        taken = {e.id for e in beside}
        passed = {e: r for e, r in known.items() if r >= self.settings.perfect and e not in taken}
        drawn = rng.sample(list(passed), min(self.settings.pipeline.guards, len(passed)))
        return {e: passed[e] for e in drawn}

    # -- beside the line --------------------------------------------------------------------------

    async def _ablate(self, lane: Lane, step: int) -> bool:
        """The incumbent without some of its lines takes this step, where it has lines to spare.

        It is raced against the incumbent on what that was validated on, so that nothing is asked of the
        incumbent, and a child that wins has all but finished its own validation. Of two texts that do equally
        well the shorter one is better.
        """
        incumbent, perfect = self.incumbent, self.settings.perfect
        if not self.affords(len(self.everything)):
            return False
        texts = self.ablation.begin(step, incumbent.candidate.components, self.stream("ablation", step))
        if texts is None:
            return False
        generation = self.schedule.generation(step)
        child = Candidate(texts, (incumbent.candidate.id,), generation, "ablation")
        won = False
        if child.id not in self.known and self._whole(child):
            await self.proposed(step, child)
            asked = self.order()[:RACED]
            rewards = {e.id: incumbent.rewards[e.id] for e in asked if e.id in incumbent.rewards}
            passed = {e: reward for e, reward in rewards.items() if reward >= perfect}
            race = Race(
                failed={e: reward for e, reward in rewards.items() if reward < perfect},
                passed=passed,
                share=len(passed) / max(1, len(rewards)),
                chunk=AT_ONCE,
                rng=self.stream("ablation/gate", step),
                ties=True,
            )
            if await self._raced(lane, step, child, race, asked):
                won = await self.judged(step, child, race.verdict()) and await self.measure(lane, step, child)
        self.ablation.end(self.at, won=won)
        return True

    def _whole(self, child: Candidate) -> bool:
        """No component is empty, no placeholder is lost."""
        required = self.surface.placeholders
        return all(
            text.strip() and set(required.get(name, ())) <= set(placeholders(text))
            for name, text in child.components.items()
        )

    async def _merge(self, lane: Lane, step: int) -> bool:
        """With the chance of `crossover_rate`, a child of two frontier members takes this step."""
        merge = self.merge_of_two(step)
        if merge is None:
            return False
        examples, before = self.merge_gate(merge, step)
        if not self.affords(self.undrawn(merge.child, examples)):
            return False
        await self.proposed(step, merge.child, ancestor=merge.ancestor)
        outcomes = await self.rollouts(lane, step, merge.child, examples)
        verdict = compare(before, scores(outcomes), acceptance=Acceptance.EQUAL)
        if await self.judged(step, merge.child, verdict):
            await self.measure(lane, step, merge.child)
        return True
