"""The far side of the queue: time that a test moves, and a task that answers as told."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Generic, TypeVar

from paretune.core.budget import Ledger, Limits
from paretune.core.candidate import Candidate
from paretune.core.errors import AttemptFailed, FailureKind
from paretune.core.example import Example, Split
from paretune.core.retry import RetryPolicy
from paretune.core.rollout import Answer, Identity, RolloutRequest, Usage
from paretune.evaluate.evaluator import Evaluator, QueueSettings
from paretune.evaluate.executors import Dispatch
from paretune.evaluate.health import Health
from paretune.evaluate.lookups import Lookups
from paretune.store import Fact, MemoryStore, Run
from paretune.store.book import RunBook

T = TypeVar("T")
PATIENT = QueueSettings(concurrency=4, retry=RetryPolicy(attempts=2, base=0.01))
IDENTITY = Identity("task", "1", "policy")
RUN = "run_1"


class Clock:
    """Seconds that pass only when a test lets them. The clock itself, and `sleep` to wait by it."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        over = asyncio.get_running_loop().create_future()
        heappush(self._sleepers, (self.now + seconds, next(self._numbers), over))
        await over

    async def advance(self, seconds: float) -> None:
        """Let time pass; everybody whose sleep ends meanwhile wakes in order."""
        end = self.now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self._wake()
            await settle()
        self.now = end

    async def carry(self, work: Awaitable[T]) -> T:
        """Await this; time jumps to the next sleeper whenever nobody has anything else to do."""
        task = asyncio.ensure_future(work)
        while not task.done():
            if await _idle() and not task.done():
                self._wake()
            else:
                await asyncio.sleep(0.0005)
        return task.result()

    def _wake(self) -> None:
        """Everybody who sleeps until the next moment at which somebody wakes."""
        while self._sleepers and self._sleepers[0][2].done():
            heappop(self._sleepers)  # cancelled
        if self._sleepers:
            self.now = max(self.now, self._sleepers[0][0])
        while self._sleepers and self._sleepers[0][0] <= self.now:
            over = heappop(self._sleepers)[2]
            if not over.done():
                over.set_result(None)


async def settle() -> None:
    """Let every coroutine of this loop go as far as it can (threads aside)."""
    for _ in range(25):
        await asyncio.sleep(0)


STORE_WORK = {RunBook._commit_groups.__qualname__, Lookups._read_groups.__qualname__}


async def _idle() -> bool:
    """True if the store's thread had nothing to do while everybody went on from its last answer."""
    for _ in range(25):
        await asyncio.sleep(0)
        if any(getattr(task.get_coro(), "__qualname__", "") in STORE_WORK for task in asyncio.all_tasks()):
            return False
    return True


Script = Callable[[Dispatch, int], Answer | AttemptFailed]
"""The answer to a dispatch; told how often this one was asked, from 1."""


def right(dispatch: Dispatch, asked: int) -> Answer | AttemptFailed:
    """Keys in no alphabetical order, so that a test sees what a record does to them."""
    data = {"solved": 1.0, "brevity": 0.25}
    return Answer(0.5, objectives=data, trace={"z": [1], "a": {"y": 2, "b": 3}}, usage=Usage(10, 2, 0.001))


def failed(kind: FailureKind, message: str = "no", retry_after: float | None = None) -> AttemptFailed:
    return AttemptFailed(kind, message, retry_after)


UNREACHABLE = failed(
    FailureKind.UNREACHABLE,
    "no connection to http://task.example:8001/a: Cannot connect to host task.example:8001 ssl:default "
    "[Connect call failed ('10.1.2.3', 8001)]",
)


@dataclass(slots=True)
class FarSide:
    """An executor. Each call takes `seconds` on the clock; `order` is the examples asked for, in order."""

    clock: Clock
    script: Script = right
    seconds: float = 0.1
    order: list[str] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    most_in_flight: int = 0
    _reached: dict[int, asyncio.Event] = field(default_factory=dict)

    async def run(self, batch: Sequence[Dispatch]) -> list[Answer | AttemptFailed]:
        return [await self.one(dispatch) for dispatch in batch]

    async def one(self, dispatch: Dispatch) -> Answer | AttemptFailed:
        self.order.append(dispatch.request.example.id)
        self.moments.append(self.clock.now)
        self.asked[dispatch.rollout_id] += 1
        self.come_in()
        try:
            await self.clock.sleep(self.seconds)
            return self.script(dispatch, self.asked[dispatch.rollout_id])
        finally:
            self.in_flight -= 1

    def come_in(self) -> None:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        if self.in_flight in self._reached:
            self._reached[self.in_flight].set()

    async def busy(self, calls: int) -> None:
        """Returns once so many calls were out at the same time."""
        if self.most_in_flight < calls:
            await self._reached.setdefault(calls, asyncio.Event()).wait()


class LookedAt(MemoryStore):
    """Remembers how many keys each lookup was for."""

    def __init__(self) -> None:
        super().__init__()
        self.lookups: list[int] = []

    def facts(self, keys: Sequence[str], scope: str = "") -> dict[str, Fact]:
        self.lookups.append(len(keys))
        return super().facts(keys, scope)


F = TypeVar("F", bound=FarSide)


@dataclass(slots=True)
class Room(Generic[F]):
    """An evaluator with everything around it."""

    clock: Clock
    far: F
    store: LookedAt
    book: RunBook
    ledger: Ledger
    evaluator: Evaluator


@asynccontextmanager
async def room_with(
    far: F,
    queue: QueueSettings = PATIENT,
    *,
    limits: Limits = Limits(),
    store: LookedAt | None = None,
    run_id: str = RUN,
    tolerance: float = 1.0,
    price: float = 0.0,
) -> AsyncIterator[Room[F]]:
    """Everything in its place around this far side."""
    store = store or LookedAt()
    store.create_run(Run(run_id, "", "", {}))
    book, ledger = RunBook(store, run_id, now=lambda: ""), Ledger(limits)
    evaluator = Evaluator(
        book,
        ledger,
        far,
        IDENTITY,
        queue=queue,
        health=Health(tolerance),
        price=lambda: price,
        clock=far.clock,
        sleep=far.clock.sleep,
    )
    try:
        yield Room(far.clock, far, store, book, ledger, evaluator)
    finally:
        await evaluator.drain(0.02)
        await book.close()


def room(
    script: Script = right,
    queue: QueueSettings = PATIENT,
    *,
    seconds: float = 0.1,
    limits: Limits = Limits(),
    store: LookedAt | None = None,
    run_id: str = RUN,
    tolerance: float = 1.0,
    price: float = 0.0,
) -> AbstractAsyncContextManager[Room[FarSide]]:
    """The same around a task that answers by this script, each time after so many seconds."""
    far = FarSide(Clock(), script, seconds)
    return room_with(far, queue, limits=limits, store=store, run_id=run_id, tolerance=tolerance, price=price)


def requests(*examples: str | int, text: str = "Hi") -> list[RolloutRequest]:
    candidate = Candidate({"prompt": text})
    return [RolloutRequest(candidate, Example(str(e), Split.PARETO, {"seed": str(e)})) for e in examples]


def ids(asked: Iterable[RolloutRequest]) -> list[str]:
    return [request.key(IDENTITY).id for request in asked]
