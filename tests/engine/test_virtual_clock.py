"""Lanes on a clock of their own: rollouts and proposals that take their time, some of them very long.

How long each takes is drawn from its question and the session: whoever asks again may wait longer or
shorter.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from paretune.core.budget import Limits
from paretune.core.errors import AttemptFailed
from paretune.core.rollout import Answer
from paretune.engine.run import Runner
from paretune.engine.verify import check_record, replay_record
from paretune.evaluate.evaluator import QueueSettings
from paretune.evaluate.executors import Dispatch
from paretune.propose.base import Packet, Proposal
from paretune.store import MemoryStore
from support.clock import run_virtual
from support.rulebook import HintProposer, RulebookExecutor, dice
from support.runs import ASYNC, Case, JournalStore, begin, canonical, first_difference

STRAGGLER = 1.0


def seconds(session: float, *question: object) -> float:
    """Log-normal with a median of a fifth of a second, in milliseconds; one of a hundred is a straggler."""
    rng = dice("seconds", session, *question)
    return STRAGGLER if rng.random() < 0.01 else round(0.2 * math.exp(rng.gauss(0, 0.8)), 3)


@dataclass(slots=True)
class Slow:
    """An executor whose calls take their time; `busy` adds them up."""

    inner: RulebookExecutor
    session: float = 0.0
    busy: float = 0.0

    async def run(self, batch: Sequence[Dispatch]) -> list[Answer | AttemptFailed]:
        (dispatch,) = batch
        request = dispatch.request
        wait = seconds(self.session, dict(request.candidate.components), request.example.id)
        await asyncio.sleep(wait)
        self.busy += wait
        return await self.inner.run(batch)


@dataclass(slots=True)
class Thinking:
    """A proposer that takes its time."""

    inner: HintProposer
    session: float = 0.0
    busy: float = 0.0

    @property
    def identity(self) -> str:
        return self.inner.identity

    async def propose(self, packet: Packet) -> Proposal:
        wait = seconds(self.session, "proposal", dict(packet.parent.components), packet.draw)
        await asyncio.sleep(wait)
        self.busy += wait
        return await self.inner.propose(packet)


@dataclass(frozen=True, slots=True)
class Lived:
    store: MemoryStore
    run_id: str
    executor: Slow
    proposer: Thinking
    seconds: float

    def canonical(self) -> dict[str, Any]:
        return canonical(self.store, self.run_id)


def case(name: str, seed: int) -> Case:
    return replace(
        ASYNC[name](seed), limits=Limits(rollouts=400, steps=60), model=False, queue=QueueSettings(24)
    )


def lived(case: Case, *, store: MemoryStore | None = None, run_id: str = "", now: float = 0.0) -> Lived:
    store, job = store or MemoryStore(), case.job()
    executor = Slow(RulebookExecutor(case.book), now)
    proposer = Thinking(HintProposer(case.book.seed), now)
    run_id = run_id or begin(store, job, proposer)

    async def carried() -> None:
        clock = asyncio.get_running_loop().time
        await Runner(store, run_id, job, executor, proposer, clock=clock).run()

    _, took = run_virtual(carried(), now)
    return Lived(store, run_id, executor, proposer, took)


@pytest.mark.parametrize("name", ASYNC)
def test_two_runs_with_the_same_outcomes_decide_alike(name: str) -> None:
    one, other = lived(case(name, 0)), lived(case(name, 0), now=1234.567)
    assert first_difference(one.canonical(), other.canonical()) == ""
    assert check_record(one.store, one.run_id) == []
    assert replay_record(one.store, one.run_id) == len(one.canonical()["decisions"])


@pytest.mark.parametrize("name", ASYNC)
def test_the_work_of_lanes_overlaps(name: str) -> None:
    run = lived(case(name, 0))
    assert run.seconds < 0.6 * (run.executor.busy + run.proposer.busy)


@pytest.mark.parametrize("name", ASYNC)
def test_a_run_killed_at_many_points_and_resumed_equals_the_uninterrupted_one(name: str) -> None:
    whole = lived(case(name, 1), store=JournalStore())
    assert isinstance(whole.store, JournalStore)
    commits = len(whole.store.commits)
    for cut in sorted(dice("cuts", name).sample(range(commits), 25)):
        store = whole.store.after(whole.run_id, cut)
        kept = {key for key, fact in store.facts(store.drawn(whole.run_id)).items() if fact.kind == "rollout"}
        more = lived(case(name, 1), store=store, run_id=whole.run_id, now=77.7)
        assert first_difference(whole.canonical(), more.canonical()) == "", f"cut after {cut} of {commits}"
        asked = more.executor.inner.calls
        assert asked.total() == whole.executor.inner.calls.total() - len(kept)


@pytest.mark.parametrize("name", ASYNC)
def test_with_all_results_known_it_finds_the_same_order_in_no_time(name: str) -> None:
    first = lived(case(name, 2))
    second = lived(case(name, 2), store=first.store)
    assert second.run_id != first.run_id
    assert (second.executor.busy, second.proposer.busy) == (0.0, 0.0)
    assert first_difference(first.canonical(), second.canonical()) == ""
    assert second.seconds < 1.0 < first.seconds
