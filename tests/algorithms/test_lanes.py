"""Lanes: the same decisions in the same order, whatever the real time of the work behind them."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.algorithms.lanes import Lane, Turns

Plan = list[list[tuple[int, int]]]
"""Lane -> its pieces of work: ticks, and how many turns of the event loop they really take."""


async def _takes(loops: int) -> int:
    for _ in range(loops):
        await asyncio.sleep(0)
    return loops


def _decisions(plan: Plan) -> list[tuple[int, int, int]]:
    """(tick, lane, piece) in the order in which decisions were made."""
    made: list[tuple[int, int, int]] = []
    turns = Turns()

    def lane_of(pieces: list[tuple[int, int]]) -> Callable[[Lane], Awaitable[None]]:
        async def lane(handle: Lane) -> None:
            for number, (ticks, loops) in enumerate(pieces):
                assert await handle.work(_takes(loops), ticks) == loops
                made.append((turns.now, handle.number, number))
                await asyncio.sleep(0)  # a decision that is being written; nobody may come between
                assert made[-1] == (turns.now, handle.number, number)

        return lane

    asyncio.run(turns.run(*map(lane_of, plan)))
    return made


plans = st.lists(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=5), min_size=1, max_size=4
)


@given(plans, st.data())
def test_the_order_depends_on_ticks_and_never_on_the_real_time(plan: Plan, data: st.DataObject) -> None:
    other = [[(ticks, data.draw(st.integers(0, 5))) for ticks, _ in lane] for lane in plan]
    decisions = _decisions(plan)
    assert decisions == _decisions(other)
    assert [tick for tick, *_ in decisions] == sorted(tick for tick, *_ in decisions)
    assert sorted(d[1:] for d in decisions) == [
        (i, n) for i, lane in enumerate(plan) for n in range(len(lane))
    ]


def test_work_of_different_lanes_overlaps() -> None:
    out, most = 0, 0

    async def work() -> None:
        nonlocal out, most
        out += 1
        most = max(most, out)
        await asyncio.sleep(0.001)
        out -= 1

    async def lane(handle: Lane) -> None:
        for _ in range(3):
            await handle.work(work(), 1)

    asyncio.run(Turns().run(lane, lane, lane, lane))
    assert most == 4


def test_a_lane_may_start_another_which_is_waited_for() -> None:
    told: list[str] = []

    async def run() -> None:
        turns = Turns()

        async def background(handle: Lane) -> None:
            await handle.work(_takes(9), 7)
            told.append(f"background at {turns.now}")

        async def lane(handle: Lane) -> None:
            await handle.work(_takes(1), 1)
            turns.start(background)
            await handle.work(_takes(1), 1)
            told.append(f"lane at {turns.now}")

        await turns.run(lane)

    asyncio.run(run())
    assert told == ["lane at 2", "background at 8"]


def test_an_error_ends_all_lanes_once_the_work_that_is_out_came_home() -> None:
    home: list[int] = []

    async def work() -> None:
        await _takes(20)
        home.append(1)

    async def patient(handle: Lane) -> None:
        await handle.work(work(), 9)
        raise AssertionError("its turn never comes")

    async def fails(handle: Lane) -> None:
        await handle.work(_takes(1), 1)
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        asyncio.run(Turns().run(patient, fails))
    assert home == [1]


def test_work_that_fails_is_raised_in_its_lane() -> None:
    caught: list[str] = []

    async def breaks() -> None:
        raise OSError("gone")

    async def lane(handle: Lane) -> None:
        try:
            await handle.work(breaks(), 1)
        except OSError as error:
            caught.append(str(error))

    asyncio.run(Turns().run(lane))
    assert caught == ["gone"]


async def test_cancelling_cancels_the_work() -> None:
    ended: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("work")

    async def lane(handle: Lane) -> None:
        await handle.work(forever(), 1)

    running = asyncio.create_task(Turns().run(lane))
    await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended == ["work"]
