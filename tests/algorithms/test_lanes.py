"""Lanes: turns in the order in which work ends, nobody too early, and the same again on the same record."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.algorithms.lanes import Lane, Turns
from paretune.algorithms.ports import D
from paretune.core.errors import RunFailed
from paretune.core.events import LaneResumed
from support.clock import run_virtual

Plan = list[list[float]]
"""Lane -> how long its pieces of work last, in seconds."""


@dataclass(slots=True)
class Log:
    """A decision log in memory; `ahead` are decisions of an earlier session."""

    ahead: list[LaneResumed] = field(default_factory=list)
    made: list[LaneResumed] = field(default_factory=list)

    async def step(self, key: str, decide: Callable[[], D]) -> D:
        decision = decide()
        assert isinstance(decision, LaneResumed)
        self.made.append(decision)
        return decision

    async def chance(self, key: str, decide: Callable[[], D | None]) -> D | None:
        if not self.ahead:
            return decide()
        self.made.append(self.ahead.pop(0))
        return self.made[-1]  # type: ignore[return-value]


@dataclass(slots=True)
class Waits:
    """Work that is out for `real` seconds and lasts as long on the lanes' clock, or `lasts`."""

    real: float
    lasts: float | None = None
    began: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    def __await__(self):  # type: ignore[no-untyped-def]
        return asyncio.sleep(self.real, self.real).__await__()

    def seconds(self) -> float:
        so_far = asyncio.get_running_loop().time() - self.began
        return round(min(so_far, self.real if self.lasts is None else self.lasts), 6)


def carry(
    plan: Plan, log: Log, lasting: Callable[[float], Waits] = Waits
) -> tuple[list[tuple[float, int, int]], float]:
    """(moment, lane, piece) in the order of turns, and how many seconds all of it took."""
    made: list[tuple[float, int, int]] = []
    turns = Turns(log)

    def lane_of(pieces: list[float]) -> Callable[[Lane], Awaitable[None]]:
        async def lane(handle: Lane) -> None:
            for number, piece in enumerate(pieces):
                work, now = lasting(piece), turns.now
                await handle.work(work, lambda work=work, now=now: now + work.seconds())  # type: ignore[misc]
                made.append((round(turns.now, 6), handle.number, number))
                await asyncio.sleep(0)  # a decision that is being written; nobody may come between
                assert made[-1][1:] == (handle.number, number)

        return lane

    _, took = run_virtual(turns.run(*map(lane_of, plan)))
    return made, took


def sums(plan: Plan) -> list[tuple[float, int, int]]:
    """When each piece ends if nobody waits for anybody else."""
    ends = [
        (round(sum(pieces[: number + 1]), 6), lane, number)
        for lane, pieces in enumerate(plan)
        for number in range(len(pieces))
    ]
    return sorted(ends)


lengths = st.integers(1, 400).map(lambda n: n / 100)
plans = st.lists(st.lists(lengths, max_size=5), min_size=1, max_size=4)


@given(plans)
def test_turns_come_when_work_ends_and_nobody_waits_for_anybody_else(plan: Plan) -> None:
    made, took = carry(plan, Log())
    assert [moment for moment, *_ in made] == [end for end, *_ in sums(plan)]
    assert sorted(made) == sums(plan)
    assert took == pytest.approx(max([0.0, *map(sum, plan)]), abs=0.1)


@given(plans, st.data())
def test_on_its_record_a_run_goes_through_the_same_turns_whatever_work_takes_this_time(
    plan: Plan, data: st.DataObject
) -> None:
    log = Log()
    first, _ = carry(plan, log)
    kept = data.draw(st.integers(0, len(log.made)))
    other = [[data.draw(lengths) for _ in pieces] for pieces in plan]
    again = Log(ahead=log.made[:kept])
    second, _ = carry(other, again)
    turns = kept - sum(turn.at == 0 for turn in log.made[:kept])  # those that start a lane
    assert second[:turns] == first[:turns]
    assert again.made[:kept] == log.made[:kept]
    assert [moment for moment, *_ in second] == sorted(moment for moment, *_ in second)
    assert sorted(piece for _, *piece in second) == sorted(piece for _, *piece in first)


@given(plans)
def test_results_that_were_known_take_the_same_turns_at_once(plan: Plan) -> None:
    first, _ = carry(plan, Log())

    class Known(Waits):
        def seconds(self) -> float:
            return self.lasts or 0.0

    second, took = carry(plan, Log(), lambda lasts: Known(0.0, lasts))
    assert second == first
    assert took < 0.01


def test_who_is_home_waits_for_work_that_may_still_end_before() -> None:
    """A straggler of which only the last part counts, as after a retry: it ends before the other one."""
    order: list[str] = []

    async def run() -> None:
        turns = Turns(Log())

        async def short(handle: Lane) -> None:
            await handle.work(asyncio.sleep(0.2), lambda: 0.2)
            order.append("short")

        async def late(handle: Lane) -> None:
            await handle.work(asyncio.sleep(3.0), lambda: 0.1)
            order.append("late")

        await turns.run(short, late)

    _, took = run_virtual(run())
    assert order == ["late", "short"]
    assert took == pytest.approx(3.0, abs=0.01)


def test_a_lane_may_start_another_which_is_waited_for() -> None:
    told: list[str] = []
    turns = Turns(Log())

    async def background(handle: Lane) -> None:
        begun = turns.now
        await handle.work(asyncio.sleep(7), lambda: begun + 7)
        told.append(f"background at {turns.now:g}")

    async def lane(handle: Lane) -> None:
        for end in (1, 2):
            await handle.work(asyncio.sleep(1), lambda end=end: end)  # type: ignore[misc]
            if end == 1:
                turns.start(background)
        told.append(f"lane at {turns.now:g}")

    run_virtual(turns.run(lane))
    assert told == ["lane at 2", "background at 8"]


def test_an_error_ends_all_lanes_once_the_work_that_is_out_came_home() -> None:
    home: list[int] = []

    async def work() -> None:
        await asyncio.sleep(5)
        home.append(1)

    async def patient(handle: Lane) -> None:
        await handle.work(work(), lambda: 9.0)
        raise AssertionError("its turn never comes")

    async def fails(handle: Lane) -> None:
        await handle.work(asyncio.sleep(1), lambda: 1.0)
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        run_virtual(Turns(Log()).run(patient, fails))
    assert home == [1]


def test_work_that_fails_is_raised_in_its_lane_without_waiting_for_others() -> None:
    caught: list[float] = []
    turns = Turns(Log())

    async def breaks() -> None:
        raise OSError("gone")

    async def patient(handle: Lane) -> None:
        await handle.work(asyncio.sleep(5), lambda: 5.0)

    async def lane(handle: Lane) -> None:
        with pytest.raises(OSError, match="gone"):
            await handle.work(breaks(), lambda: 7.0)
        caught.append(asyncio.get_running_loop().time())

    run_virtual(turns.run(patient, lane))
    assert caught == [pytest.approx(0.0, abs=0.01)]


def test_a_record_that_gives_turns_to_nobody_is_refused() -> None:
    async def lane(handle: Lane) -> None:
        raise AssertionError("its turn never comes")

    log = Log(ahead=[LaneResumed(lane=0, work=7, at=0.0)])
    with pytest.raises(RunFailed, match="turn/0"):
        run_virtual(Turns(log).run(lane))


async def test_cancelling_cancels_the_work() -> None:
    ended: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("work")

    async def lane(handle: Lane) -> None:
        await handle.work(forever(), lambda: 1.0)

    running = asyncio.create_task(Turns(Log()).run(lane))
    await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended == ["work"]
