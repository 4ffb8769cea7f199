"""One process per run: a lock that the system frees when its holder dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from paretune.core.errors import ParetuneError


class Busy(ParetuneError):
    """Another process works on this run."""


@contextmanager
def exclusive(folder: Path, run_id: str) -> Iterator[None]:
    """Hold the run. Raises Busy at once if a living process holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise Busy(f"another process is working on {run_id}; pause it first, or wait") from error
    try:
        yield
    finally:
        lock.release()
