"""The evaluator: known facts, then the queue, all on the ledger. The only way to score anything."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial

from paretune.container.deadline import Deadline
from paretune.core.budget import Ledger
from paretune.core.errors import AttemptFailed, BudgetExceeded, FailureKind, Paused, RunFailed
from paretune.core.rollout import LO, Answer, Failure, Identity, Outcome, Rollout, RolloutRequest
from paretune.evaluate.executors import Batches, Dispatch, Executor
from paretune.evaluate.facts import failure_fact, kept_outcome, outcome, priced, rollout_fact
from paretune.evaluate.flights import Booking, Flight, Home, Work
from paretune.evaluate.health import Health
from paretune.evaluate.lookups import Lookups
from paretune.evaluate.purse import Tier, released
from paretune.evaluate.queue import Priority, QueueSettings, QueueState, RolloutQueue, Sleep
from paretune.store.base import Fact, StoreError
from paretune.store.book import Commit, RunBook

__all__ = ["Evaluator", "Priority", "QueueSettings", "Work"]

STANDARD = QueueSettings()
REMEMBERED = 1024
"""Outcomes kept in memory, so that asking again soon costs no lookup."""
GRACE_SECONDS = 1.0
"""At most this long for a cancelled call to let go; code that does not is left behind."""


class Evaluator:
    """Scores candidates on examples, each question at most once.

    `price` gives the money to reserve for one rollout, `tokens` the most that one can take (None where nobody
    knows), `lo` both for the cheap policy; `decided` the number of decisions so far. Clocks count seconds.
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
        tokens: int | None = None,
        lo: Tier | None = None,
        decided: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._book = book
        self._ledger = ledger
        self._executor = executor
        self._batches = executor if isinstance(executor, Batches) else None
        self._settings = queue
        self._deadline = Deadline(queue.deadline)
        self._health = health or Health()
        self._tiers = {"": Tier(identity, "rollout", price, tokens)} | ({LO: lo} if lo else {})
        self._decided = decided
        self._clock = clock
        self._rng = random.Random()
        self._queue = RolloutQueue(queue, clock=clock, sleep=sleep, rng=self._rng)
        self._lookups = Lookups(book)
        self._loop: asyncio.AbstractEventLoop
        self._flights: dict[str, Flight] = {}
        self._remembered: OrderedDict[str, Home] = OrderedDict()
        self._found: set[str] = set()

    @property
    def concurrency(self) -> int:
        return self._settings.concurrency

    @property
    def in_flight(self) -> int:
        """Calls that are out just now."""
        return self._queue.state.in_flight

    @property
    def state(self) -> QueueState:
        """How the queue stands, for people."""
        return self._queue.state

    def allow(self, most: int) -> None:
        """So many calls may be out at most from now on, but never more than the job's own number."""
        self._queue.allow(max(1, min(most, self.concurrency)))

    def keys(self, requests: Sequence[RolloutRequest]) -> list[str]:
        """The fact keys of these requests, for asking the ledger what they would cost."""
        return [request.key(self._tiers[request.tier].identity).id for request in requests]

    async def evaluate(
        self, requests: Sequence[RolloutRequest], priority: Priority = Priority.FULL
    ) -> list[Outcome]:
        """Outcomes in the order of the requests; a failure stands in its place.

        Raises BudgetExceeded before anything is asked if the rollouts do not fit, and RunFailed when
        too many fail or nobody can be reached. Calls already out are awaited before an error is passed on.
        """
        return await self.start(requests, priority)

    def start(self, requests: Sequence[RolloutRequest], priority: Priority = Priority.FULL) -> Work:
        """What `evaluate` awaits. The budget is drawn here and now: raises BudgetExceeded."""
        keys = [request.key(self._tiers[request.tier].identity) for request in requests]
        ids = [key.id for key in keys]
        drawn = self._ledger.draw(ids)
        self._loop = asyncio.get_running_loop()
        work = Work(ids, drawn, self._clock)
        new: list[Flight] = []
        for id, key, request in zip(ids, keys, requests, strict=True):
            if id in work:
                continue
            if home := self._recall(id):
                work.know(id, home)
            elif flight := self._flights.get(id):
                self._queue.lift(flight.ticket, priority)
                work.board(flight)
            else:
                new.append(
                    Flight(id, request, key, self._queue.ticket(priority), [], self._tiers[request.tier])
                )
                work.board(new[-1])
        if new:
            self._depart(new)
        work.settle(self._queue.closed)
        return work

    async def drain(self, seconds: float) -> None:
        """Start nothing more, and give the calls that are out `seconds` to come home."""
        closing = Paused("the evaluator is closing")
        self._queue.close(closing)
        late = await self._come_home(seconds)
        for task in late:
            task.cancel()
        if late:
            await self._come_home(min(seconds, GRACE_SECONDS))
        for flight in [one for one in self._flights.values() if one.task is None or one.task.done()]:
            self._land(flight, closing)  # the disk does not answer, or it was cancelled before it had begun

    async def _come_home(self, seconds: float) -> set[asyncio.Task[None]]:
        """Wait for whoever works on flights, then for the disk; those that are not done after `seconds`."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        tasks = {flight.task for flight in self._flights.values() if flight.task}
        if tasks:
            _, tasks = await asyncio.wait(tasks, timeout=seconds)
        if any(flight.task is None for flight in self._flights.values()):
            flush = loop.create_task(self._flushed())
            _, late = await asyncio.wait({flush}, timeout=end - loop.time())
            for task in late:
                task.cancel()
        return tasks

    async def _flushed(self) -> None:
        """What could not be written, those who wait for it are told."""
        with contextlib.suppress(StoreError):
            await self._book.flush()

    # -- one rollout ------------------------------------------------------------------------------

    def _depart(self, flights: Sequence[Flight]) -> None:
        """From now on these are the only ones for their keys. They share one lookup."""
        lookup = asyncio.create_task(self._look_up(flights))
        for flight in flights:
            self._flights[flight.id], flight.task = flight, lookup

    async def _look_up(self, flights: Sequence[Flight]) -> None:
        """Land those that are known, line up the others."""
        try:
            facts = await self._lookups.facts([flight.id for flight in flights])
            known = [facts[flight.id] for flight in flights if flight.id in facts]
            homes = {fact.key: _home(fact) for fact in known}
            results = await self._take_over(known)
        except BaseException as error:
            for flight in flights:
                self._land(flight, error)
            if not isinstance(error, Exception):
                raise
            return
        if self._batches is not None:
            self._batches.expect([flight.id for flight in flights if flight.id not in homes])
        share = self._health.share(results, len(flights) - len(homes))
        for flight in flights:
            if flight.id in homes:
                self._land(flight, homes[flight.id])
            else:
                flight.known = share
                soon = partial(self._book_ahead, flight)
                self._queue.line_up(flight.ticket, partial(self._take_off, flight), soon=soon)
        self._queue.serve()

    async def _take_over(self, facts: Sequence[Fact]) -> int:
        """Note the facts that another run paid for, once. Returns how many results were found for the first
        time, whoever paid."""
        new = [fact for fact in facts if fact.key not in self._found]
        self._found.update(fact.key for fact in new)
        others = [fact.key for fact in new if fact.paid_by != self._book.run_id]
        if others:
            await self._book.draw(others)
            for key in others:
                self._ledger.reuse(self._flights[key].tier.role)
        return sum(fact.kind == "rollout" for fact in new)

    def _book_ahead(self, flight: Flight) -> None:
        """Have its first attempt on disk by the time of its turn, so that no slot waits for the disk.

        Only where that holds no money and no tokens: who is ahead must not take them from who is out.
        """
        if self._book.writable and self._ledger.free(flight.tier.price(), flight.tier.role):
            flight.booking = self._booked(flight)

    def _booked(self, flight: Flight) -> Booking:
        """Its next attempt, reserved and on its way to the disk."""
        flight.attempts += 1
        reservation, tier = f"{flight.id}/{flight.attempts}", flight.tier
        usd = self._ledger.reserve(reservation, tier.price(), tier.role, tier.tokens)
        try:
            begun = self._book.begin_soon(flight.id, tier.role, flight.attempts, usd)
        except BaseException:
            self._ledger.release(reservation)
            raise
        return Booking(reservation, usd, *begun)

    def _take_off(self, flight: Flight) -> None:
        """Its turn has come, or the queue is closed."""
        if self._queue.closed:
            self._land(flight, self._queue.closed)
        else:
            flight.task = self._loop.create_task(self._fly(flight))

    async def _fly(self, flight: Flight) -> None:
        """Attempts, until a failure is kept, or an answer on its way to the disk."""
        dispatch = Dispatch(flight.request, flight.id, self._book.run_id)
        try:
            while (rest := await self._attempt(flight, dispatch)) is not None:
                await self._queue.enter(flight.ticket, rest)
        except BaseException as error:
            self._land(flight, error)
            if not isinstance(error, Exception):
                raise

    def _land(self, flight: Flight, end: Home | BaseException) -> None:
        """Whoever waits for it is told."""
        del self._flights[flight.id]
        if flight.booking is not None:
            self._ledger.release(flight.booking.reservation)
            self._book.unsent(flight.booking.attempt)
        works, flight.works, flight.task = flight.works, [], None  # no cycles left for the collector
        if isinstance(end, Home):
            flight.home = end
            self._remember(flight.id, end)
            self._ledger.paid(flight.id)
        else:
            flight.error = end
            if isinstance(end, BudgetExceeded):
                self._ledger.refused(flight.id)
        for work in works:
            work.landed(self._queue.closed)

    def _remember(self, id: str, home: Home) -> None:
        self._remembered[id] = home
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)

    def _recall(self, id: str) -> Home | None:
        """The outcome, if this process saw it lately."""
        known = self._remembered.get(id)
        if known is not None:
            self._remembered.move_to_end(id)  # youngest again
        return known

    async def _attempt(self, flight: Flight, dispatch: Dispatch) -> float | None:
        """One call, booked before it goes out and settled with its result. Seconds to rest before another, or
        None if that was the last.

        The slot is free again when the call is home, so that its result and the next attempt share a commit.
        """
        if flight.heard < 0:
            flight.heard = self._queue.answers
        result: Answer | AttemptFailed | None = None
        booking: Booking | None = None
        tier = flight.tier
        try:
            while not self._queue.closed and self._ledger.must_wait(tier.role, tier.tokens):
                await released(self._ledger)
            if self._queue.closed:
                raise self._queue.closed
            booking, flight.booking = flight.booking, None
            if booking is None:
                booking = self._booked(flight)
            elif not booking.begun.done():
                self._queue.look_further()
            if not booking.begun.done() or booking.begun.error:
                await booking.begun
            began = self._clock()
            if flight.began is None:
                flight.began = began
            result = await self._call(flight, dispatch)
        finally:
            self._queue.leave(flight.ticket, result)
            if result is None and booking is not None:
                self._ledger.release(booking.reservation)
        now = self._clock()
        if isinstance(result, Answer):
            flight.took = flight.since(now)
            self._keep(flight, booking, result, now - began)
            return None
        self._ledger.give_up(booking.reservation, tier.role, result.kind, booking.usd)
        rest = self._rest(flight, result)
        if rest is not None:
            await self._book.failed(booking.attempt, result)
            return rest
        flight.took = flight.since(now)
        home = await self._keep_failure(flight, booking.attempt, result, flight.took)
        self._land(flight, home)
        return None

    def _keep(self, flight: Flight, booking: Booking, answer: Answer, seconds: float) -> None:
        """`seconds` are those of the call that brought the answer. It lands once it is durable."""
        paid = priced(answer.usage, booking.usd)
        self._ledger.settle(booking.reservation, flight.tier.role, paid, seconds)
        rollout = Rollout(flight.key, answer)
        self._observe(rollout, flight.known)
        fact = rollout_fact(rollout, flight.took or 0.0, self._book.run_id, self._book.moment)
        flight.task = None
        self._book.done_soon(booking.attempt, fact, paid, seconds).then(
            partial(self._kept, flight, rollout, fact)
        )

    def _kept(self, flight: Flight, rollout: Rollout, fact: Fact, commit: Commit) -> None:
        """Its result is durable, or could not be written."""
        if self._flights.get(flight.id) is not flight:
            return  # given up already
        if commit.error is None and flight.id in commit.others:
            flight.task = asyncio.create_task(self._land_with_another(flight))
            return
        try:
            end = commit.error or Home(kept_outcome(fact, rollout), fact.seconds)
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for it
            end = error
        self._land(flight, end)

    async def _land_with_another(self, flight: Flight) -> None:
        """Another run has paid for the same cell meanwhile: what is on record decides."""
        try:
            end: Home | BaseException = _home((await self._lookups.facts([flight.id]))[flight.id])
        except BaseException as error:
            self._land(flight, error)
            if not isinstance(error, Exception):
                raise
        else:
            self._land(flight, end)

    async def _keep_failure(self, flight: Flight, attempt: str, error: AttemptFailed, seconds: float) -> Home:
        failure = Failure(flight.key, error.kind, error.message, flight.attempts)
        self._observe(failure, flight.known)  # before anybody who is let in now can start
        await self._book.failed(attempt, error)
        fact = failure_fact(failure, seconds, after=self._decided())
        await self._book.keep_failure(fact)
        return Home(kept_outcome(fact, failure), seconds)

    def _rest(self, flight: Flight, error: AttemptFailed) -> float | None:
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

    def _observe(self, result: Outcome, known: float) -> None:
        try:
            self._health.observe(result, known)
        except RunFailed as failure:
            self._queue.close(failure)

    async def _call(self, flight: Flight, dispatch: Dispatch) -> Answer | AttemptFailed:
        try:
            with self._deadline.running(flight.task):
                (answer,) = await self._executor.run([dispatch])
                return answer
        except AttemptFailed as error:
            return error
        except TimeoutError:
            return AttemptFailed(FailureKind.TIMEOUT, f"no answer within {self._deadline.seconds:g} s")


def _home(fact: Fact) -> Home:
    return Home(outcome(fact), fact.seconds)
