"""The queue by itself: who is let in and when, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.far_side import UNREACHABLE, Clock, failed, settle
from paretune.core.errors import AttemptFailed, FailureKind, Paused, RunFailed
from paretune.core.retry import RetryPolicy
from paretune.core.rollout import Answer
from paretune.evaluate.queue import Priority, QueueSettings, RolloutQueue, Ticket

GATE, FULL, BACKGROUND = Priority
ANSWER = Answer(1.0)
Result = Answer | AttemptFailed


@dataclass(slots=True)
class Desk:
    """A queue, and workers that carry what a test gives them."""

    settings: QueueSettings
    clock: Clock = field(default_factory=Clock)
    queue: RolloutQueue = field(init=False)
    order: list[str] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    inside: int = 0
    most_inside: int = 0

    def __post_init__(self) -> None:
        self.queue = RolloutQueue(
            self.settings, clock=self.clock, sleep=self.clock.sleep, rng=random.Random(0)
        )

    def worker(
        self,
        name: str,
        work: Callable[[], Awaitable[Result | None]],
        *,
        priority: Priority = FULL,
        rest: float = 0.0,
        ticket: Ticket | None = None,
    ) -> None:
        """Somebody who waits for a slot and then does this work, as `tasks[name]`."""
        ticket = ticket or self.queue.ticket(priority)

        async def worker() -> None:
            await self.queue.enter(ticket, rest)
            self.order.append(name)
            self.moments.append(self.clock.now)
            self.inside += 1
            self.most_inside = max(self.inside, self.most_inside)
            result = None
            try:
                result = await work()
            finally:
                self.inside -= 1
                self.queue.leave(ticket, result)

        self.tasks[name] = asyncio.create_task(worker())

    def call(
        self, result: Result | None = ANSWER, seconds: float = 1.0
    ) -> Callable[[], Awaitable[Result | None]]:
        async def call() -> Result | None:
            await self.clock.sleep(seconds)
            return result

        return call


def desk(concurrency: int = 1, *, breaker: float = 60.0, longest_wait: float = 120.0) -> Desk:
    return Desk(QueueSettings(concurrency, retry=RetryPolicy(longest_wait=longest_wait), breaker=breaker))


# -- order -------------------------------------------------------------------------------------------


async def test_gates_first_then_full_then_background_each_by_age() -> None:
    one = desk()
    one.worker("first", one.call(), priority=BACKGROUND)
    await settle()
    for name, priority in [
        ("b1", BACKGROUND),
        ("f1", FULL),
        ("g1", GATE),
        ("b2", BACKGROUND),
        ("f2", FULL),
        ("g2", GATE),
    ]:
        one.worker(name, one.call(), priority=priority)
    await one.clock.advance(20)
    assert one.order == ["first", "g1", "g2", "f1", "f2", "b1", "b2"]
    assert one.most_inside == 1


async def test_whoever_is_lifted_goes_with_the_others_of_the_new_priority() -> None:
    one = desk()
    one.worker("first", one.call())
    await settle()
    lifted, left = one.queue.ticket(BACKGROUND), one.queue.ticket(GATE)
    one.worker("lifted", one.call(), ticket=lifted)
    one.worker("full", one.call())
    one.worker("left", one.call(), ticket=left)
    one.worker("gate", one.call(), priority=GATE)
    await settle()
    one.queue.lift(lifted, FULL)
    one.queue.lift(lifted, GATE)
    one.queue.lift(left, BACKGROUND)
    await one.clock.advance(20)
    assert one.order == ["first", "lifted", "left", "gate", "full"]
    assert one.queue.state.waiting == one.queue.state.in_flight == 0


async def test_as_many_as_have_slots_are_told_that_they_are_next_and_nobody_waits_behind_them_for_that() -> (
    None
):
    queue, told, order = RolloutQueue(QueueSettings(2)), list[str](), list[str]()
    inside = [queue.ticket(FULL), queue.ticket(FULL)]
    for ticket in inside:
        queue.join(ticket, lambda: None)
    for name, priority in [("a", FULL), ("b", BACKGROUND), ("c", FULL), ("gate", GATE)]:
        ticket = queue.ticket(priority)
        inside.append(ticket)
        queue.join(ticket, partial(order.append, name), soon=partial(told.append, name))
    assert (told, order) == (["a", "b"], [])
    for ticket in (inside[0], inside[1], inside[5], inside[2]):
        queue.leave(ticket, ANSWER)
    assert order == ["gate", "a", "c", "b"]
    assert told == ["a", "b", "c"]


async def test_one_more_is_told_for_each_that_was_not_ready_when_its_turn_came() -> None:
    queue, told = RolloutQueue(QueueSettings(1)), list[int]()
    tickets = [queue.ticket(FULL) for _ in range(7)]
    for number, ticket in enumerate(tickets):
        queue.join(ticket, queue.look_further, soon=partial(told.append, number))
    seen = [list(told)]
    for ticket in tickets[:2]:
        queue.leave(ticket, ANSWER)
        seen.append(list(told))
    assert seen == [[1, 2], [1, 2, 3, 4], [1, 2, 3, 4, 5, 6]]


async def test_a_rollout_that_comes_again_keeps_its_age() -> None:
    one = desk()
    old = one.queue.ticket(FULL)
    one.worker("old", one.call(failed(FailureKind.SERVER_ERROR)), ticket=old)
    await settle()
    for number in range(3):
        one.worker(f"young {number}", one.call())
    one.worker("old again", one.call(), ticket=old, rest=1.5)
    await one.clock.advance(10)
    assert one.order == ["old", "young 0", "old again", "young 1", "young 2"]


# -- resting -----------------------------------------------------------------------------------------


async def test_who_rests_holds_no_slot_and_comes_when_the_rest_is_over() -> None:
    one = desk()
    resting = one.queue.ticket(GATE)
    one.worker("rested", one.call(), ticket=resting, rest=5.0)
    for number in range(3):
        one.worker(f"{number}", one.call())
    await settle()
    one.queue.lift(resting, GATE)
    assert one.queue.state.waiting == 3
    await one.clock.advance(10)
    assert one.order == ["0", "1", "2", "rested"]
    assert one.moments[-1] == 5.0


async def test_a_lift_does_not_end_a_rest() -> None:
    one = desk()
    resting = one.queue.ticket(BACKGROUND)
    one.worker("rested", one.call(), ticket=resting, rest=5.0)
    await settle()
    one.queue.lift(resting, GATE)
    await one.clock.advance(4.9)
    assert one.order == []
    await one.clock.advance(1)
    assert one.order == ["rested"]


# -- adaptive concurrency ----------------------------------------------------------------------------


async def test_a_storm_of_429_narrows_it_to_one_and_successes_widen_it_again() -> None:
    one = desk(16)
    storm = True

    async def call() -> Result | None:
        await one.clock.sleep(0.5)
        return failed(FailureKind.RATE_LIMITED) if storm else ANSWER

    for number in range(400):
        one.worker(str(number), call)
    widths = []
    for _ in range(8):
        await one.clock.advance(1.0)
        widths.append(one.queue.state.limit)
    assert widths[-1] == 1
    assert sorted(widths, reverse=True) == widths
    storm = False
    while len(one.order) < 400:
        before = one.queue.state.limit
        await one.clock.advance(0.5)
        assert one.inside <= 16
        assert one.queue.state.limit - before in (0, 1)
    assert one.queue.state.limit == 16
    assert one.most_inside == 16


async def test_a_narrower_limit_takes_nobody_out() -> None:
    one = desk(4)
    for number in range(8):
        one.worker(
            str(number), one.call(failed(FailureKind.TIMEOUT) if number == 0 else ANSWER, 1.0 + number)
        )
    await one.clock.advance(1.0)
    assert (one.queue.state.limit, one.inside) == (2, 3)
    await one.clock.advance(1.0)
    assert one.inside == 2
    assert len(one.order) == 4
    await one.clock.advance(1.0)
    assert (one.queue.state.limit, one.inside) == (3, 3)


# -- Retry-After -------------------------------------------------------------------------------------


async def test_retry_after_holds_everybody_until_then() -> None:
    one = desk(4)
    one.worker("pushed back", one.call(failed(FailureKind.SERVER_ERROR, retry_after=30.0)))
    await one.clock.advance(1.0)
    for priority in Priority:
        one.worker(priority.name, one.call(), priority=priority)
    await settle()
    assert (one.queue.state.held, one.queue.state.waiting) == (30.0, 3)
    await one.clock.advance(29.9)
    assert one.order == ["pushed back"]
    await one.clock.advance(5)
    assert sorted(one.moments[1:]) == [31.0, 31.0, 32.0]
    assert one.queue.state.held == 0


async def test_the_longer_of_two_wishes_counts_and_neither_beyond_the_longest_wait() -> None:
    one = desk(4, longest_wait=60.0)
    for wish in (10.0, 86_400.0, 20.0):
        one.worker("pushed back", one.call(failed(FailureKind.RATE_LIMITED, retry_after=wish)))
    await one.clock.advance(1.0)
    one.worker("later", one.call())
    await one.clock.advance(100)
    assert one.moments[-1] == 61.0


# -- the circuit -------------------------------------------------------------------------------------


async def test_nobody_to_connect_to_opens_the_circuit_one_probe_goes_out_and_an_answer_closes_it() -> None:
    one = desk(2)
    down = True

    async def call() -> Result | None:
        await one.clock.sleep(0.01)
        return UNREACHABLE if down else ANSWER

    for number in range(12):
        one.worker(str(number), call)
    await one.clock.advance(0.4)
    out = len(one.order)
    assert 5 <= out <= 6
    assert one.queue.state.circuit == "open"
    assert 0 < one.queue.state.probe_in <= 1.0
    await one.clock.advance(3.0)
    assert out < len(one.order) <= out + 3
    probes = one.moments[out:]
    assert all(later - earlier > 0.4 for earlier, later in pairwise(probes))
    down = False
    await one.clock.advance(30.0)
    assert len(one.order) == 12
    assert (one.queue.state.circuit, one.queue.state.probe_in) == ("closed", 0.0)
    assert one.queue.closed is None


async def test_while_a_probe_is_out_nobody_else_goes() -> None:
    one = desk(3)
    for number in range(6):
        one.worker(str(number), one.call(UNREACHABLE, 0.01))
    await one.clock.advance(0.3)
    for number in range(3):
        one.worker(f"late {number}", one.call(seconds=100.0))
    await one.clock.advance(5.0)
    assert one.queue.state.circuit == "probing"
    assert one.inside == 1


async def test_after_so_many_seconds_of_silence_it_ends_with_the_cause_and_no_address() -> None:
    one = desk(2, breaker=10.0)
    for number in range(40):
        one.worker(str(number), one.call(UNREACHABLE, 0.01))
    await one.clock.advance(9.5)
    assert one.queue.closed is None
    await one.clock.advance(1.0)
    assert isinstance(one.queue.closed, RunFailed)
    text = str(one.queue.closed)
    assert text.startswith("the task cannot be reached: unreachable (")
    assert "waited 10 s" in text
    assert "Connect call failed" in text
    assert not any(part in text for part in ("task.example", "10.1.2.3", "8001"))
    await settle()
    told = [task.exception() for task in one.tasks.values() if task.exception()]
    assert told
    assert set(told) == {one.queue.closed}


@pytest.mark.parametrize("kind", sorted(set(FailureKind) - {FailureKind.UNREACHABLE}))
async def test_other_failures_do_not_open_it(kind: FailureKind) -> None:
    one = desk(2)
    for number in range(40):
        one.worker(str(number), one.call(failed(kind), 0.01))
    await one.clock.advance(5.0)
    assert len(one.order) == 40
    assert one.queue.state.circuit == "closed"


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (failed(FailureKind.TIMEOUT), "open"),
        (failed(FailureKind.CLOSED), "open"),
        (UNREACHABLE, "open"),
        (failed(FailureKind.SERVER_ERROR), "closed"),
        (failed(FailureKind.NOT_JSON), "closed"),
        (ANSWER, "closed"),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
async def test_what_a_probe_brings_home_decides(result: Result, state: str) -> None:
    one = desk(1)
    for number in range(5):
        one.worker(str(number), one.call(UNREACHABLE, 0.01))
    one.worker("probe", one.call(result, 0.01))
    await one.clock.advance(1.5)
    assert one.order[-1] == "probe"
    assert one.queue.state.circuit == state


async def test_a_probe_that_is_cancelled_is_followed_by_another() -> None:
    one = desk(1)
    for number in range(5):
        one.worker(str(number), one.call(UNREACHABLE, 0.01))
    one.worker("probe", one.call(seconds=50))
    await one.clock.advance(2.0)
    assert one.inside == 1
    one.tasks["probe"].cancel()
    one.worker("next", one.call(seconds=0.1))
    await one.clock.advance(1.0)
    assert one.order[-1] == "next"
    assert one.queue.state.circuit == "closed"


# -- cancelling and closing --------------------------------------------------------------------------


async def test_a_cancelled_waiter_leaks_no_slot_wherever_it_is() -> None:
    one = desk()
    one.worker("inside", one.call(seconds=100))
    await settle()
    one.worker("waiting", one.call())
    one.worker("resting", one.call(), rest=1.0)
    await settle()
    one.tasks["waiting"].cancel()
    one.tasks["resting"].cancel()
    await settle()
    assert one.queue.state.waiting == 0
    one.worker("called", one.call())
    one.worker("last", one.call())
    await settle()
    one.tasks["inside"].cancel()
    await asyncio.sleep(0)  # "called" has its turn, and is cancelled before it knows
    assert one.queue.state.in_flight == 1
    one.tasks["called"].cancel()
    await one.clock.advance(5)
    assert one.tasks["called"].cancelled()
    assert one.order == ["inside", "last"]
    assert (one.queue.state.in_flight, one.queue.state.waiting) == (0, 0)


async def test_closing_tells_everybody_who_waits_or_rests_and_lets_those_inside_finish() -> None:
    one = desk()
    one.worker("inside", one.call())
    await settle()
    one.worker("waits", one.call())
    one.worker("rests", one.call(), rest=500.0)
    await settle()
    one.queue.close(Paused("enough"))
    one.queue.close(RunFailed("too", "late"))
    await settle()
    for name in ("waits", "rests"):
        with pytest.raises(Paused, match="enough"):
            await one.tasks[name]
    with pytest.raises(Paused, match="enough"):
        await one.queue.enter(one.queue.ticket(GATE))
    await one.clock.advance(1)
    await one.tasks["inside"]
    assert one.queue.state.in_flight == one.queue.state.waiting == 0


async def test_whoever_was_let_in_as_it_closed_does_not_start() -> None:
    one = desk()
    first = one.queue.ticket(FULL)
    await one.queue.enter(first)
    one.worker("let in", one.call())
    await settle()
    one.queue.leave(first, ANSWER)
    assert one.queue.state.in_flight == 1
    one.queue.close(Paused("enough"))
    with pytest.raises(Paused):
        await one.tasks["let in"]
    assert one.order == []
    assert one.queue.state.in_flight == 0


# -- any order of events -----------------------------------------------------------------------------

RESULTS = st.sampled_from(
    [ANSWER] * 6
    + [None, UNREACHABLE, failed(FailureKind.RATE_LIMITED, retry_after=2.0), failed(FailureKind.TIMEOUT)]
)
WORK = st.tuples(
    st.sampled_from(Priority),
    RESULTS,
    st.floats(0.01, 3.0),  # seconds inside
    st.floats(0.0, 2.0),  # seconds before it comes
    st.none() | st.floats(0.0, 4.0),  # cancelled after
    st.none() | st.sampled_from(Priority),  # lifted to
)


@settings(max_examples=60)
@given(concurrency=st.integers(1, 8), work=st.lists(WORK, min_size=1, max_size=40))
async def test_whatever_happens_slots_are_kept_and_everybody_is_served(
    concurrency: int, work: list[Any]
) -> None:
    one = desk(concurrency, breaker=1e6)
    cancelling = []
    for number, (priority, result, seconds, before, cancelled, lifted) in enumerate(work):
        await one.clock.advance(before / 10)
        ticket = one.queue.ticket(priority)
        one.worker(str(number), one.call(result, seconds), ticket=ticket, rest=before)
        if lifted is not None:
            one.queue.lift(ticket, lifted)
        if cancelled is not None:
            task = one.tasks[str(number)]
            cancelling.append(asyncio.create_task(_cancel(one.clock, task, cancelled)))
    for _ in range(300):
        assert one.inside <= one.queue.state.in_flight <= concurrency
        if all(task.done() for task in one.tasks.values()):
            break
        await one.clock.advance(2.0)
    assert all(task.done() for task in one.tasks.values())
    assert one.most_inside <= concurrency
    assert (one.queue.state.in_flight, one.queue.state.waiting) == (0, 0)
    await one.clock.advance(10.0)


async def _cancel(clock: Clock, task: asyncio.Task[None], after: float) -> None:
    await clock.sleep(after)
    task.cancel()
