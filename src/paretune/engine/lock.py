"""One process per run: a lock that the system frees when its holder dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from paretune.core.errors import ParetuneError

LOCK = ".lock"


class Busy(ParetuneError):
    """Another process works on this run."""


def busy(run_id: str) -> Busy:
    return Busy(f"another process is working on {run_id}; pause it first, or wait")


def held(folder: Path) -> bool:
    """True if a living process works on the run of this folder."""
    if not (folder / LOCK).is_file():
        return False
    try:
        with FileLock(folder / LOCK, timeout=0):
            return False
    except Timeout:
        return True


@contextmanager
def exclusive(folder: Path, run_id: str) -> Iterator[None]:
    """Hold the run. Raises Busy at once if a living process holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise busy(run_id) from error
    try:
        yield
    finally:
        lock.release()
