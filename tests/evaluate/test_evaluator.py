"""The evaluator on its queue: each question once, within the budget, whatever far side and waiters do."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.far_side import (
    IDENTITY,
    RUN,
    UNREACHABLE,
    Clock,
    FarSide,
    LookedAt,
    Script,
    failed,
    ids,
    requests,
    right,
    room,
    room_with,
    settle,
)
from paretune.core.budget import Ledger, Limits
from paretune.core.errors import AttemptFailed, BudgetExceeded, FailureKind, Paused, RunFailed
from paretune.core.retry import RetryPolicy
from paretune.core.rollout import Answer, Failure, Outcome, Rollout
from paretune.engine.run import restore
from paretune.evaluate.evaluator import REMEMBERED, Priority, QueueSettings
from paretune.evaluate.executors import Dispatch
from paretune.evaluate.facts import outcome
from paretune.store.base import Draw, Fact, Write

GATE, FULL, BACKGROUND = Priority
NARROW = QueueSettings(concurrency=1, retry=RetryPolicy(attempts=2, base=0.01))


def failing(kind: FailureKind, *examples: str, times: int = 10**9) -> Script:
    """A script: these examples fail the first `times` times they are asked."""

    def script(dispatch: Dispatch, asked: int) -> Answer | AttemptFailed:
        hit = dispatch.request.example.id in examples and asked <= times
        return failed(kind) if hit else right(dispatch, asked)

    return script


# -- order -------------------------------------------------------------------------------------------


async def test_a_gate_overtakes_a_full_evaluation_that_waits() -> None:
    async with room(queue=NARROW) as it:
        background = it.evaluator.start(requests(*range(3), text="background"), BACKGROUND)
        full = it.evaluator.start(requests(*range(10, 13)))
        gate = it.evaluator.start(requests(*range(20, 23), text="gate"), GATE)
        await it.clock.carry(asyncio.gather(background, full, gate))
        first, *rest = it.far.order
        assert sorted([first, *rest]) == sorted(["0", "1", "2", "10", "11", "12", "20", "21", "22"])
        assert rest == ["20", "21", "22", "10", "11", "12", "1", "2"]


async def test_a_flight_is_shared_and_lifted_by_whoever_needs_it_sooner() -> None:
    async with room(queue=NARROW) as it:
        background = it.evaluator.start(requests(*range(4)), BACKGROUND)
        full = it.evaluator.start(requests(*range(10, 13)), FULL)
        await settle()
        gate = it.evaluator.start(requests(3, 2), GATE)
        found = await it.clock.carry(asyncio.gather(background, full, gate))
        assert it.far.order == ["0", "2", "3", "10", "11", "12", "1"]
        assert set(it.far.asked.values()) == {1}
        assert found[2] == found[0][:1:-1]


async def test_the_same_question_twice_in_one_call_is_one_rollout() -> None:
    async with room() as it:
        found = await it.clock.carry(it.evaluator.evaluate(requests(1, 2, 1)))
        assert [o.example for o in found] == ["1", "2", "1"]
        assert len(it.far.order) == len(it.ledger.drawn) == 2


@pytest.mark.parametrize("concurrency", [1, 3, 64])
async def test_never_more_in_flight_than_slots_and_no_slot_is_left_empty(concurrency: int) -> None:
    async with room(queue=QueueSettings(concurrency)) as it:
        await it.clock.carry(
            asyncio.gather(*(it.evaluator.evaluate(requests(*range(8), text=f"{n}")) for n in range(16)))
        )
        assert it.far.most_in_flight == concurrency
        assert len(it.far.order) == 128


# -- budget ------------------------------------------------------------------------------------------


async def test_the_budget_is_drawn_before_start_returns() -> None:
    async with room(limits=Limits(rollouts=5)) as it:
        first = it.evaluator.start(requests(1, 2, 3))
        assert it.ledger.left() == 2
        with pytest.raises(BudgetExceeded):
            _ = it.evaluator.start(requests(4, 5, 6))
        again = it.evaluator.start(requests(2, 3, 4, 5))
        assert it.ledger.left() == 0
        with pytest.raises(BudgetExceeded):
            await it.evaluator.evaluate(requests(6))
        await it.clock.carry(asyncio.gather(first, again))
        assert sorted(it.far.order) == ["1", "2", "3", "4", "5"]


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), budget=st.integers(1, 90))
async def test_the_budget_is_never_passed_at_64_in_flight(seed: int, budget: int) -> None:
    rng = random.Random(seed)
    async with room(queue=QueueSettings(64), limits=Limits(rollouts=budget)) as it:

        async def lane(name: int) -> None:
            for _ in range(3):
                asked = requests(*rng.sample(range(30), rng.randint(1, 12)), text=f"{name % 4}")
                try:
                    await it.evaluator.evaluate(asked, rng.choice(list(Priority)))
                except BudgetExceeded:
                    assert not it.ledger.affords(ids(asked))

        await it.clock.carry(asyncio.gather(*(lane(n) for n in range(12))))
        assert len(it.far.asked) == it.far.asked.total() == len(it.ledger.drawn) <= budget
        assert it.far.most_in_flight <= 64
        assert sorted(it.store.drawn(RUN)) == sorted(it.ledger.drawn)


async def test_money_that_does_not_fit_frees_the_slot_and_the_others_come_home() -> None:
    async with room(limits=Limits(cost_usd=0.0035), queue=QueueSettings(2), price=0.001) as it:
        with pytest.raises(BudgetExceeded, match="cost_usd"):
            await it.clock.carry(it.evaluator.evaluate(requests(*range(8))))
        assert len(it.far.order) == 3
        assert it.evaluator.state.in_flight == it.evaluator.state.waiting == 0
        assert it.ledger.cost_usd == pytest.approx(0.003)


async def test_rollouts_that_money_did_not_hold_are_drawn_until_the_search_is_over() -> None:
    limits = Limits(rollouts=8, cost_usd=0.0035)
    async with room(limits=limits, queue=QueueSettings(2), price=0.001) as it:
        with pytest.raises(BudgetExceeded, match="cost_usd"):
            await it.clock.carry(it.evaluator.evaluate(requests(*range(8))))
        assert it.ledger.left() == 0
        it.ledger.reopen()
        assert it.ledger.left() == 5
        assert sorted(it.store.drawn(RUN)) == sorted(it.ledger.drawn)


# -- facts -------------------------------------------------------------------------------------------


def spelled(one: Outcome) -> str:
    assert isinstance(one, Rollout)
    return json.dumps([one.reward, dict(one.answer.objectives), one.answer.trace])


async def test_what_decides_now_is_what_a_resumed_run_finds_key_order_included() -> None:
    async with room() as it:
        asked = requests(*range(6))
        found = await it.clock.carry(it.evaluator.evaluate(asked))
        again = await it.evaluator.evaluate(asked)
        kept = it.store.facts(ids(asked), RUN)
        read = [outcome(kept[key]) for key in ids(asked)]
        assert found == again == read
        assert [spelled(o) for o in found] == [spelled(o) for o in read] == [spelled(o) for o in again]
        assert '"brevity": 0.25, "solved"' in spelled(found[0])
        assert it.store.drawn(RUN) == sorted(ids(asked))


async def test_an_attempt_is_on_record_before_its_call_goes_out() -> None:
    store = LookedAt()
    open_at_call: list[bool] = []

    def script(dispatch: Dispatch, asked: int) -> Answer | AttemptFailed:
        key = dispatch.request.key(IDENTITY).id
        booked = [a for a in store.attempts(RUN) if a.begun.key == key]
        open_at_call.append([a.begun.number for a in booked] == [*range(1, asked + 1)])
        open_at_call.append(booked[-1].ended is None)
        return failed(FailureKind.SERVER_ERROR) if asked == 1 else right(dispatch, asked)

    async with room(script, store=store) as it:
        await it.clock.carry(it.evaluator.evaluate(requests(*range(5))))
    assert open_at_call == [True] * 20
    assert [a.ended.outcome for a in store.attempts(RUN) if a.ended].count("done") == 5


@pytest.mark.parametrize(
    ("price", "limits", "out", "ahead"),
    [
        (0.0, Limits(rollouts=6), 2, 2),
        (0.01, Limits(), 2, 0),
        (0.0, Limits(cost_usd=1.0), 2, 0),
        (0.0, Limits(tokens=9), 1, 0),  # nobody knows yet how many tokens a call takes
    ],
)
async def test_free_attempts_are_on_record_ahead_of_their_turn_and_end_unsent_if_it_never_comes(
    price: float, limits: Limits, out: int, ahead: int
) -> None:
    settings = QueueSettings(concurrency=2)
    async with room(lambda *_: Answer(0.5), settings, price=price, limits=limits) as it:
        waiter = it.evaluator.start(requests(*range(6)))
        await it.far.busy(out)
        await it.book.flush()
        assert len(it.store.attempts(RUN)) == out + ahead
        await it.clock.carry(it.evaluator.drain(5.0))
        with pytest.raises(Paused):
            await waiter
        await it.book.flush()
        attempts = it.store.attempts(RUN)
        assert Counter(a.ended and a.ended.outcome for a in attempts) == Counter(done=out, unsent=ahead)
        again = Ledger(limits)
        restore(again, attempts)
        assert again.by_role == it.ledger.by_role
        assert again.role("rollout").calls == out == len(it.far.order)


class Other(LookedAt):
    """Another run pays for the same cell, just before our result is committed."""

    def commit(self, run_id: str, writes: Sequence[Write]) -> frozenset[str]:
        ours = [w for w in writes if isinstance(w, Fact) and w.kind == "rollout"]
        if run_id == RUN and ours:
            theirs = [w._replace(body={**w.body, "reward": 0.9}, paid_by="run_2") for w in ours]
            super().commit("run_2", [*theirs, *(Draw(w.key) for w in ours)])
        return super().commit(run_id, writes)


async def test_where_another_run_was_first_its_result_decides() -> None:
    store = Other()
    async with room(store=store, run_id="run_2") as _, room(store=store) as it:
        found = await it.clock.carry(it.evaluator.evaluate(requests(1, 2)))
        assert [o.reward for o in found if isinstance(o, Rollout)] == [0.9, 0.9]


async def test_what_another_run_paid_for_is_taken_over_once_and_asks_nobody() -> None:
    store, asked = LookedAt(), requests(*range(5))
    async with room(store=store, run_id="run_2") as other:
        await other.clock.carry(other.evaluator.evaluate(asked[:4]))
    async with room(store=store) as it:
        for _ in range(2):
            await it.clock.carry(asyncio.gather(*(it.evaluator.evaluate(asked) for _ in range(3))))
        assert it.far.order == ["4"]
        assert it.ledger.role("rollout").reused == 4
        assert store.drawn(RUN) == sorted(ids(asked))


async def test_lookups_go_in_groups_and_what_was_seen_lately_needs_none() -> None:
    async with room(queue=QueueSettings(64)) as it:
        lanes = [requests(*range(3), text=f"{n}") for n in range(20)]
        await it.clock.carry(asyncio.gather(*(it.evaluator.evaluate(lane) for lane in lanes)))
        assert it.store.lookups[0] == 60
        assert len(it.store.lookups) < 20
        before = len(it.store.lookups)
        await asyncio.gather(*(it.evaluator.evaluate(lane) for lane in lanes))
        assert len(it.store.lookups) == before
        assert len(it.far.order) == 60


async def test_a_fact_that_cannot_be_read_is_an_error_for_who_asks_and_holds_up_nobody() -> None:
    (key,) = ids(requests(1))
    async with room() as it:
        it.store.commit(RUN, [Fact(key, "rollout", {"version": 99}, paid_by=RUN)])
        with pytest.raises(ValueError, match="version 99"):
            await it.evaluator.evaluate(requests(1, 2))
        (found,) = await it.clock.carry(it.evaluator.evaluate(requests(2)))
        assert isinstance(found, Rollout)


async def test_memory_is_bounded_keeps_what_is_asked_for_and_books_nothing_twice() -> None:
    store, theirs, favourite = LookedAt(), requests(1, 2, 3), requests("favourite")
    async with room(store=store, run_id="run_2") as other:
        await other.clock.carry(other.evaluator.evaluate(theirs))
    async with room(store=store, queue=QueueSettings(500)) as it:
        await it.evaluator.evaluate(theirs)
        for half in range(2):
            await it.clock.carry(it.evaluator.evaluate(favourite))
            others = requests(*range(REMEMBERED - 100), text=f"{half}")
            await it.clock.carry(it.evaluator.evaluate(others))
        before = len(store.lookups)
        await it.evaluator.evaluate(favourite)
        assert len(store.lookups) == before
        await it.evaluator.evaluate(theirs)
        assert len(store.lookups) == before + 1
        assert it.ledger.role("rollout").reused == 3


# -- failures ----------------------------------------------------------------------------------------


async def test_a_rollout_that_rests_before_its_next_attempt_leaves_its_slot_to_others() -> None:
    queue = QueueSettings(1, retry=RetryPolicy(attempts=2, base=1e6, cap=1e6))
    async with room(failing(FailureKind.SERVER_ERROR, "0", times=1), queue=queue) as it:
        found = await it.clock.carry(it.evaluator.evaluate(requests(*range(4))))
        assert it.far.order == ["0", "1", "2", "3", "0"]
        assert all(isinstance(o, Rollout) for o in found)


async def test_a_deadline_is_a_timeout_and_frees_the_slot() -> None:
    queue = QueueSettings(1, deadline=0.01, retry=RetryPolicy(attempts=1))
    async with room(queue=queue, seconds=1e9) as it:
        (found,) = await it.evaluator.evaluate(requests(1))
        assert isinstance(found, Failure)
        assert (found.kind, found.message) == (FailureKind.TIMEOUT, "no answer within 0.01 s")
        assert it.far.in_flight == it.evaluator.in_flight == 0
        assert it.ledger.role("rollout").lost == 1


async def test_a_task_that_is_away_for_a_while_leaves_no_gap_and_trips_nothing() -> None:
    """Even without retries: nobody could connect, so nothing was tried."""
    away = (0.5, 25.0)

    def script(dispatch: Dispatch, asked: int) -> Answer | AttemptFailed:
        return UNREACHABLE if away[0] <= it.clock.now < away[1] else right(dispatch, asked)

    queue = QueueSettings(8, retry=RetryPolicy(attempts=1))
    async with room(script, queue=queue, tolerance=0.25) as it:
        lanes = [it.evaluator.start(requests(*range(10), text=f"{n}")) for n in range(10)]
        found = await it.clock.carry(asyncio.gather(*lanes))
        assert all(isinstance(o, Rollout) for lane in found for o in lane)
        assert 25 < it.clock.now < 60
        probes = [moment for moment in it.far.moments if 2.0 < moment < away[1]]
        assert 3 <= len(probes) <= 8
        assert it.ledger.role("rollout").lost_usd == 0


async def test_a_task_that_stays_away_ends_the_run_with_the_cause_and_keeps_no_failure() -> None:
    def script(dispatch: Dispatch, asked: int) -> Answer | AttemptFailed:
        return UNREACHABLE if it.clock.now >= 0.5 else right(dispatch, asked)

    async with room(script, queue=QueueSettings(4, breaker=20.0), tolerance=0.25) as it:
        lanes = [it.evaluator.start(requests(*range(30), text=f"{n}"), GATE) for n in range(3)]
        ends = await it.clock.carry(asyncio.gather(*lanes, return_exceptions=True))
        assert {type(end) for end in ends} == {RunFailed}
        assert "the task cannot be reached: unreachable (" in str(ends[0])
        assert "task.example" not in str(ends[0])
        assert 20 <= it.clock.now < 30
        assert {fact.kind for fact in it.store.facts(it.store.drawn(RUN), RUN).values()} == {"rollout"}
        assert all(attempt.ended for attempt in it.store.attempts(RUN))
        with pytest.raises(RunFailed, match="cannot be reached"):
            await it.evaluator.evaluate(requests("new"))


async def test_a_rollout_that_alone_cannot_connect_is_a_failure_like_any_other() -> None:
    queue = QueueSettings(2, retry=RetryPolicy(attempts=3, base=0.5))
    script = failing(FailureKind.UNREACHABLE, "3")
    async with room(script, queue=queue) as it:
        found = await it.clock.carry(it.evaluator.evaluate(requests(*range(60))))
        assert [o.example for o in found if isinstance(o, Failure)] == ["3"]
        assert 3 <= it.far.order.count("3") <= 5


async def test_too_many_other_failures_end_the_run_and_nothing_more_is_asked() -> None:
    kind = FailureKind.SERVER_ERROR
    queue = QueueSettings(4, retry=RetryPolicy(attempts=1))
    async with room(lambda dispatch, asked: failed(kind), queue=queue, tolerance=0.25) as it:
        with pytest.raises(RunFailed, match="rollouts failed"):
            await it.clock.carry(it.evaluator.evaluate(requests(*range(100))))
        assert 8 <= len(it.far.order) <= 12
        assert it.far.in_flight == 0


# -- bugs and cancellations --------------------------------------------------------------------------


class Broken(FarSide):
    """User code with a bug."""

    async def one(self, dispatch: Dispatch) -> Answer | AttemptFailed:
        if dispatch.request.example.id == "2":
            raise ZeroDivisionError("a bug")
        return await FarSide.one(self, dispatch)


async def test_an_executor_with_a_bug_hangs_nobody() -> None:
    async with room_with(Broken(Clock()), QueueSettings(1)) as it:
        ends = await it.clock.carry(
            asyncio.gather(
                *(it.evaluator.evaluate(requests(n, 2, n + 10)) for n in (0, 1)),
                it.evaluator.evaluate(requests(7)),
                return_exceptions=True,
            )
        )
        assert [type(end) for end in ends] == [ZeroDivisionError, ZeroDivisionError, list]
        assert it.evaluator.state.in_flight == it.evaluator.state.waiting == 0
        assert len(it.store.facts(ids(requests(0, 10, 1, 11, 7)))) == 5, "the others came home"


@pytest.mark.parametrize("answers", [0, 2])
async def test_an_executor_that_miscounts_is_a_bug_too(answers: int) -> None:
    class Miscounts(FarSide):
        async def run(self, batch: Sequence[Dispatch]) -> list[Answer | AttemptFailed]:
            return [Answer(1.0)] * answers

    async with room_with(Miscounts(Clock()), QueueSettings(1)) as it:
        with pytest.raises(ValueError, match="unpack"):
            await it.evaluator.evaluate(requests(1))
        assert it.evaluator.state.in_flight == 0


async def test_an_executor_that_raises_its_failure_is_understood() -> None:
    class Raises(FarSide):
        async def run(self, batch: Sequence[Dispatch]) -> list[Answer | AttemptFailed]:
            raise failed(FailureKind.REFUSED, "no such seed")

    async with room_with(Raises(Clock())) as it:
        (found,) = await it.evaluator.evaluate(requests(1))
        assert isinstance(found, Failure)
        assert it.store.attempts(RUN)[0].ended is not None


async def test_a_cancelled_waiter_leaks_no_slot_and_what_was_drawn_is_kept() -> None:
    async with room(queue=QueueSettings(2)) as it:
        waiter = it.evaluator.start(requests(*range(6)))
        other = it.evaluator.start(requests(5, 6), GATE)
        await settle()
        waiter.cancel()
        (_, six) = await it.clock.carry(other)
        assert six.example == "6"
        with pytest.raises(asyncio.CancelledError):
            await waiter
        await it.clock.carry(it.evaluator.evaluate(requests(*range(7))))
        assert set(it.far.asked.values()) == {1}
        assert it.far.most_in_flight == 2
        assert it.evaluator.state.in_flight == it.evaluator.state.waiting == 0


async def test_draining_lets_calls_come_home_and_starts_nothing() -> None:
    async with room(queue=QueueSettings(2), seconds=0.1) as it:
        waiter = it.evaluator.start(requests(*range(6)))
        await it.far.busy(2)
        await it.clock.carry(it.evaluator.drain(5.0))
        with pytest.raises(Paused):
            await waiter
        assert len(it.far.order) == 2
        assert len(it.store.drawn(RUN)) == 2


class Stubborn(FarSide):
    """Does not let itself be cancelled."""

    async def run(self, batch: Sequence[Dispatch]) -> list[Answer | AttemptFailed]:
        self.come_in()
        while self.in_flight and self.asked["cancelled"] < 3:  # else it would outlive the test
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                self.asked["cancelled"] += 1
        return [Answer(1.0)]


async def test_draining_ends_in_time_even_if_a_call_does_not() -> None:
    async with room_with(Stubborn(Clock())) as it:
        waiter = it.evaluator.start(requests(1))
        await it.far.busy(1)
        async with asyncio.timeout(2):
            await it.evaluator.drain(0.02)
        assert it.far.asked["cancelled"] == 1
        it.far.in_flight = 0
        await it.evaluator.drain(0.02)
        with pytest.raises(Paused):
            await waiter


# -- seconds -----------------------------------------------------------------------------------------


async def test_work_tells_what_facts_took_retries_and_rests_included_and_never_more_on_the_way() -> None:
    def script(dispatch: Dispatch, asked: int) -> Answer | AttemptFailed:
        name = dispatch.request.example.id
        broken = name == "gone" or (name == "second try" and asked == 1)
        return failed(FailureKind.SERVER_ERROR) if broken else right(dispatch, asked)

    asked = requests("second try", "gone", "plain")
    queue = QueueSettings(1, retry=RetryPolicy(attempts=2, base=5.0))
    async with room(script, queue=queue) as it:
        work = it.evaluator.start(asked)
        bounds = [[work.seconds(key) for key in ids(asked)]]
        while not work.done():
            await it.clock.advance(0.05)
            await asyncio.sleep(0.002)
            bounds.append([work.seconds(key) for key in ids(asked)])
        found = await work
        kept = it.store.facts(ids(asked), RUN)
        took = [kept[key].seconds for key in ids(asked)]
        assert bounds[0] == [0.0, 0.0, 0.0]
        for earlier, later in pairwise([*bounds, took]):
            assert all(a <= b for a, b in zip(earlier, later, strict=True))
        assert [isinstance(o, Failure) for o in found] == [False, True, False]
        assert min(took[:2]) >= 0.2
        assert took[2] == pytest.approx(0.1)
        again = it.evaluator.start(asked)
        assert again.done()
        assert [again.seconds(key) for key in ids(asked)] == took
    async with room(store=it.store, run_id="run_2") as other:
        later_run = other.evaluator.start(asked[:1])
        assert later_run.seconds(ids(asked)[0]) == 0.0
        await later_run
        assert later_run.seconds(ids(asked)[0]) == took[0]


# -- a view ------------------------------------------------------------------------------------------


async def test_the_state_is_there_to_be_looked_at() -> None:
    async with room(
        lambda d, n: failed(FailureKind.RATE_LIMITED, retry_after=9.0), queue=QueueSettings(4)
    ) as it:
        waiter = it.evaluator.start(requests(*range(10)))
        await it.far.busy(4)
        state = it.evaluator.state
        assert (state.in_flight, state.waiting, state.limit, state.held) == (4, 6, 4, 0.0)
        await it.clock.advance(0.1)
        state = it.evaluator.state
        assert (state.in_flight, state.limit, state.held, state.circuit) == (0, 2, 9.0, "closed")
        waiter.cancel()
