"""Lanes: coroutines whose work overlaps while decisions are made one at a time, on a clock of their own.

On that clock work lasts as long as its results say (the seconds of their facts), from the moment at which it
was begun, and lanes go on in the order in which their work ends. Nobody goes on as long as something that is
out may still end before. So lanes take turns as their work comes home, and the same outcomes that last as
long give the same turns, also where they were known before and nobody waits for them.

Each turn is on record: a run that is resumed goes through the turns that were taken, whatever its calls take
this time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import inf
from typing import Any, TypeVar

from paretune.algorithms.ports import Record
from paretune.core.errors import BudgetExceeded, RunFailed
from paretune.core.events import LaneResumed

T = TypeVar("T")
Ends = Callable[[], float]
"""When work ends on the lanes' clock; while it is out, the earliest moment at which it may."""

SHARE = 2
"""Work in the background is taken to have one in so many of the calls that may be out at once. With all of
them it gets on by so many seconds a second."""
GLANCE_SECONDS = 0.001
"""Work that is out is looked at again after so long at least."""


@dataclass(slots=True, eq=False)
class _Parked:
    """A lane that waits for its work, and then for its turn. `number` counts the pieces of work."""

    number: int
    lane: int
    work: asyncio.Future[Any]
    ends: Ends
    turn: asyncio.Future[None]

    def place(self) -> tuple[float, int]:
        """In the order of turns. Work that failed has no length: its lane is told as soon as may be."""
        return self.ends() if self.failure() is None else -inf, self.number

    def failure(self) -> BaseException | None:
        if not self.work.done():
            return None
        return asyncio.CancelledError() if self.work.cancelled() else self.work.exception()


@dataclass(slots=True)
class Turns:
    """Gives the turn to one lane after the other. `now` is the present second of the lanes' clock;
    `name` tells the turns of one search of a run from those of another.
    """

    record: Record
    name: str = "turn"
    now: float = 0.0
    _taken: int = 0
    _works: int = 0
    _parked: dict[int, _Parked] = field(default_factory=dict)
    _lanes: list[asyncio.Task[None]] = field(default_factory=list)
    _rests: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, *lanes: Callable[[Lane], Awaitable[None]]) -> None:
        """Returns when all lanes have ended, those they started included.

        What a lane raises ends them all, once the work that is out has come home.
        """
        for lane in lanes:
            self.start(lane)
        try:
            while self._parked:
                await self._give(await self._next())
        except asyncio.CancelledError:
            for parked in self._parked.values():
                parked.work.cancel()
            raise
        finally:
            for parked in self._parked.values():
                parked.turn.cancel()
            works = [parked.work for parked in self._parked.values()]
            await asyncio.gather(*works, *self._lanes, return_exceptions=True)

    def start(self, lane: Callable[[Lane], Awaitable[None]]) -> None:
        """Another lane, from this moment on, behind those that are due at it."""
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        handle, now = Lane(len(self._lanes), self), self.now
        turn = self._park(handle.number, done, lambda: now)
        self._lanes.append(asyncio.create_task(self._whole(lane, handle, turn)))

    async def _whole(
        self, lane: Callable[[Lane], Awaitable[None]], handle: Lane, turn: asyncio.Future[None]
    ) -> None:
        try:
            await turn
            await lane(handle)
        finally:
            self._rests.set()

    def _park(self, lane: int, work: asyncio.Future[Any], ends: Ends) -> asyncio.Future[None]:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._parked[self._works] = _Parked(self._works, lane, work, ends, turn)
        self._works += 1
        return turn

    async def _next(self) -> _Parked:
        """Whose turn it is, by the record or else by the clock; its work is home."""
        key = f"{self.name}/{self._taken}"
        self._taken += 1
        taken = await self.record.chance(key, _nobody)
        if taken is not None:
            parked = self._parked.get(taken.work)
            if parked is None:
                raise RunFailed("the record gives a turn to work that nobody does", key)
            await asyncio.wait({parked.work})
            self.now = taken.at
            return parked
        parked = await self._first_home()
        self.now = max(self.now, parked.place()[0])
        if not isinstance(parked.failure(), BudgetExceeded | None):
            return parked  # it ends the session; another one will hear of it what it has to say
        resumed = LaneResumed(lane=parked.lane, work=parked.number, at=self.now)
        await self.record.step(key, lambda: resumed)
        return parked

    async def _first_home(self) -> _Parked:
        """The first that is home, once nothing that is out can come before it."""
        while True:
            home = [parked for parked in self._parked.values() if parked.work.done()]
            out = {p.work: p for p in self._parked.values() if not p.work.done()}
            wait = None
            if home:
                place, first = min((parked.place(), parked.number) for parked in home)
                before = [p.place() for p in out.values() if p.place() < place]
                if not before:
                    return self._parked[first]
                wait = max(GLANCE_SECONDS, (place[0] - min(before)[0]) / SHARE)
            await asyncio.wait(out, timeout=wait, return_when=asyncio.FIRST_COMPLETED)

    async def _give(self, parked: _Parked) -> None:
        del self._parked[parked.number]
        self._rests.clear()
        parked.turn.set_result(None)
        await self._rests.wait()
        if (lane := self._lanes[parked.lane]).done():
            lane.result()

    async def park(self, lane: int, work: Awaitable[T], ends: Ends) -> T:
        """Start this work and pass the turn; returns its result at the lane's next turn."""
        out = asyncio.ensure_future(work)
        turn = self._park(lane, out, ends)
        self._rests.set()
        await turn
        return out.result()


def _nobody() -> LaneResumed | None:
    """Past the end of the record the clock decides."""
    return None


@dataclass(frozen=True, slots=True)
class Lane:
    """One lane's side of it. Between two calls of `work` nobody else decides anything."""

    number: int
    turns: Turns

    async def work(self, work: Awaitable[T], ends: Ends) -> T:
        """The result of this work, beside which other lanes go on until it `ends`."""
        return await self.turns.park(self.number, work, ends)
