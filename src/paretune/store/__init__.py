"""The store: runs with their facts, decisions and attempts, in memory, in a file or in PostgreSQL; and a
server's jobs beside them."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path

from paretune.store.base import (
    Attempt,
    AttemptBegun,
    AttemptEnded,
    Draw,
    Fact,
    FactKind,
    Role,
    Run,
    RunStatus,
    StatusSet,
    Store,
    StoredDecision,
    StoreError,
    UnknownRun,
    Wish,
    Write,
)
from paretune.store.chain import chain
from paretune.store.files import WORKSPACE, export_run, import_run
from paretune.store.jobs import (
    JobEvent,
    JobFilter,
    Jobs,
    JobState,
    Scope,
    StoredJob,
    StoredKey,
    StoredSystem,
    UnknownJob,
    UnknownKey,
    UnknownSystem,
    new_job_id,
)
from paretune.store.memory import MemoryStore
from paretune.store.rows import as_stored
from paretune.store.sql import SqlStore
from paretune.store.sql_jobs import SqlJobs
from paretune.store.verifiers import SqlVerifiers, StoredVerifier, UnknownVerifier

__all__ = [
    "WORKSPACE",
    "Attempt",
    "AttemptBegun",
    "AttemptEnded",
    "Draw",
    "Fact",
    "FactKind",
    "JobEvent",
    "JobFilter",
    "JobState",
    "Jobs",
    "MemoryStore",
    "Role",
    "Run",
    "RunStatus",
    "Scope",
    "SqlJobs",
    "SqlStore",
    "SqlVerifiers",
    "StatusSet",
    "Store",
    "StoreError",
    "StoredDecision",
    "StoredJob",
    "StoredKey",
    "StoredSystem",
    "StoredVerifier",
    "UnknownJob",
    "UnknownKey",
    "UnknownRun",
    "UnknownSystem",
    "UnknownVerifier",
    "Wish",
    "Write",
    "as_stored",
    "chain",
    "export_run",
    "import_run",
    "new_job_id",
    "new_run_id",
    "open_jobs",
    "open_store",
    "open_verifiers",
]


def open_store(place: Path | str | None = None) -> Store:
    """The store at `place`: a file (made if it does not exist), a folder that holds a `workspace.sqlite`,
    `:memory:`, or a PostgreSQL URL. Without one: `.paretune/workspace.sqlite` under the current folder.

    Raises StoreError.
    """
    return MemoryStore() if str(place) == ":memory:" else SqlStore(_found(place))


def open_jobs(place: Path | str | None = None) -> Jobs:
    """The jobs of the store at `place`, as `open_store` finds it; not in memory, since workers share them.

    Raises StoreError.
    """
    if str(place) == ":memory:":
        raise StoreError("jobs are not kept in memory; name a file or a PostgreSQL URL")
    return SqlJobs(_found(place))


def open_verifiers(place: Path | str | None = None) -> SqlVerifiers:
    """The verifiers that are registered in the store at `place`, as `open_jobs` finds it. Raises
    StoreError."""
    if str(place) == ":memory:":
        raise StoreError("verifiers are not kept in memory; name a file or a PostgreSQL URL")
    return SqlVerifiers(_found(place))


def _found(place: Path | str | None) -> Path | str:
    if place is None:
        return Path(".paretune") / WORKSPACE
    if isinstance(place, str) and "://" in place:
        return place
    path = Path(place)
    if not path.is_dir():
        return path
    if not (path / WORKSPACE).is_file():
        raise StoreError(f"{path}: a folder without a {WORKSPACE}; name a file or the folder of an export")
    return path / WORKSPACE


def new_run_id() -> str:
    """`run_`, the time in UTC to the millisecond, and 8 random hexadecimal digits: later ids sort later."""
    now = datetime.now(UTC)
    return f"run_{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}_{secrets.token_hex(4)}"
