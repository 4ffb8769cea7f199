"""The evaluator: known facts, then the queue, all on the ledger. The only way to score anything."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from paretune.core.budget import Ledger
from paretune.core.canonical import digest
from paretune.core.errors import AttemptFailed, FailureKind, Paused, RunFailed
from paretune.core.rollout import Answer, Failure, Identity, Outcome, Rollout, RolloutKey, RolloutRequest
from paretune.evaluate.executors import Dispatch, Executor
from paretune.evaluate.facts import failure_fact, outcome, priced, rollout_fact
from paretune.evaluate.health import Health
from paretune.evaluate.lookups import Lookups
from paretune.evaluate.queue import Priority, QueueSettings, QueueState, RolloutQueue, Sleep, Ticket
from paretune.store.base import Fact
from paretune.store.book import RunBook

__all__ = ["Evaluator", "Priority", "QueueSettings"]

STANDARD = QueueSettings()
REMEMBERED = 1024
"""Outcomes kept in memory, so that asking again soon costs no lookup."""
GRACE_SECONDS = 1.0
"""At most this long for a cancelled call to let go; code that does not is left behind."""


@dataclass(slots=True, eq=False)
class _Flight:
    """One rollout on its way to a fact; whoever asks meanwhile waits for the same task.

    `counted` attempts count against the retry policy; `heard` is the queue's answers at the last one.
    """

    request: RolloutRequest
    key: RolloutKey
    id: str
    ticket: Ticket
    attempts: int = 0
    counted: int = 0
    heard: int = -1
    task: asyncio.Task[Fact | None] = field(init=False)


class Evaluator:
    """Scores candidates on examples, each question at most once.

    `price` gives the money to reserve for one rollout; `decided` the number of decisions so far. `clock`
    and `sleep` are in seconds.
    """

    def __init__(
        self,
        book: RunBook,
        ledger: Ledger,
        executor: Executor,
        identity: Identity,
        *,
        queue: QueueSettings = STANDARD,
        health: Health | None = None,
        price: Callable[[], float] = lambda: 0.0,
        decided: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._book = book
        self._ledger = ledger
        self._executor = executor
        self._identity = identity
        self._settings = queue
        self._health = health or Health()
        self._price = price
        self._decided = decided
        self._clock = clock
        self._rng = random.Random()
        self._queue = RolloutQueue(queue, clock=clock, sleep=sleep, rng=self._rng)
        self._lookups = Lookups(book)
        self._flights: dict[str, _Flight] = {}
        self._remembered: dict[str, Outcome] = {}
        self._reused: set[str] = set()

    @property
    def in_flight(self) -> int:
        """Calls that are out just now."""
        return self._queue.state.in_flight

    @property
    def state(self) -> QueueState:
        """How the queue stands, for people."""
        return self._queue.state

    def keys(self, requests: Sequence[RolloutRequest]) -> list[str]:
        """The fact keys of these requests, for asking the ledger what they would cost."""
        return [request.key(self._identity).id for request in requests]

    async def evaluate(
        self, requests: Sequence[RolloutRequest], priority: Priority = Priority.FULL
    ) -> list[Outcome]:
        """Outcomes in the order of the requests; a failure stands in its place.

        Raises BudgetExceeded before anything is asked if the rollouts do not fit, and RunFailed when
        too many fail or nobody can be reached. Calls already out are awaited before an error is passed on.
        """
        return await self.start(requests, priority)

    def start(
        self, requests: Sequence[RolloutRequest], priority: Priority = Priority.FULL
    ) -> asyncio.Task[list[Outcome]]:
        """What `evaluate` does, as a task. The budget is drawn here and now: raises BudgetExceeded.

        Cancelling the task gives up waiting; rollouts that were drawn are asked for all the same, and kept.
        """
        keys = [request.key(self._identity) for request in requests]
        ids = [key.id for key in keys]
        self._ledger.draw(ids)
        task = asyncio.create_task(self._outcomes(list(zip(ids, keys, requests, strict=True)), priority))
        task.add_done_callback(_looked_at)
        return task

    async def _outcomes(
        self, asked: Sequence[tuple[str, RolloutKey, RolloutRequest]], priority: Priority
    ) -> list[Outcome]:
        found = {i: self._recall(i) or self._flight(i, key, request, priority) for i, key, request in asked}
        flights = [one for one in found.values() if isinstance(one, _Flight)]
        if flights:
            await asyncio.wait([flight.task for flight in flights])
        if self._queue.closed:
            raise self._queue.closed
        facts = {flight.id: flight.task.result() for flight in flights}
        # Read back what was kept: what decides now is exactly what a resumed run will find, the order of
        # its keys included, and another run may have paid for the same cell meanwhile.
        kept = await self._lookups.facts([i for i, fact in facts.items() if fact is None])
        outcomes = {i: one for i, one in found.items() if not isinstance(one, _Flight)}
        outcomes |= {i: self._remember(i, outcome(fact or kept[i])) for i, fact in facts.items()}
        return [outcomes[i] for i, _, _ in asked]

    async def drain(self, seconds: float) -> None:
        """Start nothing more, and give the calls that are out `seconds` to come home."""
        self._queue.close(Paused("the evaluator is closing"))
        flights = [flight.task for flight in self._flights.values()]
        if flights:
            _, late = await asyncio.wait(flights, timeout=seconds)
            for flight in late:
                flight.cancel()
            if late:
                await asyncio.wait(late, timeout=min(seconds, GRACE_SECONDS))

    # -- one rollout ------------------------------------------------------------------------------

    def _flight(self, id: str, key: RolloutKey, request: RolloutRequest, priority: Priority) -> _Flight:
        """The one call for this key, at the highest priority that anybody gave it."""
        flight = self._flights.get(id)
        if flight is None:
            flight = self._flights[id] = _Flight(request, key, id, self._queue.ticket(priority))
            flight.task = asyncio.create_task(self._fly(flight))
            flight.task.add_done_callback(lambda task: self._landed(id, task))
        else:
            self._queue.lift(flight.ticket, priority)
        return flight

    async def _fly(self, flight: _Flight) -> Fact | None:
        """The fact if it was known; None if it is new, and kept by now."""
        fact = (await self._lookups.facts([flight.id])).get(flight.id)
        if fact is None:
            await self._ask(flight)
        elif fact.paid_by != self._book.run_id:
            await self._take_over(fact)
        return fact

    def _landed(self, id: str, flight: asyncio.Task[Fact | None]) -> None:
        self._flights.pop(id, None)
        if not flight.cancelled():
            flight.exception()  # looked at here, raised by whoever asked

    def _remember(self, id: str, one: Outcome) -> Outcome:
        self._remembered[id] = one
        if len(self._remembered) > REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        return one

    def _recall(self, id: str) -> Outcome | None:
        """The outcome, if this process saw it lately."""
        known = self._remembered.pop(id, None)
        if known is not None:
            self._remembered[id] = known  # youngest again
        return known

    async def _take_over(self, fact: Fact) -> None:
        """Note a fact that another run paid for, once."""
        if fact.key not in self._reused:
            self._reused.add(fact.key)
            await self._book.draw([fact.key])
            self._ledger.reuse("rollout")

    async def _ask(self, flight: _Flight) -> None:
        """Attempts, until an answer or a failure is kept."""
        run = self._book.run_id
        dispatch = Dispatch(flight.request, "ro_" + digest([run, flight.id], 32), run)
        rest: float | None = 0.0
        while rest is not None:
            await self._queue.enter(flight.ticket, rest)
            rest = await self._attempt(flight, dispatch)

    async def _attempt(self, flight: _Flight, dispatch: Dispatch) -> float | None:
        """One call, booked before it goes out and settled with its result. Seconds to rest before the next.

        The slot is free again when the call is home, so that its result and the next attempt share a commit.
        """
        flight.attempts += 1
        reservation = f"{flight.id}/{flight.attempts}"
        if flight.heard < 0:
            flight.heard = self._queue.answers
        result: Answer | AttemptFailed | None = None
        try:
            usd = self._ledger.reserve(reservation, self._price())
            attempt = await self._book.begin(flight.id, "rollout", flight.attempts, usd)
            began = self._clock()
            result = await self._call(dispatch)
        finally:
            self._queue.leave(flight.ticket, result)
        if isinstance(result, Answer):
            rollout, paid = Rollout(flight.key, result), priced(result.usage, usd)
            self._ledger.settle(reservation, "rollout", paid, self._clock() - began)
            self._observe(rollout)
            await self._book.done(attempt, rollout_fact(rollout), paid)
            return None
        self._ledger.give_up(reservation, "rollout", result.kind, usd)
        rest = self._rest(flight, result)
        failure = Failure(flight.key, result.kind, result.message, flight.attempts)
        if rest is None:
            self._observe(failure)  # before anybody who is let in now can start
        await self._book.failed(attempt, result)
        if rest is None:
            await self._book.keep_failure(failure_fact(failure, after=self._decided()))
        return rest

    def _rest(self, flight: _Flight, error: AttemptFailed) -> float | None:
        """Seconds before the next attempt, None to give up.

        A far side that nobody can reach is not the rollout's fault: an attempt that cannot connect counts
        only if somebody got an answer since the one before. Until then the queue's circuit says when to try
        again, and when to stop.
        """
        silent = error.kind is FailureKind.UNREACHABLE and self._queue.answers == flight.heard
        flight.heard = self._queue.answers
        if silent:
            return self._settings.retry.jitter(max(1, flight.counted), self._rng)
        flight.counted += 1
        return self._settings.retry.wait(flight.counted, error, self._rng)

    def _observe(self, result: Outcome) -> None:
        try:
            self._health.observe(result)
        except RunFailed as failure:
            self._queue.close(failure)

    async def _call(self, dispatch: Dispatch) -> Answer | AttemptFailed:
        try:
            async with asyncio.timeout(self._settings.deadline):
                (answer,) = await self._executor.run([dispatch])
                return answer
        except AttemptFailed as error:
            return error
        except TimeoutError:
            return AttemptFailed(FailureKind.TIMEOUT, f"no answer within {self._settings.deadline:g} s")


def _looked_at(task: asyncio.Task[list[Outcome]]) -> None:
    """An error of a task that nobody waits for any more is no news."""
    if not task.cancelled():
        task.exception()
