"""A run's book: facts are looked up and kept, attempts booked, all committed in groups."""

from __future__ import annotations

import asyncio
import copy
import itertools
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

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

T = TypeVar("T")
Durable = asyncio.Future[frozenset[str]]
"""Done once durable: the keys of facts, in the whole group, that something else is kept for."""


class RunBook:
    """The only way by which a run writes. What a call returns from is on disk.

    Writes gather while a group is being committed, so that many rollouts share one disk flush.
    `now` gives the time as ISO text; it is written beside the facts and never read back.
    """

    def __init__(self, store: Store, run_id: str, *, now: Callable[[], str]) -> None:
        self.store = store
        self.run_id = run_id
        self._now = now
        self._pending: list[Write] = []
        self._waiting: list[Durable] = []
        self._at = ""
        self._writer: asyncio.Task[None] | None = None
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

    async def write(self, *writes: Write) -> frozenset[str]:
        """Returns once all of them are durable: the keys of facts, in the whole group, that something else
        is kept for. Raises StoreError as the store does.
        """
        return await self.post(*writes)

    def post(self, *writes: Write) -> Durable:
        """Write in this order behind what was posted before; done once durable. Who gives up waiting takes
        nothing back.

        After a group that could not be written nothing else is, and every further call raises its error:
        no record may have a gap.
        """
        if self._broken is not None:
            raise _again(self._broken)
        durable: Durable = asyncio.get_running_loop().create_future()
        self._waiting.append(durable)
        self._pending.extend(writes)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._commit_groups())
        return durable

    async def flush(self) -> None:
        """Returns once everything posted so far is durable. Raises StoreError if something is not."""
        if self._writer is not None:
            await asyncio.wait({self._writer})
        if self._broken is not None:
            raise _again(self._broken)

    async def _commit_groups(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            group, waiting = self._pending, self._waiting
            self._pending, self._waiting = [], []
            try:
                others = await loop.run_in_executor(self._writing, self.store.commit, self.run_id, group)
            except Exception as error:  # noqa: BLE001 - handed to every writer of the group
                self._break(error, waiting)
            else:
                for durable in waiting:
                    if not durable.done():
                        durable.set_result(others)

    def _break(self, error: Exception, group: list[Durable]) -> None:
        self._broken = error
        for durable in (*group, *self._waiting):
            if not durable.done():
                durable.set_exception(_again(error))
                durable.exception()  # looked at here, raised by whoever waits
        self._pending, self._waiting = [], []

    def _moment(self) -> str:
        """The time at which the group began to gather: one reading of the clock for all of it."""
        if not self._waiting:
            self._at = self._now()
        return self._at

    async def _read(self, read: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._reading, read, *arguments)

    async def known(self, keys: Iterable[str]) -> dict[str, Fact]:
        """Those of `keys` that have a fact this run may use, its own failures included."""
        return await self._read(self.store.facts, list(dict.fromkeys(keys)), self.run_id)

    async def draw(self, keys: Iterable[str]) -> None:
        """Note that the run uses these facts."""
        await self.write(*(Draw(key) for key in keys))

    async def begin(self, key: str, role: Role, number: int, reserved_usd: float) -> str:
        """Book an attempt before its call goes out; returns its id."""
        attempt, durable = self.begin_soon(key, role, number, reserved_usd)
        await durable
        return attempt

    def begin_soon(self, key: str, role: Role, number: int, reserved_usd: float) -> tuple[str, Durable]:
        """`begin` for who has something else to do meanwhile: the call may go out once it is durable."""
        attempt = f"a_{self._session}_{next(self._numbers)}"
        return attempt, self.post(AttemptBegun(attempt, key, role, number, reserved_usd, self._moment()))

    def unsent(self, attempt: str) -> None:
        """The call of this attempt will not go out."""
        if self.writable:
            _ = self.post(AttemptEnded(attempt, "unsent", at=self._moment()))

    async def done(self, attempt: str, fact: Fact, usage: Usage, seconds: float) -> bool:
        """The attempt's result and its end, in one transaction; its own call took so many seconds.

        True if this result is the one that is kept: a resumed run will find `as_stored(fact)`. False if
        there is another, which `known` gives; it stays.
        """
        at = self._moment()
        kept = Fact(fact.key, fact.kind, fact.body, fact.scope, self.run_id, fact.seconds, at)
        tokens = (usage.prompt_tokens, usage.completion_tokens)
        end = AttemptEnded(attempt, "done", "", "", *tokens, usage.cost_usd, seconds, at)
        return fact.key not in await self.post(kept, end)

    async def failed(self, attempt: str, error: AttemptFailed) -> None:
        await self.write(
            AttemptEnded(attempt, "failed", failure=error.kind, message=error.message, at=self._moment())
        )

    async def keep_failure(self, fact: Fact) -> None:
        """All attempts failed: the run (and no other) goes on without this result."""
        await self.write(
            replace(fact, scope=self.run_id, paid_by=self.run_id, at=self._moment()), Draw(fact.key)
        )

    def decide(self, decision: StoredDecision) -> None:
        """Put on record without waiting: what follows from durable facts would be decided the same again."""
        _ = self.post(replace(decision, at=self._moment()))

    async def status(self, status: RunStatus, detail: str = "", *, clear_wish: bool = False) -> None:
        """Where the run stands. Tried even after a group that could not be written."""
        self._broken = None
        await self.write(StatusSet(status, detail, clear_wish))

    async def run(self) -> Run:
        return await self._read(self.store.run, self.run_id)

    async def lose_unfinished(self) -> list[Attempt]:
        """Book the attempts that a killed process left open as lost; returns all attempts of the run."""
        attempts = await self._read(self.store.attempts, self.run_id)
        open_ones = [attempt for attempt in attempts if attempt.ended is None]
        if open_ones:
            await self.write(*(AttemptEnded(a.begun.id, "lost", at=self._moment()) for a in open_ones))
        return [a if a.ended else Attempt(a.begun, AttemptEnded(a.begun.id, "lost")) for a in attempts]

    async def close(self) -> None:
        """Wait for what is being written, then let the threads go. The store stays open."""
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
