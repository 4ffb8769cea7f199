"""What MIPRO chooses from: demonstrations that are bootstrapped, and instructions that are written."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle, islice

from paretune.algorithms.laned import Laned
from paretune.algorithms.lanes import Lane
from paretune.algorithms.mipro.demos import demonstration_sets, labelled, qualified
from paretune.algorithms.mipro.options import Options, Texts, demonstrations_of, instruction_of
from paretune.algorithms.mipro.settings import MiproSettings, Stage
from paretune.algorithms.mipro.trials import Trials, Tried
from paretune.algorithms.ports import Drafted
from paretune.algorithms.tpe import Choice
from paretune.core import events
from paretune.core.candidate import Candidate
from paretune.core.demonstrations import dump
from paretune.core.errors import BudgetExceeded, RunFailed
from paretune.core.rollout import Outcome, Rollout
from paretune.propose.base import Grounding, Packet, Proposal, Scored

MOST_ASKED = 2
"""For one instruction, until the guards let it pass."""
SHOWN_FAILURES, SHOWN_PASSES, SHOWN_SOLVED = 4, 2, 3
"""Rollouts that whoever writes an instruction sees."""
REMEMBERED_BEST, REMEMBERED_WORST = 4, 2
"""Texts and their scores, in the history."""
TIPS = (
    "",
    "Try an approach that is unlike the present one.",
    "Keep it as short as it can be without losing what matters.",
    "Describe the task and the form of the answer in every detail that the examples show.",
    "Say what is at stake if an answer is wrong, so that care is taken.",
    "Begin by giving the model the role of somebody who does exactly this well.",
)
"""What is asked for, in turn."""


@dataclass(slots=True)
class Repertoire(Laned):
    """The options of a search and where they come from; `trials` holds what was measured of them.

    After another search of the same run the best members of its pool are options, and demonstrations are the
    best one's answers.
    """

    mipro: MiproSettings = field(kw_only=True)
    options: Options = field(init=False)
    trials: Trials = field(default_factory=Trials)
    _seed: Candidate = field(init=False)
    _bootstrapped: list[Outcome] = field(default_factory=list)
    _wanted: deque[tuple[Stage, int]] = field(default_factory=deque)
    _written: int = 0
    _round: int = 0

    # -- demonstrations -----------------------------------------------------------------------------

    async def _bootstrap(self, lane: Lane) -> None:
        """The examples that demonstrations come from, answered by the best so far."""
        teacher = self.pool.members[self.pool.best].candidate if self.pool.members else self._seed
        self._bootstrapped = await self.rollouts(lane, self.at, teacher, self.splits.reflect)

    def _settle(self, choice: Choice, candidate: Candidate) -> None:
        """A combination that is a member of the pool needs no trial."""
        member = self.pool.members.get(candidate.id)
        if member is not None:
            rewards = dict(member.rewards.plain())
            self.trials.tried[choice] = Tried(choice, candidate, times=1, settled=True, rewards=rewards)

    async def _inherit(self) -> None:
        """Texts of the best members that an earlier search left are options, too."""
        for stage in self.mipro.stages:
            dimension = instruction_of(stage)
            for member in self.pool.ranked()[: stage.instructions]:
                texts = {name: member.candidate.components[name] for name in stage.components}
                if self.options.dimensions[dimension].find(texts) is None:
                    await self._offer(self.at, dimension, texts, rationale="from the frontier")
        for member in self.pool.ranked():
            choice = self.options.choice(member.candidate)
            if choice is not None and choice not in self.trials.tried:
                self._settle(choice, member.candidate)

    async def _demonstrate(self) -> None:
        """Sets of demonstrations for each stage that shows some. Raises RunFailed if too few qualify."""
        settings, outcomes = self.mipro.bootstrap, self._bootstrapped
        passed = [o for o in outcomes if isinstance(o, Rollout) and o.reward >= settings.threshold]
        made = events.Bootstrapped(
            step=self.at, asked=len(outcomes), qualified=len(passed), threshold=settings.threshold
        )
        await self.ports.record.step(f"{self.at}/bootstrapped", lambda: made)
        if settings.strict and len(passed) < settings.least:
            raise RunFailed(
                f"only {len(passed)} of {len(outcomes)} bootstrap rollouts reached {settings.threshold:g}",
                f"min_bootstrap_demos is {settings.least} and strict_bootstrap is set: lower one of them or "
                "few_shot_score_threshold, or give more bootstrap seeds",
            )
        names = {name for held in self.surface.placeholders.values() for name in held}
        for stage in self.mipro.stages:
            if not stage.demonstrations:
                continue
            sets = demonstration_sets(
                qualified(outcomes, settings.threshold, _within(stage, self.mipro), names),
                labelled(outcomes, _within(stage, self.mipro), names),
                settings,
                stage.demo_sets - 1,
                self.stream(f"demonstrations/{stage.name}", 0),
            )
            for shown in sets:
                texts = {stage.demonstrations: dump(shown)}
                await self._offer(self.at, demonstrations_of(stage), texts, [d.example for d in shown])

    async def _offer(
        self,
        step: int,
        dimension: str,
        texts: Texts,
        examples: Sequence[str] = (),
        *,
        proposal: str = "",
        rationale: str = "",
    ) -> None:
        """One more option, on record; one that there is already is passed over."""
        number = self.options.dimensions[dimension].add(texts)
        if number is None:
            return
        made = events.OptionAdded(
            step=step,
            dimension=dimension,
            number=number,
            components=dict(texts),
            examples=list(examples),
            proposal=proposal,
            rationale=rationale,
        )
        await self.ports.record.step(f"{step}/option/{dimension}/{number}", lambda: made)

    # -- instructions -------------------------------------------------------------------------------

    async def _write(self, stages: Sequence[Stage], *, first: bool) -> None:
        """Instructions of each stage, several at once."""
        for stage in stages:
            there = len(self.options.dimensions[instruction_of(stage)].options)
            wanted = stage.instructions - there if first else self._room(stage)
            self._wanted.extend((stage, n) for n in range(wanted))
        await self.turns.run(*[self._writer] * min(self.mipro.at_once, len(self._wanted)))

    def _room(self, stage: Stage) -> int:
        there = len(self.options.dimensions[instruction_of(stage)].options)
        return max(0, min(self.mipro.per_round, stage.most_instructions - there))

    async def _writer(self, lane: Lane) -> None:
        while self._wanted and self.over is None:
            stage, number = self._wanted.popleft()
            try:
                await self._instruct(lane, stage, number)
            except BudgetExceeded as stop:
                await self.stopped(self.at, stop)

    async def _instruct(self, lane: Lane, stage: Stage, number: int) -> None:
        """One instruction, asked for until the guards let one pass."""
        for attempt in range(MOST_ASKED):
            packet = self._grounded(stage, number + attempt)
            drafted = await self._drafted(lane, packet)
            self._written += 1
            proposal = await self.guarded(self.at, packet, drafted, self._written)
            if proposal is not None:
                await self._instruction(stage, proposal, drafted.key)
                return

    async def _drafted(self, lane: Lane, packet: Packet) -> Drafted:
        drafting, now = self.ports.propose.start(packet), self.turns.now
        return await self.paid(self.at, lane.work(drafting, lambda: now + drafting.seconds()))

    async def _instruction(self, stage: Stage, proposal: Proposal, key: str) -> None:
        texts = {name: proposal.components[name] for name in stage.components}
        await self._offer(
            self.at,
            instruction_of(stage),
            texts,
            proposal.demonstrations,
            proposal=key,
            rationale=proposal.rationale,
        )

    def _grounded(self, stage: Stage, number: int) -> Packet:
        """What the writer of this instruction is told."""
        draw = f"mipro/{stage.name}/{self._round}/{number}"
        rng = self.stream(draw, 0)
        failed, passed = self._shown()
        some = rng.sample(failed, min(SHOWN_FAILURES, len(failed)))
        some += rng.sample(passed, min(SHOWN_PASSES, len(passed)))
        packet = self.packet(self.at, self._seed, stage.components, some)
        solved = rng.sample(passed, min(SHOWN_SOLVED, len(passed)))
        grounding = Grounding(
            rows=self._rows(),
            program=self.mipro.program,
            module=stage.module,
            demonstrations=self.notes.evidence(solved),
            tip=next(islice(cycle(TIPS), number + self._round, None)) if self.mipro.tips else "",
            history=self._history(stage) if self._round and self.mipro.history else (),
        )
        return replace(packet, grounding=grounding, draw=f"{self.settings.seed}/{draw}")

    def _rows(self) -> tuple[str, ...]:
        """Examples as texts: those of the reference, or of the bootstrap."""
        if self.mipro.rows or self.mipro.rows is None:
            return self.mipro.rows or ()
        return tuple(_row(o) for o in self._bootstrapped if isinstance(o, Rollout))

    def _shown(self) -> tuple[list[Outcome], list[Outcome]]:
        """Rollouts of the initial prompt that fail and that pass."""
        known = [o for o in self._bootstrapped if isinstance(o, Rollout)]
        threshold = self.mipro.bootstrap.threshold
        failed: list[Outcome] = [o for o in known if o.reward < threshold]
        return failed, [o for o in known if o.reward >= threshold]

    def _history(self, stage: Stage) -> tuple[Scored, ...]:
        """Texts of this stage and the mean of what was tried with them, the best first."""
        place = list(self.options.dimensions).index(instruction_of(stage))
        estimates = self.trials.estimates()
        by_option: dict[int, list[Tried]] = {}
        for one in self.trials.measured():
            by_option.setdefault(one.choice[place], []).append(one)
        texts = self.options.dimensions[instruction_of(stage)].options
        scored = [
            Scored(
                texts[option],
                round(sum(estimates[one.choice] for one in group) / len(group), 4),
                sum(len(one.rewards) for one in group),
            )
            for option, group in by_option.items()
        ]
        scored.sort(key=lambda one: -one.mean)
        if len(scored) <= REMEMBERED_BEST + REMEMBERED_WORST:
            return tuple(scored)
        return (*scored[:REMEMBERED_BEST], *scored[-REMEMBERED_WORST:])


def _within(stage: Stage, settings: MiproSettings) -> str:
    """The stage's name where there are several, as rollouts tell them apart."""
    return stage.name if len(settings.stages) > 1 else ""


def _row(rollout: Rollout) -> str:
    answer = rollout.answer
    return f"{answer.input}\n-> {answer.expected}" if answer.expected else answer.input
