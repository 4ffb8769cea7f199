"""Runs that money, tokens or time end, killed around that moment and resumed, with a larger cap or the same.

What calls cost is known only once they are home, and how many are out at once differs between sessions. So
what can be paid at a moment does, too; what is on record must not.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from paretune.core import events
from paretune.core.budget import PAID
from paretune.core.errors import Paused, RunFailed
from paretune.core.rollout import Usage
from paretune.engine.job import Prices
from paretune.engine.run import Runner, Watch
from paretune.engine.verify import check_record, replay_record
from paretune.evaluate.evaluator import QueueSettings
from paretune.propose.base import Packet, Proposal
from paretune.store.base import StoredDecision
from paretune.views.run_view import read
from support.clock import run_virtual
from support.rulebook import HintProposer, RulebookExecutor, dice
from support.runs import CASES, Case, JournalStore, begin
from support.slow import Slow, Thinking, lived

UNKNOWN = Prices(unknown_allowed=frozenset({"rollout", "proposal"}))
ENOUGH = Prices(rollout=0.001, proposal=0.06)


class Dear(HintProposer):
    """Its calls cost from a fifth to three times as much as the median one."""

    async def propose(self, packet: Packet) -> Proposal:
        proposal = await HintProposer.propose(self, packet)
        times = dice("dear", packet.draw, dict(packet.parent.components)).uniform(0.2, 3)
        return replace(proposal, usage=Usage(int(1000 * times), int(500 * times), 0.02 * times))


@dataclass(frozen=True, slots=True)
class Stop:
    """A cap that ends the search of a case."""

    name: str
    seed: int
    limit: str
    cap: float
    prices: Prices = UNKNOWN

    @property
    def case(self) -> Case:
        return replace(CASES[self.name](self.seed), queue=QueueSettings(24))

    def session(self, store: JournalStore, run_id: str, *, times: float = 1, now: float = 0.0) -> None:
        """`times` as large a cap. A run that cannot pay its closing evaluation has failed, and can go on."""
        cap: dict[str, Any] = {self.limit: type(self.cap)(times * self.cap)}
        changes: dict[str, Any] = {"limits": replace(self.case.limits, **cap), "prices": self.prices}
        thinking = Thinking(Dear(self.seed))
        with contextlib.suppress(RunFailed):
            lived(self.case, store=store, run_id=run_id, now=now, proposer=thinking, **changes)


STOPS = [
    Stop("lanes", 2, "cost_usd", 0.25),
    Stop("lanes", 0, "cost_usd", 0.45),
    Stop("lanes", 1, "cost_usd", 0.5, ENOUGH),
    Stop("crowded", 0, "cost_usd", 0.16),
    Stop("crowded", 1, "cost_usd", 0.3),
    Stop("crowded", 2, "proposal_tokens", 9_000),
    Stop("lanes", 1, "tokens", 14_000),
    Stop("lanes", 0, "rollout_tokens", 6_000),
    Stop("crowded", 2, "seconds", 1.2),
    Stop("classic", 0, "cost_usd", 0.3),
    Stop("merging", 1, "tokens", 20_000),
    Stop("rungs", 1, "cost_usd", 0.4, ENOUGH),
    Stop("judged", 0, "proposal_tokens", 4_000),
    Stop("judged", 1, "seconds", 9.0),
]


def _cuts(journal: JournalStore, stop: Stop) -> Iterator[int]:
    """Commits after which the run is killed: around the end of the search, and anywhere."""
    ends = [
        number
        for number, writes in enumerate(journal.commits, 1)
        for write in writes
        if isinstance(write, StoredDecision) and write.body["kind"] == events.SearchEnded.kind
    ]
    near = {end + by for end in ends for by in (-2, -1, 0, 1, 3)}
    anywhere = dice("cuts", stop.name, stop.cap).sample(range(len(journal.commits)), 3)
    yield from sorted({cut for cut in (*near, *anywhere) if 0 <= cut <= len(journal.commits)})


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: f"{stop.name}-{stop.limit}-{stop.cap}")
def test_a_run_that_a_cap_ends_goes_on_from_any_point_on_the_same_record(stop: Stop) -> None:
    journal = JournalStore()
    run_id = begin(journal, stop.case.job(), Dear(stop.seed))
    stop.session(journal, run_id)
    whole = read(journal, run_id)
    assert whole.ended is not None
    assert whole.ended.reason == ("time" if stop.limit == "seconds" else stop.limit)
    if whole.finished:
        assert replay_record(journal, run_id) == len(whole.decisions)
    for number, cut in enumerate(_cuts(journal, stop)):
        _goes_on(stop, journal.after(run_id, cut), run_id, times=(1, 1.5)[number % 2])


def _goes_on(stop: Stop, store: JournalStore, run_id: str, times: float) -> None:
    before = store.decisions(run_id)
    kept = {key for key, fact in store.facts(store.drawn(run_id)).items() if fact.kind != "failure"}
    asked = {attempt.begun.id for attempt in store.attempts(run_id)}
    stop.session(store, run_id, times=times, now=77.7)
    after = store.decisions(run_id)
    assert [decision.chain for decision in after[: len(before)]] == [decision.chain for decision in before]
    done = Counter(a.begun.key for a in store.attempts(run_id) if a.ended and a.ended.outcome == "done")
    assert {done[key] for key in kept} <= {1}
    view = read(store, run_id)
    assert check_record(store, run_id) == []
    if view.finished:
        assert replay_record(store, run_id) == len(after)
    else:
        assert "ended before the closing" in view.run.status_detail
    if stop.prices is ENOUGH:
        assert view.ledger.cost_usd <= times * stop.cap + 1e-9
    if any(d.body["kind"] == events.SearchEnded.kind and d.body["reason"] in PAID for d in before):
        new = [a.begun for a in store.attempts(run_id) if a.begun.id not in asked]
        assert {begun.role for begun in new} <= {"rollout"}, "a search that is over asks for nothing"


@pytest.mark.parametrize("stop", STOPS[:7], ids=lambda stop: f"{stop.name}-{stop.limit}-{stop.cap}")
@pytest.mark.parametrize("delay", [0.0, 0.05, 0.2])
def test_a_run_that_is_paused_while_it_gives_up_what_it_cannot_pay_goes_on(stop: Stop, delay: float) -> None:
    case, store, thinking = stop.case, JournalStore(), Thinking(Dear(stop.seed))
    cap: dict[str, Any] = {stop.limit: stop.cap}
    job = case.job(limits=replace(case.limits, **cap), prices=stop.prices)
    run_id = begin(store, job, thinking)

    async def carried() -> None:
        paused, loop = asyncio.Event(), asyncio.get_running_loop()

        def look(decision: events.Decision) -> None:
            if isinstance(decision, events.SearchEnded):
                loop.call_later(delay, paused.set)

        executor, watch = Slow(RulebookExecutor(case.book)), Watch(decision=look)
        runner = Runner(store, run_id, job, executor, thinking, watch, stop=paused, clock=loop.time)
        with contextlib.suppress(RunFailed, Paused):
            await runner.run()

    run_virtual(carried())
    before = store.decisions(run_id)
    stop.session(store, run_id, now=77.7)
    after = store.decisions(run_id)
    assert [decision.chain for decision in after[: len(before)]] == [decision.chain for decision in before]
    assert check_record(store, run_id) == []
    if read(store, run_id).finished:
        assert replay_record(store, run_id) == len(after)
