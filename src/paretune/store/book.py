"""A run's book: facts are looked up and kept, attempts booked, all committed in groups."""

from __future__ import annotations

import asyncio
import copy
import itertools
import uuid
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from paretune.core.errors import AttemptFailed
from paretune.core.rollout import Usage
from paretune.store.base import (
    Attempt,
    AttemptBegun,
    AttemptEnded,
    Draw,
    Fact,
    Role,
    Run,
    RunStatus,
    StatusSet,
    Store,
    StoredDecision,
    StoreError,
    Write,
)
from paretune.store.memory import MemoryStore

T = TypeVar("T")
GATHERING_SECONDS = 0.01
"""At most this long for a group that still grows."""
DECISIONS_SECONDS = 0.02
"""So long do decisions wait for a write that takes them along."""


class Commit:
    """Writes that share a transaction. Await it: done once they are durable.

    `at` is the time at which the first of them was posted. `others` are the keys of its facts that something
    else is kept for, `error` is why nothing was written; both are there when it is done.
    """

    __slots__ = ("_done", "_told", "at", "error", "others", "writes")

    def __init__(self, at: str) -> None:
        self.at = at
        self.writes: list[Write] = []
        self.others: frozenset[str] = frozenset()
        self.error: Exception | None = None
        self._done = False
        self._told: list[Callable[[Commit], None]] = []

    def done(self) -> bool:
        return self._done

    def then(self, tell: Callable[[Commit], None]) -> None:
        """`tell` is called once it is done, in the order of asking; now, if it is."""
        if self._done:
            tell(self)
        else:
            self._told.append(tell)

    def __await__(self) -> Generator[Any, None, frozenset[str]]:
        """Raises StoreError as the store does. Who gives up waiting takes nothing back."""
        if not self._done:
            over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.then(lambda commit: None if over.done() else over.set_result(None))
            yield from over
        if self.error is not None:
            raise _again(self.error)
        return self.others

    def end(self, others: frozenset[str], error: Exception | None = None) -> None:
        """For who has committed it."""
        self.others, self.error, self._done = others, error, True
        told, self._told, self.writes = self._told, [], []
        for tell in told:
            tell(self)


