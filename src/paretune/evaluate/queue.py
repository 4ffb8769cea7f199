"""The rollout queue: who goes next, how many at once, and when nobody goes at all."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import IntEnum
from heapq import heappop, heappush
from typing import Literal

from paretune.core.errors import AttemptFailed, FailureKind, Paused, RunFailed
from paretune.core.retry import RetryPolicy
from paretune.core.rollout import Answer
from paretune.evaluate.pressure import Circuit, Concurrency, pushes_back, without_address

INFINITY = float("inf")
MOST_AHEAD = 512
"""As many are told that they are among the next, or as many as may be inside, if that is more."""

Closing = RunFailed | Paused
Line = list[tuple["Priority", int, "Ticket"]]
Sleep = Callable[[float], Awaitable[None]]


class Priority(IntEnum):
    """Who is served first. Within one priority it is who asked first."""

    GATE = 0
    """A decision waits for it: the parent's minibatch, the gate."""
    FULL = 1
    """Full evaluations, finalists, the closing evaluation."""
    BACKGROUND = 2
    """Nobody waits for it yet."""


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """`concurrency` rollouts in flight at most; each attempt has `deadline` seconds.

    A far side to which nobody can connect is waited for `breaker` seconds.
    """

    concurrency: int = 8
    deadline: float = 120.0
    retry: RetryPolicy = RetryPolicy()
    breaker: float = 60.0


@dataclass(frozen=True, slots=True)
class QueueState:
    """The queue at one moment, for people. `held` and `probe_in` are seconds from now, 0 for not at all.

    `limit` is how many may be in flight just now, `waiting` counts those that wait for a slot or rest
    before they are asked again.
    """

    in_flight: int
    waiting: int
    limit: int
    held: float
    circuit: Literal["closed", "open", "probing"]
    probe_in: float


@dataclass(eq=False)
class Ticket:
    """A place in the queue, kept over all attempts of one rollout. `RolloutQueue.ticket` makes it; only the
    queue changes it."""

    number: int
    priority: Priority
    turn: Callable[[], None] | None = field(default=None, init=False)
    """Told when its turn has come; None while nobody waits with it."""
    soon: Callable[[], None] | None = field(default=None, init=False)
    """Told once, before that, when it is among the next."""
    rests: bool = field(default=False, init=False)
    inside: bool = field(default=False, init=False)
    is_probe: bool = field(default=False, init=False)
    began: float = field(default=0.0, init=False)


