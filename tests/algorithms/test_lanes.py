"""Lanes: decisions in the order in which the work ends, and in the same order when it is done again."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.algorithms.lanes import Lane, Turns
from support.clock import run_virtual

Piece = tuple[float, float]
"""Seconds that a piece of work lasts, and seconds that it waits before it begins."""
Plan = list[list[Piece]]


class Timed:
    """Work that waits, then lasts; what it lasts is all that is on record of it."""

    def __init__(self, lasts: float, waits: float = 0.0) -> None:
        self.lasts, self.waits = lasts, waits
        self.began: float | None = None
        self.ended = False

    async def done(self) -> float:
        await asyncio.sleep(self.waits)
        self.began = asyncio.get_running_loop().time()
        await asyncio.sleep(self.lasts)
        self.ended = True
        return self.lasts

    def seconds(self) -> float:
        if self.ended:
            return self.lasts
        return 0.0 if self.began is None else round(asyncio.get_running_loop().time() - self.began, 6)


def _decisions(plan: Plan) -> tuple[list[tuple[float, int, int]], float]:
    """(moment, lane, piece) in the order in which decisions were made, and the seconds that it all took."""
    made: list[tuple[float, int, int]] = []
    turns = Turns()

    def lane_of(pieces: list[Piece]) -> Callable[[Lane], Awaitable[None]]:
        async def lane(handle: Lane) -> None:
            for number, (lasts, waits) in enumerate(pieces):
                work = Timed(lasts, waits)
                assert await handle.work(work.done(), work.seconds) == lasts
                made.append((round(turns.now, 6), handle.number, number))
                await asyncio.sleep(0)  # a decision that is being written; nobody may come between
                assert made[-1] == (round(turns.now, 6), handle.number, number)

        return lane

    _, took = run_virtual(turns.run(*map(lane_of, plan)))
    return made, took


lasting = st.integers(0, 4000).map(lambda n: n / 1000)
plans = st.lists(st.lists(st.tuples(lasting, lasting), max_size=5), min_size=1, max_size=4)


@given(plans, st.data())
def test_the_order_depends_on_how_long_work_lasts_and_never_on_how_long_it_waits(
    plan: Plan, data: st.DataObject
) -> None:
    other = [[(lasts, data.draw(lasting)) for lasts, _ in lane] for lane in plan]
    decisions, _ = _decisions(plan)
    assert decisions == _decisions(other)[0]
    assert [moment for moment, *_ in decisions] == sorted(moment for moment, *_ in decisions)
    assert sorted(d[1:] for d in decisions) == [
        (i, n) for i, lane in enumerate(plan) for n in range(len(lane))
    ]


@given(plans)
def test_a_lane_that_need_not_wait_for_a_slot_waits_for_nobody(plan: Plan) -> None:
    at_once = [[(lasts, 0.0) for lasts, _ in lane] for lane in plan]
    decisions, took = _decisions(at_once)
    longest = max((sum(lasts for lasts, _ in lane) for lane in at_once), default=0.0)
    assert took <= longest + 0.005 * len(decisions) + 1e-6


def test_what_is_known_already_keeps_its_place_and_takes_no_time() -> None:
    async def run(known: bool) -> list[str]:
        told: list[str] = []

        def lane_of(name: str, *pieces: float) -> Callable[[Lane], Awaitable[None]]:
            async def lane(handle: Lane) -> None:
                for lasts in pieces:
                    work = Timed(lasts)
                    if known:
                        work.ended, work.lasts = True, lasts
                        await handle.work(asyncio.sleep(0), work.seconds)
                    else:
                        await handle.work(work.done(), work.seconds)
                    told.append(f"{name} {lasts:g}")

            return lane

        await Turns().run(lane_of("slow", 300.0, 1.0), lane_of("quick", 10.0, 20.0, 280.0))
        return told

    first, took = run_virtual(run(known=False))
    again, at_once = run_virtual(run(known=True))
    assert first == again == ["quick 10", "quick 20", "slow 300", "slow 1", "quick 280"]
    assert took == pytest.approx(310, abs=0.1)
    assert at_once < 0.1


def _tick() -> float:
    return 1.0


async def _takes(loops: int) -> int:
    for _ in range(loops):
        await asyncio.sleep(0)
    return loops


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
            await handle.work(work(), _tick)

    asyncio.run(Turns().run(lane, lane, lane, lane))
    assert most == 4


def test_a_lane_may_start_another_which_is_waited_for() -> None:
    told: list[str] = []

    async def run() -> None:
        turns = Turns()

        async def background(handle: Lane) -> None:
            await handle.work(_takes(9), lambda: 7.0)
            told.append(f"background at {turns.now:g}")

        async def lane(handle: Lane) -> None:
            await handle.work(_takes(1), _tick)
            turns.start(background)
            await handle.work(_takes(1), _tick)
            told.append(f"lane at {turns.now:g}")

        await turns.run(lane)

    asyncio.run(run())
    assert told == ["lane at 2", "background at 8"]


def test_an_error_ends_all_lanes_once_the_work_that_is_out_came_home() -> None:
    home: list[int] = []

    async def work() -> None:
        await _takes(20)
        home.append(1)

    async def patient(handle: Lane) -> None:
        await handle.work(work(), lambda: 9.0)
        raise AssertionError("its turn never comes")

    async def fails(handle: Lane) -> None:
        await handle.work(_takes(1), _tick)
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
            await handle.work(breaks(), _tick)
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
        await handle.work(forever(), _tick)

    running = asyncio.create_task(Turns().run(lane))
    await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended == ["work"]
