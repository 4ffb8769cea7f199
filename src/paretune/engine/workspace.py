"""A store and the readable folders beside it: where runs are kept, and who works on one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from paretune.core.errors import Misconfigured
from paretune.engine.lock import busy, exclusive, held
from paretune.store import WORKSPACE, Store, open_store

DEFAULT_STORE = Path(".paretune") / WORKSPACE


@dataclass(frozen=True, slots=True)
class Workspace:
    """`folder` holds the folders of runs; those of a database are where the user works. As a context
    manager it closes the store. `address` is what opens the same store in another process."""

    store: Store
    folder: Path
    address: str

    @classmethod
    def open(cls, address: str | None, *, new: bool = False) -> Self:
        """The store at `address` (a file, a folder that holds one, or a database), or the one of this folder.

        Only with `new` is a file made where there is none. Raises Misconfigured or StoreError; neither says a
        password.
        """
        if address is not None and "://" in address:
            return cls(open_store(address), DEFAULT_STORE.parent, address)
        if address is not None and ":/" in address:
            raise Misconfigured("--store", "a database's address reads postgresql://USER@HOST/NAME")
        place = Path(address) if address else DEFAULT_STORE
        if not new and not place.exists():
            raise Misconfigured(
                "--store", f"there is no store at {place} yet; start a run first: paretune demo"
            )
        store = open_store(place)
        return cls(store, place if place.is_dir() else place.parent, str(place.absolute()))

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
