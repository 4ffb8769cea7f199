"""Several blocking calls at once, each with its own outcome."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
T = TypeVar("T")


def at_once(call: Callable[[A], T], arguments: Iterable[A], *, workers: int) -> list[T | Exception]:
    """`call(argument)` for each argument, in their order; what a call raised stands in its place.

    Up to `workers` threads, each with a copy of this one's context variables; one call needs no thread.
    """

    def settled(argument: A) -> T | Exception:
        try:
            return call(argument)
        except Exception as error:  # noqa: BLE001  (theirs, whatever it is; the caller sees it)
            return error

    asked = list(arguments)
    if len(asked) < 2 or workers < 2:
        return [settled(argument) for argument in asked]
    with ThreadPoolExecutor(min(workers, len(asked)), thread_name_prefix="paretune-call") as pool:
        futures = [pool.submit(contextvars.copy_context().run, settled, argument) for argument in asked]
        return [future.result() for future in futures]
