"""Lanes: coroutines whose work overlaps while their decisions come in an order that can be found again.

A discrete-event simulation that waits for real work. A piece of work lasts, in *virtual* seconds, as long as
its results say that it took, which is on record with them. Decisions are made one at a time, in the order of
the virtual moments at which the work behind them ends. A lane whose work is home goes as soon as all work
that is still out has taken longer already, so hardly anybody waits for a straggler; and a run that is
resumed, or made again with the results known, finds the same order in no time at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

Seconds = Callable[[], float]
"""How long a piece of work took; while it is out, what it has taken at least."""

GLANCE = 0.005
"""Seconds between two looks at work that is out but does not run yet."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A lane that waits for its work, and then for its turn."""

    lane: int
    since: float
    work: asyncio.Future[Any]
    lasts: Seconds
    turn: asyncio.Future[None]

    @property
    def due(self) -> tuple[float, int]:
        """The virtual moment at which the work ends, or a lower bound of it; then who is first."""
        return self.since + self.lasts(), self.lane


@dataclass(slots=True)
class Turns:
    """Gives the turn to one lane after the other. `now` is the virtual moment, in seconds."""

    now: float = 0.0
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
                await self._give(await self._first())
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
        """Another lane, from this moment on, behind those that are due at it."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        done.set_result(None)
        number = len(self._lanes)
        waiting = _Waiting(number, self.now, done, lambda: 0.0, loop.create_future())
        self._waiting.append(waiting)
        self._lanes.append(asyncio.create_task(self._whole(lane, Lane(number, self), waiting.turn)))

    async def _whole(
        self, lane: Callable[[Lane], Awaitable[None]], handle: Lane, turn: asyncio.Future[None]
    ) -> None:
        try:
            await turn
            await lane(handle)
        finally:
            self._rests.set()

    async def _first(self) -> _Waiting:
        """Whoever is due first, once nobody whose work is out can still come before."""
        while True:
            first = min(self._waiting, key=lambda waiting: waiting.due)
            if first.work.done():
                return first
            out = [waiting.work for waiting in self._waiting if not waiting.work.done()]
            home = [waiting.due[0] for waiting in self._waiting if waiting.work.done()]
            patience = max(GLANCE, min(home) - first.due[0]) if home else None
            await asyncio.wait(out, timeout=patience, return_when=asyncio.FIRST_COMPLETED)

    async def _give(self, waiting: _Waiting) -> None:
        self._waiting.remove(waiting)
        self.now = waiting.due[0]
        self._rests.clear()
        waiting.turn.set_result(None)
        await self._rests.wait()
        if (lane := self._lanes[waiting.lane]).done():
            lane.result()

    async def park(self, lane: int, work: Awaitable[T], lasts: Seconds) -> T:
        """Pass the turn while this work is out; returns its result at the lane's next turn."""
        out = asyncio.ensure_future(work)
        waiting = _Waiting(lane, self.now, out, lasts, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._rests.set()
        await waiting.turn
        return out.result()


@dataclass(frozen=True, slots=True)
class Lane:
    """One lane's side of it. Between two calls of `work` nobody else decides anything."""

    number: int
    turns: Turns

    async def work(self, work: Awaitable[T], lasts: Seconds) -> T:
        """The result of this work, beside which other lanes go on for as long as it lasts."""
        return await self.turns.park(self.number, work, lasts)
