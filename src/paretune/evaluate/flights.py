"""Rollouts on their way to a fact, and the work that waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from paretune.core.rollout import Outcome, RolloutKey, RolloutRequest
from paretune.evaluate.purse import Tier
from paretune.evaluate.queue import Ticket
from paretune.store.book import Commit


class Booking(NamedTuple):
    """An attempt on the ledger and in the book; its call may go out once that is durable."""

    reservation: str
    usd: float
    attempt: str
    begun: Commit


class Home(NamedTuple):
    """An outcome, and its fact's seconds."""

    outcome: Outcome
    seconds: float


@dataclass(eq=False)
class Flight:
    """One rollout on its way to a fact; whoever asks meanwhile waits for the same one.

    `task` is what works on it just now: the lookup it shares with others, then its own attempts; nobody while
    it waits for its turn, and while its result is on its way to the disk. `began` is
    when the first call went out, `took` the seconds from then on until its result. `booking` is that of an
    attempt that has not begun yet. `counted` attempts count against the retry policy; `heard` is the queue's
    answers at the last one. `known` is its share of results that were found beside it (see `Health.share`).
    """

    id: str
    request: RolloutRequest
    key: RolloutKey
    ticket: Ticket
    works: list[Work]
    tier: Tier
    task: asyncio.Task[None] | None = field(default=None, init=False)
    booking: Booking | None = field(default=None, init=False)
    attempts: int = field(default=0, init=False)
    counted: int = field(default=0, init=False)
    heard: int = field(default=-1, init=False)
    known: float = field(default=0.0, init=False)
    began: float | None = field(default=None, init=False)
    took: float | None = field(default=None, init=False)
    home: Home | None = field(default=None, init=False)
    error: BaseException | None = field(default=None, init=False)

    def seconds(self, now: float) -> float:
        """The fact's seconds, or so far."""
        if self.home is not None:
            return self.home.seconds
        if self.took is not None:
            return self.took
        return self.since(now)

    def since(self, now: float) -> float:
        """Since the first call went out, in whole microseconds: where the clock began must not show."""
        return 0.0 if self.began is None else int((now - self.began) * 1e6 + 0.5) / 1e6


class Work:
    """Outcomes to come, in the order of the requests: await it.

    Awaiting raises what one of them ended with, once all are home. Those of `new` are asked for the first
    time in this run. `clock` is the evaluator's, in seconds.
    """

    def __init__(self, keys: Sequence[str], new: Set[str], clock: Callable[[], float]) -> None:
        self.keys = keys
        self.new = new
        self._clock = clock
        self._known: dict[str, Home] = {}
        self._flights: dict[str, Flight] = {}
        self._out = 0
        self._outcomes: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()

    def __await__(self) -> Generator[Any, None, list[Outcome]]:
        return self._outcomes.__await__()

    def done(self) -> bool:
        return self._outcomes.done()

    def cancel(self) -> None:
        """Give up waiting. Rollouts that were drawn are asked for all the same, and kept."""
        self._outcomes.cancel()

    def seconds(self, key: str) -> float:
        """The seconds of the fact of this key, from the rollout's first call going out until its result.

        As long as it is not home, a lower bound: the time since then; 0 while it waits for its first call.
        """
        known = self._known.get(key)
        return known.seconds if known else self._flights[key].seconds(self._clock())

    # -- the evaluator's side -------------------------------------------------------------------------

    def __contains__(self, key: str) -> bool:
        return key in self._known or key in self._flights

    def know(self, key: str, home: Home) -> None:
        """This one is there already."""
        self._known[key] = home

    def board(self, flight: Flight) -> None:
        """This one is on its way."""
        self._flights[flight.id] = flight
        self._out += 1
        flight.works.append(self)

    def landed(self, closed: Exception | None) -> None:
        """One more flight has ended."""
        self._out -= 1
        self.settle(closed)

    def settle(self, closed: Exception | None) -> None:
        """If nothing is out any more, hand over the outcomes, or why there are none."""
        if self._out or self._outcomes.done():
            return
        error: BaseException | None = closed
        for key, flight in self._flights.items():
            error = error or flight.error
            if flight.home is not None:
                self._known[key] = flight.home
        if error is None:
            self._outcomes.set_result([self._known[key].outcome for key in self.keys])
        elif isinstance(error, asyncio.CancelledError):
            self._outcomes.cancel()
        else:
            self._outcomes.set_exception(error)
            self._outcomes.exception()  # of work that nobody waits for any more it is no news
