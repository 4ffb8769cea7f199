"""The evaluator: known facts, then the queue, all on the ledger. The only way to score anything."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from paretune.core.budget import Ledger
from paretune.core.canonical import digest
from paretune.core.errors import AttemptFailed, FailureKind, Paused, RunFailed
from paretune.core.retry import RetryPolicy, retrying
from paretune.core.rollout import Answer, Failure, Identity, Outcome, Rollout, RolloutKey, RolloutRequest
from paretune.evaluate.executors import Dispatch, Executor
from paretune.evaluate.facts import failure_fact, outcome, priced, rollout_fact
from paretune.evaluate.health import Health
from paretune.store.base import Fact
from paretune.store.book import RunBook


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """`concurrency` rollouts in flight at most; each attempt has `deadline` seconds."""

    concurrency: int = 8
    deadline: float = 120.0
    retry: RetryPolicy = RetryPolicy()


class Evaluator:
    """Scores candidates on examples, each question at most once.

    `price` gives the money to reserve for one rollout; `decided` the number of decisions so far.
    """

    def __init__(
        self,
        book: RunBook,
        ledger: Ledger,
        executor: Executor,
        identity: Identity,
        *,
        queue: QueueSettings = QueueSettings(),
        health: Health | None = None,
        price: Callable[[], float] = lambda: 0.0,
        decided: Callable[[], int] = lambda: 0,
    ) -> None:
        self._book = book
        self._ledger = ledger
        self._executor = executor
        self._identity = identity
        self._queue = queue
        self._health = health or Health()
        self._price = price
        self._decided = decided
        self._slots = asyncio.Semaphore(queue.concurrency)
        self._flights: dict[str, asyncio.Task[Outcome]] = {}
        self._reused: set[str] = set()
        self._broken: RunFailed | Paused | None = None

    @property
    def in_flight(self) -> int:
        return len(self._flights)

    def keys(self, requests: Sequence[RolloutRequest]) -> list[str]:
        """The fact keys of these requests, for asking the ledger what they would cost."""
        return [request.key(self._identity).id for request in requests]

    async def evaluate(self, requests: Sequence[RolloutRequest]) -> list[Outcome]:
        """Outcomes in the order of the requests; a failure stands in its place.

        Raises BudgetExceeded before anything is asked if the rollouts do not fit, and RunFailed when
        too many fail. Calls already out are awaited before an error is passed on.
        """
        keys = [request.key(self._identity) for request in requests]
        self._ledger.draw(key.id for key in keys)
        known = await self._book.known(key.id for key in keys)
        await self._take_over(known)
        flights: list[asyncio.Task[Outcome] | Outcome] = []
        for request, key in zip(requests, keys, strict=True):
            fact = known.get(key.id)
            flights.append(outcome(fact) if fact else self._flight(request, key))
        out = [flight for flight in flights if isinstance(flight, asyncio.Task)]
        if out:
            await asyncio.wait(out)
        if self._broken:
            raise self._broken
        for flight in out:
            flight.result()
        if not out:
            return [flight for flight in flights if not isinstance(flight, asyncio.Task)]
        # Read back what was kept: what decides now is exactly what a resumed run will find, the order of
        # its keys included, and another run may have paid for the same cell meanwhile.
        kept = await self._book.known(key.id for key in keys)
        return [outcome(kept[key.id]) for key in keys]

    async def _take_over(self, known: Mapping[str, Fact]) -> None:
        """Note facts that another run paid for, each once."""
        foreign = {key for key, fact in known.items() if fact.paid_by != self._book.run_id} - self._reused
        if not foreign:
            return
        self._reused |= foreign
        await self._book.draw(sorted(foreign))
        for _ in foreign:
            self._ledger.reuse("rollout")

    async def drain(self, seconds: float) -> None:
        """Start nothing more, and give the calls that are out `seconds` to come home."""
        self._broken = self._broken or Paused("the evaluator is closing")
        flights = list(self._flights.values())
        if flights:
            _, late = await asyncio.wait(flights, timeout=seconds)
            for flight in late:
                flight.cancel()
            await asyncio.gather(*flights, return_exceptions=True)

    def _flight(self, request: RolloutRequest, key: RolloutKey) -> asyncio.Task[Outcome]:
        """The one call for this key: whoever asks meanwhile waits for the same answer."""
        flight = self._flights.get(key.id)
        if flight is None:
            flight = asyncio.create_task(self._run(request, key))
            self._flights[key.id] = flight
            flight.add_done_callback(self._landed(key.id))
        return flight

    def _landed(self, key: str) -> Callable[[asyncio.Task[Outcome]], None]:
        def landed(flight: asyncio.Task[Outcome]) -> None:
            self._flights.pop(key, None)
            if not flight.cancelled():
                flight.exception()  # looked at here, raised by whoever asked

        return landed

    async def _run(self, request: RolloutRequest, key: RolloutKey) -> Outcome:
        dispatch = Dispatch(request, "ro_" + digest([self._book.run_id, key.id], 32), self._book.run_id)
        attempts = 0

        async def attempt(number: int) -> Answer:
            nonlocal attempts
            attempts = number
            return await self._attempt(dispatch, key, number)

        async with self._slots:
            if self._broken:
                raise self._broken
            try:
                answer = await retrying(attempt, self._queue.retry, sleep=asyncio.sleep, rng=random.Random())
            except AttemptFailed as error:
                failure = Failure(key, error.kind, error.message, attempts)
                await self._book.keep_failure(failure_fact(failure, after=self._decided()))
                self._observe(failure)
                return failure
        rollout = Rollout(key, answer)
        self._observe(rollout)
        return rollout

    def _observe(self, result: Outcome) -> None:
        try:
            self._health.observe(result)
        except RunFailed as error:
            self._broken = error

    async def _attempt(self, dispatch: Dispatch, key: RolloutKey, number: int) -> Answer:
        """One call, booked before it goes out and settled with its result."""
        usd = self._price()
        reservation = f"{key.id}/{number}"
        usd = self._ledger.reserve(reservation, usd)
        attempt = await self._book.begin(key.id, "rollout", number, usd)
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._queue.deadline):
                (answer,) = await self._executor.run([dispatch])
        except TimeoutError:
            answer = AttemptFailed(FailureKind.TIMEOUT, f"no answer within {self._queue.deadline:g} s")
        if isinstance(answer, AttemptFailed):
            self._ledger.give_up(reservation, "rollout", answer.kind, usd)
            await self._book.failed(attempt, answer)
            raise answer
        paid = priced(answer.usage, usd)
        self._ledger.settle(reservation, "rollout", paid, time.monotonic() - began)
        await self._book.done(attempt, rollout_fact(Rollout(key, answer)), paid)
        return answer