class RunBook:
    """The only way by which a run writes. What a call returns from is on disk.

    Writes gather while a group is being committed, so that many rollouts share one disk flush.
    `now` gives the time as ISO text; it is written beside the facts and never read back.
    """

    def __init__(self, store: Store, run_id: str, *, now: Callable[[], str]) -> None:
        self.store = store
        self.run_id = run_id
        self._now = now
        self._next: Commit | None = None
        self._writer: asyncio.Task[None] | None = None
        self._later: asyncio.TimerHandle | None = None
        # Who reads does not stand behind a group that is being flushed.
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="paretune-store-write")
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="paretune-store-read")
        self._broken: Exception | None = None
        self._session = uuid.uuid4().hex[:8]
        self._numbers = itertools.count(1)

    @property
    def writable(self) -> bool:
        """False after a group that could not be written."""
        return self._broken is None

    @property
    def moment(self) -> str:
        """The time at which the group that is written next began to gather."""
        return self._open().at

    def post(self, *writes: Write) -> Commit:
        """Write in this order behind what was posted before.

        After a group that could not be written nothing else is, and every further call raises its error:
        no record may have a gap.
        """
        commit = self._gathering()
        commit.writes += writes
        return commit

    def _gathering(self) -> Commit:
        """The group that is written next, as soon as may be."""
        commit = self._open()
        self._write()
        return commit

    def _open(self) -> Commit:
        """The same, without any hurry."""
        if self._next is None:
            if self._broken is not None:
                raise _again(self._broken)
            self._next = Commit(self._now())
        return self._next

    def _write(self) -> None:
        """Begin to write what was posted."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._next is not None and (self._writer is None or self._writer.done()):
            self._writer = asyncio.create_task(self._commit_groups())

    async def flush(self) -> None:
        """Returns once everything posted so far is durable. Raises StoreError if something is not."""
        self._write()
        if self._writer is not None:
            await asyncio.wait({self._writer})
        if self._broken is not None:
            raise _again(self._broken)

    async def _commit_groups(self) -> None:
        loop = asyncio.get_running_loop()
        while self._next is not None:
            await self._gathered(self._next, loop)
            commit, self._next = self._next, None
            try:
                others = await self._aside(self._writing, self.store.commit, self.run_id, commit.writes)
            except Exception as error:  # noqa: BLE001 - handed to every writer of the group
                self._break(error, commit)
            else:
                commit.end(others)

    async def _gathered(self, commit: Commit, loop: asyncio.AbstractEventLoop) -> None:
        """Returns when it grows no more: who is about to write anyway shall not have to wait for the next."""
        size, end = 0, loop.time() + GATHERING_SECONDS
        while size < len(commit.writes) and loop.time() < end:
            size = len(commit.writes)
            await asyncio.sleep(0)

    def _break(self, error: Exception, commit: Commit) -> None:
        self._broken, behind, self._next = error, self._next, None
        for failed in filter(None, (commit, behind)):
            failed.end(frozenset(), error)

    async def _read(self, read: Callable[..., T], *arguments: object) -> T:
        return await self._aside(self._reading, read, *arguments)

    async def _aside(self, thread: Executor, work: Callable[..., T], *arguments: object) -> T:
        """In a thread, so that a disk keeps nobody waiting; what is in memory is done sooner right here."""
        if type(self.store) is MemoryStore:
            return work(*arguments)
        return await asyncio.get_running_loop().run_in_executor(thread, work, *arguments)

    async def known(self, keys: Iterable[str]) -> dict[str, Fact]:
        """Those of `keys` that have a fact this run may use, its own failures included."""
        return await self._read(self.store.facts, list(dict.fromkeys(keys)), self.run_id)

    async def draw(self, keys: Iterable[str]) -> None:
        """Note that the run uses these facts."""
        await self.post(*(Draw(key) for key in keys))

    async def begin(self, key: str, role: Role, number: int, reserved_usd: float) -> str:
        """Book an attempt before its call goes out; returns its id."""
        attempt, commit = self.begin_soon(key, role, number, reserved_usd)
        await commit
        return attempt

    def begin_soon(self, key: str, role: Role, number: int, reserved_usd: float) -> tuple[str, Commit]:
        """`begin` for who has something else to do meanwhile: the call may go out once it is durable."""
        attempt = f"a_{self._session}_{next(self._numbers)}"
        commit = self._gathering()
        commit.writes.append(AttemptBegun(attempt, key, role, number, reserved_usd, commit.at))
        return attempt, commit

    def unsent(self, attempt: str) -> None:
        """The call of this attempt will not go out."""
        if self.writable:
            _ = self.post(AttemptEnded(attempt, "unsent", at=self.moment))

    async def done(self, attempt: str, fact: Fact, usage: Usage, seconds: float) -> bool:
        """The attempt's result and its end, in one transaction; its own call took so many seconds.

        True if this result is the one that is kept: a resumed run will find `as_stored(fact)`. False if
        there is another, which `known` gives; it stays.
        """
        return fact.key not in await self.done_soon(attempt, fact, usage, seconds)

    def done_soon(self, attempt: str, fact: Fact, usage: Usage, seconds: float) -> Commit:
        """`done` for who does not wait here: another result is kept if the commit's `others` hold the key."""
        commit = self._gathering()
        if not fact.paid_by:
            fact = fact._replace(paid_by=self.run_id, at=commit.at)
        tokens = (usage.prompt_tokens, usage.completion_tokens)
        end = AttemptEnded(attempt, "done", "", "", *tokens, usage.cost_usd, seconds, commit.at)
        commit.writes += (fact, end)
        return commit

    async def failed(self, attempt: str, error: AttemptFailed) -> None:
        await self.post(AttemptEnded(attempt, "failed", error.kind, error.message, at=self.moment))

    async def keep_failure(self, fact: Fact) -> None:
        """All attempts failed: the run (and no other) goes on without this result."""
        kept = fact._replace(scope=self.run_id, paid_by=self.run_id, at=self.moment)
        await self.post(kept, Draw(fact.key))

    def decide(self, decision: StoredDecision) -> None:
        """Put on record without waiting: what follows from durable facts would be decided the same again.

        It goes with the next write that somebody waits for, or soon by itself.
        """
        commit = self._open()
        commit.writes.append(replace(decision, at=commit.at))
        if self._later is None and (self._writer is None or self._writer.done()):
            self._later = asyncio.get_running_loop().call_later(DECISIONS_SECONDS, self._write)

    async def status(self, status: RunStatus, detail: str = "", *, clear_wish: bool = False) -> None:
        """Where the run stands. Tried even after a group that could not be written."""
        self._broken = None
        await self.post(StatusSet(status, detail, clear_wish))

    async def run(self) -> Run:
        return await self._read(self.store.run, self.run_id)

    async def lose_unfinished(self) -> list[Attempt]:
        """Book the attempts that a killed process left open as lost; returns all attempts of the run."""
        attempts = await self._read(self.store.attempts, self.run_id)
        open_ones = [attempt for attempt in attempts if attempt.ended is None]
        if open_ones:
            at = self.moment
            await self.post(*(AttemptEnded(a.begun.id, "lost", at=at) for a in open_ones))
        return [a if a.ended else Attempt(a.begun, AttemptEnded(a.begun.id, "lost")) for a in attempts]

    async def close(self) -> None:
        """Wait for what is being written, then let the threads go. The store stays open."""
        self._write()
        if self._writer is not None:
            await asyncio.gather(self._writer, return_exceptions=True)
        self._writing.shutdown(wait=True)
        self._reading.shutdown(wait=True)


def _again(error: Exception) -> Exception:
    """The error for one more caller, who raises it from a place of its own: a single one would be raised by
    all of them, and hold on to the frames of each."""
    try:
        again = copy.copy(error)
    except TypeError:  # its arguments are not those that it is made from
        again = StoreError(f"{type(error).__name__}: {error}")
    again.__cause__ = error
    return again
