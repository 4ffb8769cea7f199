"""Where SQLite and PostgreSQL differ: opening, locking, inserting what is new, and what their errors mean."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Engine, NullPool, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from paretune.store.base import StoreError

ADVICE = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space, then resume",
    sqlite3.SQLITE_IOERR: "reading or writing failed; look for a full or failing disk, then resume",
    sqlite3.SQLITE_BUSY: "locked by another process; wait for it or stop it, then try again",
    sqlite3.SQLITE_LOCKED: "locked by another process; wait for it or stop it, then try again",
    sqlite3.SQLITE_CORRUPT: "damaged; restore it from a copy or an export, or move it away",
    sqlite3.SQLITE_NOTADB: "not a store, or damaged; name another file or move it away",
    sqlite3.SQLITE_READONLY: "opened for reading only; copy it to a place where you may write",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; check that it exists and that you may read and write there",
    sqlite3.SQLITE_PERM: "you may not read or write it; check its owner and mode",
}

CHECKPOINT_PAGES = 4000
"""Pages of 4 KiB in the log until they are copied into the file: most are written several times before."""
READERS = 5
"""So many connections are kept for who reads next."""

CLAIM = "SELECT pg_try_advisory_lock(hashtextextended(?, 0))"
LET_GO = "SELECT pg_advisory_unlock(hashtextextended(?, 0))"
PASSWORDS = ("password", "sslpassword")
"""Names under which the query of a URL may hold one."""


class Session:
    """Statements, in the driver's hands without detours. Values are marked with `?`."""

    def __init__(self, connection: Any, mark: str = "?") -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._mark = mark

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        self.run(statement, *values)
        found: list[tuple[Any, ...]] = self._cursor.fetchall()
        return found

    def run(self, statement: str, *values: object) -> int:
        """How many rows of the table it added or changed."""
        self._cursor.execute(self._spelled(statement), values)
        return int(self._cursor.rowcount)

    def each(self, statement: str, rows: Sequence[Sequence[object]]) -> int:
        """Run it once for each row of values; how many rows of the table that added or changed in all."""
        if not rows:
            return 0
        self._cursor.executemany(self._spelled(statement), rows)
        return int(self._cursor.rowcount)

    def undo(self) -> None:
        """Roll back to the start; what follows reads what is there without it."""
        self._connection.rollback()

    def _spelled(self, statement: str) -> str:
        return statement if self._mark == "?" else statement.replace("?", self._mark)


class Database(Protocol):
    """One place that speaks SQL. `name` is what errors call it.

    `errors` are the driver's. `row_lock` ends a SELECT whose rows nobody else may change until the
    transaction ends, `schema_lock` is a statement that lets nobody else create tables; empty where a
    transaction that writes is alone anyway.
    """

    name: str
    engine: Engine
    errors: type[Exception]
    read_only: bool
    row_lock: str
    schema_lock: str

    def reading(self) -> AbstractContextManager[Session]:
        """Sees all that was committed by now, and waits for nobody who writes."""
        ...

    def writing(self) -> AbstractContextManager[Session]:
        """One transaction, durable at the end. Not for two threads at once."""
        ...

    def claim(self, name: str) -> AbstractContextManager[bool]:
        """See `Store.claim`."""
        ...

    def close(self) -> None: ...

    def advice(self, error: BaseException) -> str:
        """What is wrong and what to do."""
        ...


class SqliteFile:
    """A file in WAL mode, every commit flushed to the disk. Made, with its folder, if it does not exist.

    `patience` is how many seconds to wait for another process that writes. A file in a place where we may
    not write is opened for reading.
    """

    errors: type[Exception] = sqlite3.Error
    row_lock = schema_lock = ""

    def __init__(self, path: Path, *, read_only: bool = False, patience: float = 30.0) -> None:
        self.path = Path(os.path.abspath(path))
        self.name = str(path)
        self.patience = patience
        with self._named():
            if not read_only and not self.path.exists():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            self.read_only = read_only or not _writable(self.path)
            connection = self.connect()
            try:
                _refuse_code(connection)
                if not self.read_only:
                    _set_journal(connection, "WAL", patience)
            finally:
                connection.close()
        self.engine = create_engine("sqlite://", creator=self.connect, poolclass=NullPool)
        self._writer: sqlite3.Connection | None = None
        self._readers: list[sqlite3.Connection] = []
        self._closed = False

    def connect(self) -> sqlite3.Connection:
        uri = f"{self.path.as_uri()}?mode={'ro' if self.read_only else 'rw'}"
        if self.read_only and not _unread_log(self.path):
            uri += "&immutable=1"  # leaves no file behind, and needs no place for one
        connection = sqlite3.connect(
            uri, uri=True, timeout=self.patience, isolation_level=None, check_same_thread=False
        )
        for pragma in (
            "synchronous=FULL",
            "foreign_keys=ON",
            "trusted_schema=OFF",
            f"wal_autocheckpoint={CHECKPOINT_PAGES}",
        ):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    @contextmanager
    def reading(self) -> Iterator[Session]:
        # A pool that knows all databases takes longer than most reads.
        try:
            connection = self._readers.pop()
        except IndexError:
            connection = self.connect()
        try:
            yield Session(connection)
        finally:
            if self._closed or len(self._readers) >= READERS:
                connection.close()
            else:
                self._readers.append(connection)

    @contextmanager
    def writing(self) -> Iterator[Session]:
        if self._writer is None:
            self._writer = self.connect()
        with self._writer as connection:  # commits, or rolls back
            # The driver opens no transaction by itself. A writer takes the lock at once: a reader that
            # turns writer half-way can be refused without any waiting.
            connection.execute("BEGIN IMMEDIATE")
            yield Session(connection)

    def claim(self, name: str) -> AbstractContextManager[bool]:
        return nullcontext(True)

    def close(self) -> None:
        self._closed = True
        while self._readers:
            self._readers.pop().close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def advice(self, error: BaseException) -> str:
        # The low byte is the primary code, the rest says more than we need.
        code = getattr(error, "sqlite_errorcode", None)
        known = ADVICE.get(code & 0xFF) if isinstance(code, int) else None
        return f"{known or 'not a store that this program can read'} ({error})"

    def as_single_file(self) -> None:
        """Fold the log into the file, so that it can be copied and read anywhere. Call it after closing."""
        with self._named():
            connection = self.connect()
            try:
                _set_journal(connection, "DELETE", self.patience)
            finally:
                connection.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, StoreError) as error:
            advice = error if isinstance(error, StoreError) else self.advice(error)
            raise StoreError(f"{self.name}: {advice}") from error
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise StoreError(f"{self.name}: {ADVICE[sqlite3.SQLITE_FULL] if full else error}") from error


