"""Driving one run from the command line: lock, signals, progress, evidence."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from paretune.cli.caps import keep
from paretune.cli.console import note
from paretune.cli.progress import Progress
from paretune.core.errors import Misconfigured, NotAvailable
from paretune.engine.lock import exclusive
from paretune.engine.prepare import Prepared
from paretune.engine.run import Runner
from paretune.propose.base import Proposer
from paretune.store import WORKSPACE, Store, open_store
from paretune.views.evidence import write_packet
from paretune.views.run_view import RunView, read

DEFAULT_STORE = Path(".paretune") / WORKSPACE


@dataclass(frozen=True, slots=True)
class Workspace:
    """A store and the readable folders beside it. As a context manager it closes the store."""

    store: Store
    folder: Path

    @classmethod
    def open(cls, path: Path | None, *, new: bool = False) -> Self:
        """The store at `path` (a file, or a folder that holds one), or the one of this folder.

        Only with `new` is one made where there is none. Raises Misconfigured or StoreError.
        """
        if path is not None and ":/" in str(path):
            raise NotAvailable("--store with the address of a database")
        place = path or DEFAULT_STORE
        if not new and not place.exists():
            raise Misconfigured(
                "--store", f"there is no store at {place} yet; start a run first: paretune demo"
            )
        store = open_store(place)
        return cls(store, place if place.is_dir() else place.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()

    def run_folder(self, run_id: str) -> Path:
        return self.folder / "runs" / run_id


async def drive(
    workspace: Workspace, run_id: str, ready: Prepared, proposer: Proposer, *, quiet: bool = False
) -> RunView:
    """Carry the run to its end or its rest, then write the evidence packet. Errors pass through."""
    folder = workspace.run_folder(run_id)
    rare_collections()
    with exclusive(folder, run_id), Progress(ready.job, quiet) as progress:
        keep(workspace.store, run_id, ready.job)
        runner = Runner(workspace.store, run_id, ready.job, ready.executor, proposer, watch=progress.watch)
        with _interruptible(runner.stop):
            try:
                await runner.run()
            finally:
                view = read(workspace.store, run_id)
                write_packet(view, folder)
    return view


def rare_collections() -> None:
    """For a process that does nothing else: a rollout leaves no cycles behind, and looking for some among all
    that is kept takes a tenth of the time."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@contextmanager
def _interruptible(stop: asyncio.Event) -> Iterator[None]:
    """The first signal lets the run come to rest; the second ends the process as it would."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)

    def rest() -> None:
        note("coming to rest; once more to stop at once")
        stop.set()
        for number in signals:
            loop.remove_signal_handler(number)

    for number in signals:
        loop.add_signal_handler(number, rest)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
