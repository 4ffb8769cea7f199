"""Records as long runs leave them, written through the store in the order in which a run would write them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace

from paretune.algorithms.settings import GepaSettings
from paretune.core import events
from paretune.core.budget import Limits
from paretune.core.candidate import Candidate
from paretune.core.errors import FailureKind
from paretune.core.example import Example, Split, Splits
from paretune.core.rollout import Answer, Failure, Identity, Rollout, RolloutKey, Usage
from paretune.engine.job import Job, split_digests
from paretune.evaluate.facts import failure_fact, rollout_fact
from paretune.store import (
    AttemptEnded,
    Draw,
    Run,
    StatusSet,
    Store,
    Write,
)
from support.recorder import START, Recorder

BEFORE = "run_20251231T000000000_00000000"
"""The run that paid for what this one found."""
LINES = 12
MINIBATCH = 8
PHRASE = "route the ticket to billing unless it names an order or a refund that was sent back"
WORDS = tuple(PHRASE.split())


def big_run(
    store: Store,
    *,
    rollouts: int = 100_000,
    candidates: int = 200,
    examples: int = 500,
    seed: int = 0,
    run_id: str = "",
) -> str:
    """A finished run of about so many rollouts, admitted candidates and examples of all splits; its id."""
    run = Big(rollouts, candidates, examples, seed, run_id or f"run_20260101T000000000_{seed:08x}")
    store.create_run(run.run)
    for group in run.groups():
        store.commit(run.run_id, group)
    return run.run_id


@dataclass(slots=True)
class Big:
    """The run before it has begun. `groups` gives what it commits, group by group, up to its end, for who
    writes it at a pace of his own. Times on record are the run's own, from 2026 on.
    """

    rollouts: int
    candidates: int
    examples: int
    seed: int
    run_id: str
    per_second: float = 50.0
    size: int = 1500
    """Writes in a group."""
    _dice: random.Random = field(init=False)
    _record: Recorder = field(init=False)
    _rewards: dict[RolloutKey, float | None] = field(default_factory=dict)
    _quality: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        self._record = Recorder(self.run_id)

    @property
    def job(self) -> Job:
        ids = [f"ticket-{n:04}" for n in range(self.examples)]
        parts = {Split.REFLECT: 0.2, Split.PARETO: 0.6, Split.SELECT: 0.1, Split.TEST: 0.1}
        splits, start = {}, 0
        for split, share in parts.items():
            end = start + max(MINIBATCH, int(self.examples * share))
            splits[split.value] = tuple(Example(id, split, {}) for id in ids[start:end])
            start = end
        text = "\n".join(self._line(random.Random(n)) for n in range(LINES))
        settings = replace(GepaSettings.classic(seed=self.seed), minibatch_size=MINIBATCH)
        limits = Limits(rollouts=2 * self.rollouts)
        identity = Identity("tickets", "1", "small-model")
        return Job(
            "tickets", Candidate({"system": text}), Splits(**splits), identity, settings, limits=limits
        )

    @property
    def run(self) -> Run:
        proposer = {"proposer": "reflective", "source": {}}
        return Run(self.run_id, "a long run", START.isoformat(), {**self.job.record(), **proposer}, "running")

    def groups(self) -> Iterator[list[Write]]:
        for _ in self._work():
            if len(self._record.writes) >= self.size:
                yield self._record.take()
        self._record.writes.append(StatusSet("succeeded"))
        yield self._record.take()

    # -- the search ----------------------------------------------------------------------------------

    def _work(self) -> Iterator[None]:
        job = self.job
        pool = [job.seed]
        self._quality[job.seed.id] = 0.35
        started = events.RunStarted(
            job=job.digest, seed=self.seed, candidate=job.seed.id, splits=split_digests(job.splits)
        )
        self._record.decide("start", started)
        yield from self._admit(job, job.seed, [], 0, pool)
        # What full evaluations and the end leave is for gates: children that are turned down.
        step, last = 0, self.rollouts - 3 * len(job.splits.select) - 2 * len(job.splits.test)
        while len(self._rewards) < last or len(pool) < self.candidates:
            step += 1
            parent = self._dice.choice(pool[-20:])
            wanted = len(pool) < self.candidates * min(1.0, len(self._rewards) / last)
            yield from self._step(job, step, parent, wanted, pool)
        self._record.decide(
            "ended", events.SearchEnded(step=step, reason="rollouts", detail="all of them drawn")
        )
        yield from self._end(job, pool)

    def _step(
        self, job: Job, step: int, parent: Candidate, wanted: bool, pool: list[Candidate]
    ) -> Iterator[None]:
        minibatch = self._dice.sample(job.splits.reflect, MINIBATCH)
        started = events.StepStarted(
            step=step,
            generation=step // 100,
            parent=parent.id,
            targets=["system"],
            minibatch=[e.id for e in minibatch],
        )
        self._record.decide(f"step/{step}", started)
        before = self._ask(job, parent, minibatch)
        yield
        lines = parent.components["system"].split("\n")
        lines[self._dice.randrange(LINES)] = self._line(self._dice)
        child = Candidate({"system": "\n".join(lines)})
        proposal = self._propose(step, child)
        if not wanted and self._dice.random() < 0.1:
            rejected = events.ProposalRejected(
                step=step,
                parent=parent.id,
                reason="duplicate",
                detail="seen before",
                components=dict(child.components),
            )
            self._record.decide(f"step/{step}/rejected", rejected)
            return
        self._quality[child.id] = min(0.9, self._quality[parent.id] + self._dice.uniform(-0.1, 0.1))
        proposed = events.ChildProposed(
            step=step,
            child=child.id,
            parents=[parent.id],
            origin="reflect",
            generation=step // 100,
            components=dict(child.components),
            rationale="one line made clearer",
            proposal=proposal,
        )
        self._record.decide(f"step/{step}/child", proposed)
        after = self._ask(job, child, minibatch)
        yield
        sums = sum(r or 0.0 for r in before), sum(r or 0.0 for r in after)
        gate = events.GateDecided(
            step=step,
            child=child.id,
            passed=wanted,
            before=sums[0],
            after=sums[1],
            pairs=MINIBATCH,
            reason="better" if wanted else "not_better",
        )
        self._record.decide(f"step/{step}/gate", gate)
        if wanted:
            yield from self._admit(job, child, [parent.id], step, pool)

    def _admit(
        self, job: Job, candidate: Candidate, parents: list[str], step: int, pool: list[Candidate]
    ) -> Iterator[None]:
        rewards = list[float]()
        examples = job.splits.pareto
        for start in range(0, len(examples), 50):
            found = self._ask(job, candidate, examples[start : start + 50])
            rewards += [reward for reward in found if reward is not None]
            yield
        mean = sum(rewards) / max(1, len(rewards))
        admitted = events.CandidateAdmitted(
            step=step,
            candidate=candidate.id,
            parents=parents,
            origin="reflect" if step else "seed",
            generation=step // 100,
            components=dict(candidate.components),
            mean=mean,
            scored=len(rewards),
            failed=len(examples) - len(rewards),
            gained=[e.id for e in examples[: self._dice.randrange(4)]],
            best=mean > max((self._quality.get(f"mean/{known.id}", 0.0) for known in pool), default=0.0),
        )
        self._quality[f"mean/{candidate.id}"] = mean
        self._record.decide(f"step/{step}/admitted", admitted)
        if step:
            pool.append(candidate)

    def _end(self, job: Job, pool: Sequence[Candidate]) -> Iterator[None]:
        means = {known.id: self._quality[f"mean/{known.id}"] for known in pool}
        finalists = sorted(pool, key=lambda known: -means[known.id])[:3]
        best, tests = finalists[0], dict[str, float]()
        for known in finalists:
            self._ask(job, known, job.splits.select)
            yield
        chosen = events.BestChosen(
            best=best.id, chosen_on="select", means={k.id: means[k.id] for k in finalists}, pareto_means=means
        )
        self._record.decide("best", chosen)
        for known in (job.seed, best):
            rewards = [r for r in self._ask(job, known, job.splits.test) if r is not None]
            tests[known.id] = sum(rewards) / max(1, len(rewards))
            yield
        self._record.decide("finish", events.RunFinished(best=best.id, test=tests))

    # -- the record ----------------------------------------------------------------------------------

    def _ask(self, job: Job, candidate: Candidate, examples: Sequence[Example]) -> list[float | None]:
        """Rewards; None where there is none."""
        return [self._rollout(job, candidate, example) for example in examples]

    def _rollout(self, job: Job, candidate: Candidate, example: Example) -> float | None:
        key = RolloutKey(candidate.id, example.id, example.split, 0, job.identity)
        if key in self._rewards:
            return self._rewards[key]
        self._record.seconds += self._dice.expovariate(self.per_second)
        hard = random.Random(example.id).random()
        reward = float(self._dice.random() < self._quality[candidate.id] + 0.4 - 0.8 * hard)
        answer = Answer(
            reward,
            feedback=f"expected {example.id}: {self._text(160)}",
            input=self._text(300),
            output=self._text(220),
            expected=self._text(60),
            usage=Usage(self._dice.randrange(300, 900), self._dice.randrange(20, 200), 0.0004),
        )
        chance = self._dice.random()
        if candidate.id == job.seed.id and chance < 0.3:  # known from a run before
            known = rollout_fact(Rollout(key, answer), 1.0, BEFORE, START.isoformat())
            self._record.writes += [known, Draw(key.id)]
        elif chance < 0.997:
            for number in range(1, 1 + (chance < 0.04)):
                self._fail(key.id, number, chance)
            self._record.rollout(Rollout(key, answer), self._dice.lognormvariate(0, 0.5))
        else:
            for number in range(1, 4):
                self._fail(key.id, number, 1.0)
            message = f"{example.id}: the model said nothing for {self._dice.randrange(30)} s"
            lost = failure_fact(
                Failure(key, FailureKind.TASK_FAILED, message, 3), 9.0, after=self._record.decided
            )
            own = lost._replace(scope=self.run_id, paid_by=self.run_id, at=self._record.at)
            self._record.writes += [own, Draw(key.id)]
            self._rewards[key] = None
            return None
        self._rewards[key] = reward
        return reward

    def _propose(self, step: int, child: Candidate) -> str:
        key, usage = f"p_{self.seed:08x}{step:024x}", Usage(6000, 500, 0.01)
        sent = [{"role": "user", "content": self._text(1000)}]
        body = {
            "version": 1,
            "usage": asdict(usage),
            "components": dict(child.components),
            "rationale": "one line made clearer",
            "demonstrations": [],
            "transcript": {"messages": sent, "answer": self._text(1000)},
        }
        self._record.proposal(key, body, usage, 4.0)
        return key

    def _fail(self, key: str, number: int, chance: float) -> None:
        """One attempt that was turned away, took too long, or was out when the process died."""
        record = self._record
        id = record.begin(key, "rollout", number)
        if chance < 0.005:
            record.writes.append(AttemptEnded(id, "lost", at=record.at))
            return
        kind, message = ("rate_limited", f"HTTP 429: try again in {self._dice.randrange(60)} s")
        if chance > 0.03:
            kind, message = "timeout", f"no answer within 30 s to request req_{self._dice.randrange(10**9)}"
        record.writes.append(AttemptEnded(id, "failed", kind, message, at=record.at))

    def _text(self, length: int) -> str:
        start = self._dice.randrange(len(_PROSE) - length)
        return _PROSE[start : start + length]

    def _line(self, dice: random.Random) -> str:
        return "- " + " ".join(dice.choice(WORDS) for _ in range(14))


_PROSE = " ".join(random.Random(0).choices(WORDS, k=2000))
