"""One run in a folder: `workspace.sqlite` with exactly that run's rows. What else lies there is for people.

Only that file is ever read, and only as a database: no pickles, no paths taken from what it says.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

from paretune.store.base import Draw, Fact, Run, Store, StoredDecision, StoreError, Write
from paretune.store.chain import chain
from paretune.store.databases import SqliteFile
from paretune.store.sql import SqlStore

WORKSPACE = "workspace.sqlite"


def export_run(store: Store, run_id: str, folder: Path) -> Path:
    """Write the run to `folder`, made if it does not exist; returns the folder.

    The file appears whole or not at all. Raises StoreError if one is there already, or a symbolic link.
    """
    run, writes = _read(store, run_id)
    part = folder / f".{WORKSPACE}.{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _refuse_links(folder)
        if (folder / WORKSPACE).exists():
            raise StoreError(f"{folder / WORKSPACE}: exists already; name another folder")
        _write(part, run, writes)
        part.rename(folder / WORKSPACE)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror}; name a folder where you may write") from error
    finally:
        for path in _with_logs(part):
            if os.path.lexists(path):
                path.unlink()
    return folder


def import_run(folder: Path, store: Store) -> str:
    """Add the run of an export to a store; returns its id.

    A fact that the store knows otherwise becomes the run's own: the run keeps what it decided upon, and
    the others keep theirs. Raises StoreError if the store has the run, the folder does not hold exactly
    one, or a decision was changed after it was written.
    """
    _refuse_links(folder)
    if not (folder / WORKSPACE).is_file():
        raise StoreError(f"{folder}: holds no {WORKSPACE}; name the folder of an export")
    source = SqlStore(folder / WORKSPACE, read_only=True)
    try:
        found = source.runs()
        if len(found) != 1:
            raise StoreError(f"{source.name}: holds {len(found)} runs; an export holds one")
        run, writes = _read(source, found[0].id)
    finally:
        source.close()
    _check_chain(source.name, run.id, writes)
    known = store.facts([write.key for write in writes if isinstance(write, Fact)])
    _add(store, run, [_kept(run.id, write, known) for write in writes])
    return run.id


def _read(store: Store, run_id: str) -> tuple[Run, list[Write]]:
    """All that the store has of this run, as it can be committed elsewhere."""
    run = store.run(run_id)
    # The log first: what it refers to was written before it, so it is there even while the run goes on.
    log = store.decisions(run.id)
    drawn = store.drawn(run.id)
    attempts = store.attempts(run.id)
    return run, [
        *store.facts(drawn, run.id).values(),
        *(Draw(key) for key in drawn),
        *log,
        *(attempt.begun for attempt in attempts),
        *(attempt.ended for attempt in attempts if attempt.ended),
    ]


def _write(path: Path, run: Run, writes: Iterable[Write]) -> None:
    target = SqlStore(path)
    try:
        target.create_run(run)
        target.commit(run.id, list(writes))
    finally:
        target.close()
    SqliteFile(path).as_single_file()


def _add(store: Store, run: Run, writes: list[Write]) -> None:
    """An import that broke off before its one commit has left the run and nothing else: go on from there."""
    there = next((known for known in store.runs() if known.id == run.id), None)
    if there is None:
        store.create_run(run)
    elif there != run or store.decisions(run.id) or store.drawn(run.id) or store.attempts(run.id):
        raise StoreError(f"run {run.id} exists already")
    store.commit(run.id, writes)


def _kept(run_id: str, write: Write, known: Mapping[str, Fact]) -> Write:
    if not isinstance(write, Fact) or write.key not in known:
        return write
    other = known[write.key]
    same = (other.kind, other.body) == (write.kind, write.body)
    return write if same else write._replace(scope=run_id)


def _check_chain(name: str, run_id: str, writes: Iterable[Write]) -> None:
    link = run_id
    for decision in writes:
        if isinstance(decision, StoredDecision):
            link = chain(link, decision.key, decision.body)
            if link != decision.chain:
                raise StoreError(f"{name}: decision {decision.seq} was changed after it was written")


def _refuse_links(folder: Path) -> None:
    for path in (folder, *_with_logs(folder / WORKSPACE)):
        if path.is_symlink():
            raise StoreError(f"{path}: is a symbolic link; name the folder itself")


def _with_logs(file: Path) -> list[Path]:
    """The file and those that SQLite keeps beside it."""
    return [file, *(file.with_name(file.name + ending) for ending in ("-wal", "-shm", "-journal"))]
