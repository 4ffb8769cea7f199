"""One deadline for many calls at once."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any


class Deadline:
    """Gives each block `with deadline.running():` so many seconds, and then raises TimeoutError in it.

    Does what asyncio.timeout does with one timer for all: they are equally long, so the oldest is due first.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._blocks: dict[Running, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def running(self, task: asyncio.Task[Any] | None = None) -> Running:
        """For the current task, which may be given by who has it at hand."""
        return Running(self, task)

    def begin(self, block: Running, loop: asyncio.AbstractEventLoop) -> None:
        if loop is not self._loop:  # what an earlier loop left behind never rings
            self._loop, self._timer, self._blocks = loop, None, {}
        block.due = loop.time() + self.seconds
        self._blocks[block] = None
        if self._timer is None:
            self._timer = loop.call_at(block.due, self._ring, loop)

    def end(self, block: Running) -> None:
        self._blocks.pop(block, None)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        now, self._timer = loop.time(), None
        for block in self._blocks:
            if block.due > now:
                self._timer = loop.call_at(block.due, self._ring, loop)
                return
            block.expire()


class Running:
    """A block under a deadline, in the task that entered it."""

    __slots__ = ("_cancelling", "_deadline", "_expired", "_given", "_task", "due")

    due: float

    def __init__(self, deadline: Deadline, task: asyncio.Task[Any] | None) -> None:
        self._deadline = deadline
        self._given = task
        self._expired = False

    def __enter__(self) -> None:
        task = self._given or asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline needs a task that it can end")
        self._task, self._cancelling = task, task.cancelling()
        self._deadline.begin(self, task.get_loop())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadline.end(self)
        # Somebody else may have cancelled the task as well: that goes before.
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        if not self._expired:
            self._expired = True
            self._task.cancel()
