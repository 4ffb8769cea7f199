"""Lanes: coroutines whose work overlaps while their decisions come in one order, whatever the clock says.

A discrete-event simulation that waits for real work. Each piece of work has a length in *ticks*, known
before it starts. Decisions are made one at a time, in the order of the ticks at which the work behind them
ends; a lane whose work comes home early waits for its turn. So the same outcomes give the same record at any
speed, and a resumed run decides as the uninterrupted one would have.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(order=True, slots=True)
class _Waiting:
    """A lane that waits for its work, and then for its turn."""

    until: int
    lane: int
    work: asyncio.Future[Any] = field(compare=False)
    turn: asyncio.Future[None] = field(compare=False)


@dataclass(slots=True)
class Turns:
    """Gives the turn to one lane after the other. `now` is the present tick."""

    now: int = 0
    _waiting: list[_Waiting] = field(default_factory=list)
    _lanes: list[asyncio.Task[None]] = field(default_factory=list)
    _rests: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, *lanes: Callable[[Lane], Awaitable[None]]) -> None:
        """Returns when all lanes have ended, those they started included.

        What a lane raises ends them all, once the work that is out has come home.
        """
        for lane in lanes:
            self.start(lane)
        try:
            while self._waiting:
                await self._next(self._waiting[0])
        except asyncio.CancelledError:
            for waiting in self._waiting:
                waiting.work.cancel()
            raise
        finally:
            for waiting in self._waiting:
                waiting.turn.cancel()
            works = [waiting.work for waiting in self._waiting]
            await asyncio.gather(*works, *self._lanes, return_exceptions=True)

    def start(self, lane: Callable[[Lane], Awaitable[None]]) -> None:
        """Another lane, from this tick on, behind those that are due at it."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        done.set_result(None)
        number = len(self._lanes)
        waiting = _Waiting(self.now, number, done, loop.create_future())
        heapq.heappush(self._waiting, waiting)
        self._lanes.append(asyncio.create_task(self._whole(lane, Lane(number, self), waiting.turn)))

    async def _whole(
        self, lane: Callable[[Lane], Awaitable[None]], handle: Lane, turn: asyncio.Future[None]
    ) -> None:
        try:
            await turn
            await lane(handle)
        finally:
            self._rests.set()

    async def _next(self, waiting: _Waiting) -> None:
        await asyncio.wait({waiting.work})
        heapq.heappop(self._waiting)
        self.now = waiting.until
        self._rests.clear()
        waiting.turn.set_result(None)
        await self._rests.wait()
        if (lane := self._lanes[waiting.lane]).done():
            lane.result()

    async def park(self, lane: int, work: Awaitable[T], ticks: int) -> T:
        """Start this work and pass the turn; returns its result at the lane's next turn."""
        out = asyncio.ensure_future(work)
        waiting = _Waiting(self.now + ticks, lane, out, asyncio.get_running_loop().create_future())
        heapq.heappush(self._waiting, waiting)
        self._rests.set()
        await waiting.turn
        return out.result()


@dataclass(frozen=True, slots=True)
class Lane:
    """One lane's side of it. Between two calls of `work` nobody else decides anything."""

    number: int
    turns: Turns

    async def work(self, work: Awaitable[T], ticks: int) -> T:
        """The result of this work, beside which other lanes go on for so many ticks."""
        return await self.turns.park(self.number, work, ticks)
