"""One timer for many calls ends each in its time, and nobody else."""

from __future__ import annotations

import asyncio

import pytest

from paretune.container.deadline import Deadline


async def test_each_block_has_its_own_seconds_and_who_is_done_is_left_alone() -> None:
    deadline, loop = Deadline(0.05), asyncio.get_running_loop()

    async def late(start: float) -> float:
        await asyncio.sleep(start)
        began = loop.time()
        with pytest.raises(TimeoutError), deadline.running():
            await asyncio.sleep(100)
        return loop.time() - began

    async def quick() -> str:
        with deadline.running():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        return "done"

    *took, done = await asyncio.gather(late(0), late(0.02), late(0.03), late(0.2), quick())
    assert all(0.05 <= seconds < 0.5 for seconds in took)
    assert done == "done"


async def test_who_cancels_meanwhile_is_heard() -> None:
    deadline = Deadline(0.02)
    entered = asyncio.Event()

    async def work() -> None:
        with deadline.running():
            entered.set()
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                await asyncio.sleep(0.05)  # cleaning up, past the deadline
                raise

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_another_event_loop_has_the_same_deadline() -> None:
    deadline = Deadline(0.02)

    async def late() -> None:
        with deadline.running():
            pass
        with deadline.running():
            await asyncio.sleep(100)

    for _ in range(2):
        with pytest.raises(TimeoutError):
            asyncio.run(late())
