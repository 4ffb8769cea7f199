"""A loop whose clock jumps to the next moment at which something is due, once all threads are home."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Jumping(selectors.DefaultSelector):
    """Waits for nothing but threads; for everything else the clock is put forward."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if found or timeout == 0:
            return found
        if self.loop.threads or timeout is None:
            return super().select(1.0)
        self.loop.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """`now` is its time in seconds. Sleeping takes none of yours."""

    def __init__(self, now: float = 0.0) -> None:
        selector = _Jumping()
        selector.loop = self
        self.now, self.threads = now, 0
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        self.threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._home)
        return future

    def _home(self, _: asyncio.Future[Any]) -> None:
        self.threads -= 1


def run_virtual(work: Coroutine[Any, Any, T], now: float = 0.0) -> tuple[T, float]:
    """The result, and how many virtual seconds it took."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(now)) as runner:
        result = runner.run(work)
        return result, runner.get_loop().time() - now