class RolloutQueue:
    """Hands out slots in order of priority and age, and learns from what comes back.

    * Never more than `concurrency` are inside; fewer after push-back (`Concurrency`).
    * Retry-After holds everybody, up to the retry policy's `longest_wait` seconds.
    * While nobody can connect, only probes go out (`Circuit`); after `breaker` seconds of that the queue
      closes itself with RunFailed.
    * As many as may be inside are told that they are among the next, so that they can get ready; one more for
      each that was not ready when its turn came (`look_further`), up to `MOST_AHEAD`. Who is served first is
      settled only when a slot is free.
    * Who rests before another attempt waits here, outside of any slot: a slot is a call at the far side,
      and a sleeper would keep others from it.

    `closed` is why nothing is started any more, `answers` how often the far side answered so far, be it with
    a failure; only the queue changes them. `clock` gives seconds and `sleep` waits for them.
    """

    def __init__(
        self,
        settings: QueueSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self._longest_wait = settings.retry.longest_wait
        self._limit = Concurrency(settings.concurrency)
        self._circuit = Circuit(settings.breaker)
        self._clock, self._sleep, self._rng = clock, sleep, rng or random.Random()
        self._numbers = itertools.count()
        self._line: Line = []
        self._next: Line = []
        self._resting: list[tuple[float, int, Ticket]] = []
        self._in_flight = self._waiting = self._late = 0
        self._held_until = float("-inf")
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = INFINITY
        self.closed: Closing | None = None
        self.answers = 0

    @property
    def state(self) -> QueueState:
        now, circuit = self._clock(), self._circuit
        is_open = circuit.opened is not None and not circuit.probing
        return QueueState(
            in_flight=self._in_flight,
            waiting=self._waiting,
            limit=self._limit.now,
            held=max(0.0, self._held_until - now),
            circuit="probing" if circuit.probing else "open" if is_open else "closed",
            probe_in=max(0.0, circuit.next_probe - now) if is_open else 0.0,
        )

    def allow(self, most: int) -> None:
        """From now on so many may be inside at most; those that are stay."""
        self._limit.allow(most)
        if not self.closed:
            self.serve()

    def ticket(self, priority: Priority) -> Ticket:
        """A place behind everybody of this priority who has one already."""
        return Ticket(next(self._numbers), priority)

    def lift(self, ticket: Ticket, priority: Priority) -> None:
        """Somebody with this priority waits for it too; nobody is ever put back."""
        if priority < ticket.priority:
            ticket.priority = priority
            if ticket.turn is not None and not ticket.rests:
                self._place(ticket)  # its old place is passed over
                self.serve()

    def join(
        self,
        ticket: Ticket,
        turn: Callable[[], None],
        rest: float = 0.0,
        soon: Callable[[], None] | None = None,
    ) -> None:
        """Wait in line, after `rest` seconds. `turn` is called once: inside a slot, or if all is closed.

        `soon` is called at most once, some time before.
        """
        self.line_up(ticket, turn, rest, soon)
        if not self.closed:
            self.serve()

    def line_up(
        self,
        ticket: Ticket,
        turn: Callable[[], None],
        rest: float = 0.0,
        soon: Callable[[], None] | None = None,
    ) -> None:
        """`join` for one of many: `serve` lets them in, when all of them are in line."""
        ticket.turn, ticket.soon, ticket.rests = turn, soon, rest > 0
        self._waiting += 1
        if self.closed:
            self._call(ticket)
        elif ticket.rests:
            heappush(self._resting, (self._clock() + rest, ticket.number, ticket))
        else:
            self._place(ticket)

    def look_further(self) -> None:
        """Somebody was told that it is among the next, and was not ready when its turn came."""
        self._late = min(self._late + 1, MOST_AHEAD)

    async def enter(self, ticket: Ticket, rest: float = 0.0) -> None:
        """Returns inside a slot, after `rest` seconds at least. Raises what the queue was closed with."""
        turn = asyncio.get_running_loop().create_future()
        self.join(ticket, lambda: None if turn.done() else turn.set_result(None), rest)
        try:
            await turn
            if self.closed:
                raise self.closed
        except BaseException:
            self.leave(ticket, None)
            raise

    def leave(self, ticket: Ticket, result: Answer | AttemptFailed | None) -> None:
        """Free the slot and learn from the result; None if there is none (cancelled, broken executor).

        Who is not inside yet gives up its place in line.
        """
        if not ticket.inside:
            if ticket.turn is not None:
                ticket.turn = None
                self._waiting -= 1
            return
        ticket.inside = False
        self._in_flight -= 1
        now = self._clock()
        if result is None:
            if ticket.is_probe:
                self._circuit.abandoned()
        elif isinstance(result, AttemptFailed):
            self._learn(result, now, probe=ticket.is_probe)
        else:
            self.answers += 1
            self._limit.succeeded(now - ticket.began)
            self._circuit.answered()
        self.serve()

    def close(self, reason: Closing) -> None:
        """Start nothing more: who waits or comes is told the reason, who is inside stays. First counts."""
        if self.closed is None:
            self.closed = reason
            waiting = [ticket for *_, ticket in itertools.chain(self._next, self._line, self._resting)]
            self._next.clear()
            self._line.clear()
            self._resting.clear()
            for ticket in waiting:
                self._call(ticket)
            if self._alarm:
                self._alarm.cancel()

    def _learn(self, failure: AttemptFailed, now: float, *, probe: bool) -> None:
        if pushes_back(failure):
            self._limit.pushed_back(now)
        if failure.retry_after is not None:
            self._held_until = max(self._held_until, now + min(failure.retry_after, self._longest_wait))
        unclear = failure.kind in (FailureKind.TIMEOUT, FailureKind.CLOSED)
        if failure.kind is FailureKind.UNREACHABLE or (unclear and probe):
            self._circuit.failed(now, probe=probe, limit=self._limit.now, rng=self._rng)
            if self._circuit.given_up(now):
                self.close(self._unreachable(failure, now))
        elif not unclear:
            self.answers += 1
            self._circuit.answered()

    def _unreachable(self, failure: AttemptFailed, now: float) -> RunFailed:
        waited, failures = self._circuit.silent_for(now), self._circuit.failures
        message = without_address(failure.message)
        cause = f"{failure.kind.value} ({failures} times in a row, waited {waited:.0f} s), at last: {message}"
        return RunFailed("the task cannot be reached", cause)

    def _place(self, ticket: Ticket) -> None:
        heappush(self._line, (ticket.priority, ticket.number, ticket))

    def serve(self) -> None:
        """Let in whoever may go now, and see to it that somebody looks again when that changes by itself."""
        now = self._clock()
        while self._resting and self._resting[0][0] <= now:
            ticket = heappop(self._resting)[2]
            ticket.rests = False
            self._place(ticket)
        while self._in_flight < self._limit.now and self._free(now) and (line := self._first()):
            ticket = heappop(line)[2]
            self._in_flight += 1
            ticket.inside, ticket.began, ticket.is_probe = True, now, self._circuit.start()
            self._call(ticket)
        if self._line:
            self._tell(now)
        if self._resting or not self._free(now):
            self._look_again(now)

    def _tell(self, now: float) -> None:
        """Whoever is among the next now."""
        ahead = max(self._limit.now, min(self._limit.now + self._late, MOST_AHEAD))
        while len(self._next) < ahead and _front(self._line) and self._free(now):
            place = heappop(self._line)
            heappush(self._next, place)
            soon, place[2].soon = place[2].soon, None
            if soon is not None:
                soon()

    def _call(self, ticket: Ticket) -> None:
        if ticket.turn is not None:
            turn, ticket.turn, ticket.soon = ticket.turn, None, None
            self._waiting -= 1
            turn()

    def _first(self) -> Line:
        """The line whose first goes next; empty if nobody is in line."""
        if not self._line:
            return _front(self._next)
        ready, others = _front(self._next), _front(self._line)
        return others if others and (not ready or others[0] < ready[0]) else ready

    def _free(self, now: float) -> bool:
        return now >= self._held_until and self._circuit.lets_start(now)

    def _look_again(self, now: float) -> None:
        """Sets the alarm. A freed slot and an answer look by themselves."""
        moment = self._resting[0][0] if self._resting else INFINITY
        if (self._next or self._line) and not self._circuit.probing and not self._free(now):
            moment = min(moment, max(self._held_until, self._circuit.next_probe))
        if moment < self._alarm_at:
            if self._alarm:
                self._alarm.cancel()
            self._alarm_at = moment
            self._alarm = asyncio.create_task(self._ring(moment - now))

    async def _ring(self, seconds: float) -> None:
        await self._sleep(seconds)
        self._alarm, self._alarm_at = None, INFINITY
        self.serve()


def _front(line: Line) -> Line:
    """The line, its first place a valid one: drops those that were left (cancelled) or changed (lifted)."""
    while line and (line[0][2].turn is None or line[0][0] != line[0][2].priority):
        heappop(line)
    return line