class Postgres:
    """A PostgreSQL database, by URL, for several machines."""

    read_only = False
    row_lock = " FOR UPDATE"
    schema_lock = "SELECT pg_advisory_xact_lock(hashtext('paretune.schema'))"

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
            self.name = parsed.difference_update_query(PASSWORDS).render_as_string(hide_password=True)
            if parsed.drivername in ("postgres", "postgresql"):
                parsed = parsed.set(drivername="postgresql+psycopg")
            self.engine = create_engine(parsed, pool_pre_ping=True)
            self.errors: type[Exception] = self.engine.dialect.loaded_dbapi.Error
        except ImportError as error:
            raise StoreError(f"{self.name}: needs the Python package psycopg") from error
        except (ArgumentError, ValueError):  # which may quote a part of the password
            raise StoreError("the store's URL is not one of a PostgreSQL database") from None

    @contextmanager
    def reading(self) -> Iterator[Session]:
        with closing(self.engine.raw_connection()) as connection:
            yield Session(connection, "%s")

    @contextmanager
    def writing(self) -> Iterator[Session]:
        # Closing gives it back to the pool, which rolls back what was not committed.
        with closing(self.engine.raw_connection()) as connection:
            yield Session(connection, "%s")
            connection.commit()

    @contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        """On a connection of its own, which takes the claim with it when the process dies."""
        with closing(self.engine.raw_connection()) as connection:
            connection.detach()  # closed at the end, and not kept with the claim on it
            session = Session(connection, "%s")
            ((mine,),) = session.rows(CLAIM, f"paretune/{name}")
            connection.commit()
            try:
                yield mine
            finally:
                if mine:  # said, since the server sees only later that the connection is closed
                    with suppress(self.errors):
                        session.rows(LET_GO, f"paretune/{name}")

    def close(self) -> None:
        self.engine.dispose()

    def advice(self, error: BaseException) -> str:
        return f"the database did not do it; check that it runs and has space, then resume ({error})"


def open_database(place: str | Path, *, read_only: bool, patience: float) -> Database:
    if isinstance(place, str) and "://" in place:
        if not place.startswith("postgres"):
            raise StoreError("a store is a file or a PostgreSQL URL (postgresql://...)")
        return Postgres(place)
    return SqliteFile(Path(place), read_only=read_only, patience=patience)


@contextmanager
def told(database: Database) -> Iterator[None]:
    """Turns the database's errors into StoreErrors that name it."""
    try:
        yield
    except (SQLAlchemyError, database.errors) as error:
        cause: Any = error.orig if isinstance(error, DBAPIError) and error.orig else error
        raise StoreError(f"{database.name}: {database.advice(cause)}") from error
    except json.JSONDecodeError as error:
        raise StoreError(f"{database.name}: {ADVICE[sqlite3.SQLITE_CORRUPT]} ({error})") from error


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _unread_log(path: Path) -> bool:
    log = path.with_name(f"{path.name}-wal")
    return log.exists() and log.stat().st_size > 0


def _refuse_code(connection: sqlite3.Connection) -> None:
    """A store has tables only; a file that brings views or triggers of its own is somebody else's."""
    query = "SELECT name FROM sqlite_master WHERE type IN ('view', 'trigger') LIMIT 1"
    if found := connection.execute(query).fetchone():
        raise StoreError(f"not a store: it has a view or trigger {found[0]!r}; name another file")


def _set_journal(connection: sqlite3.Connection, mode: str, patience: float) -> None:
    """SQLite answers a change of journal with "locked" at once, however patient we are elsewhere."""
    until = time.monotonic() + patience
    while True:
        try:
            connection.execute(f"PRAGMA journal_mode={mode}")
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if not busy or time.monotonic() > until:
                raise
        time.sleep(0.01)
