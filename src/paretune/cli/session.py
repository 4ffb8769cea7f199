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
from paretune.core.errors import Misconfigured
from paretune.engine.lock import busy, exclusive, held
from paretune.engine.prepare import Prepared
from paretune.engine.run import Runner
from paretune.propose.base import Proposer
from paretune.store import WORKSPACE, Store, open_store
from paretune.views.evidence import write_packet
from paretune.views.run_view import RunView, read

DEFAULT_STORE = Path(".paretune") / WORKSPACE


@dataclass(frozen=True, slots=True)
class Workspace:
    """A store and the readable folders beside it; those of a database are where the user works. As a context
    manager it closes the store."""

    store: Store
    folder: Path

    @classmethod
    def open(cls, address: str | None, *, new: bool = False) -> Self:
        """The store at `address` (a file, a folder that holds one, or a database), or the one of this folder.

        Only with `new` is a file made where there is none. Raises Misconfigured or StoreError; neither says a
        password.
        """
        if address is not None and "://" in address:
            return cls(open_store(address), DEFAULT_STORE.parent)
        if address is not None and ":/" in address:
            raise Misconfigured("--store", "a database's address reads postgresql://USER@HOST/NAME")
        place = Path(address) if address else DEFAULT_STORE
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

    def at_work(self, run_id: str) -> bool:
        """True if a living process works on the run, wherever the store can tell."""
        if held(self.run_folder(run_id)):
            return True
        with self.store.claim(run_id) as nobody_else:
            return not nobody_else

    @contextmanager
    def exclusive(self, run_id: str) -> Iterator[None]:
        """Nobody else may work on the run meanwhile. Raises Busy."""
        with exclusive(self.run_folder(run_id), run_id), self.store.claim(run_id) as nobody_else:
            if not nobody_else:
                raise busy(run_id)
            yield


async def drive(
    workspace: Workspace, run_id: str, ready: Prepared, proposer: Proposer, *, quiet: bool = False
) -> RunView:
    """Carry the run to its end or its rest, then write the evidence packet. Errors pass through."""
    folder = workspace.run_folder(run_id)
    rare_collections()
    with workspace.exclusive(run_id), Progress(ready.job, quiet) as progress:
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
