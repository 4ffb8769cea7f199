"""The store on disk: SQLite or PostgreSQL, one SQL for both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    Table,
    bindparam,
    delete,
    func,
    insert,
    inspect,
    or_,
    select,
    update,
)

from paretune.store.base import Attempt, Fact, Run, StoredDecision, StoreError, UnknownRun, Wish, Write
from paretune.store.databases import open_database, told
from paretune.store.rows import (
    Group,
    Row,
    attempt_from_row,
    chunks,
    from_row,
    newest_first,
    only_one,
    run_from_row,
    run_row,
)
from paretune.store.schema import (
    SCHEMA_VERSION,
    attempts,
    decisions,
    draws,
    facts,
    meta,
    metadata,
    runs,
)


class SqlStore:
    """A SQLite file (made if it does not exist), or a PostgreSQL database by its URL.

    Any number of processes may open the same one. `patience` is how many seconds to wait for one that
    writes. Raises StoreError if it is not a store, or one of a newer version of this program.
    """

    def __init__(self, place: str | Path, *, read_only: bool = False, patience: float = 30.0) -> None:
        self._database = open_database(place, read_only=read_only, patience=patience)
        self._writer = self._database.engine.execution_options(writes=True)
        self._lock = Lock()
        self._closed = False
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """The file, or the URL without its password."""
        return self._database.name

    def _open(self) -> None:
        with self._read() as connection:
            there = set(inspect(connection).get_table_names())
        if not there and not self._database.read_only:
            with self._write() as connection:
                self._database.lock_schema(connection)
                metadata.create_all(connection)
                connection.execute(self._database.insert_new(meta), {"schema_version": SCHEMA_VERSION})
        elif not there.issuperset(metadata.tables):
            raise StoreError(f"{self.name}: not a store: it has other tables, or none; name another place")
        with self._read() as connection:
            version = connection.scalar(select(func.max(meta.c.schema_version))) or 0
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{self.name}: written by a newer paretune (schema {version}, this one reads up to "
                f"{SCHEMA_VERSION}); upgrade paretune"
            )

    def create_run(self, run: Run) -> None:
        row = run_row(run)
        with self._write() as connection:
            added = self._database.insert_new(runs).returning(runs.c.id)
            if connection.scalar(added, row) is None:
                raise StoreError(f"{self.name}: run {run.id} exists already")

    def runs(self) -> list[Run]:
        with self._read() as connection:
            return newest_first([run_from_row(row) for row in _rows(connection, select(runs))])

    def run(self, run_id: str) -> Run:
        starts_so = func.substr(runs.c.id, 1, len(run_id)) == run_id
        with self._read() as connection:
            rows = _rows(connection, select(runs).where(starts_so))
            return only_one(run_id, [run_from_row(row) for row in rows])

    def commit(self, run_id: str, writes: Sequence[Write]) -> None:
        group = Group.of(run_id, writes)
        with self._write() as connection:
            _require(connection, run_id)
            self._insert_new(connection, facts, group.facts)
            self._insert_new(connection, draws, group.draws)
            if group.decisions:
                new = group.new_decisions(_sharing(connection, group), _length(connection, run_id))
                _insert(connection, decisions, new)
            if group.begun or group.ended:
                group.check_attempts(_known_attempts(connection, group))
                _insert(connection, attempts, group.begun)
                _end_attempts(connection, group)
            if group.run:
                connection.execute(update(runs).where(runs.c.id == run_id), group.run)

    def facts(self, keys: Sequence[str], scope: str = "") -> dict[str, Fact]:
        found: dict[str, Fact] = {}
        with self._read() as connection:
            for some in chunks(keys):
                query = select(facts).where(facts.c.scope.in_(("", scope)), facts.c.key.in_(some))
                for row in _rows(connection, query):
                    if row["scope"] == scope or row["key"] not in found:
                        found[row["key"]] = from_row(Fact, row)
        return found

    def drawn(self, run_id: str) -> list[str]:
        with self._read() as connection:
            _require(connection, run_id)
            return sorted(connection.scalars(select(draws.c.key).where(draws.c.run_id == run_id)))

    def decisions(self, run_id: str, since: int = 0) -> list[StoredDecision]:
        log = select(decisions).where(decisions.c.run_id == run_id, decisions.c.seq >= since)
        with self._read() as connection:
            _require(connection, run_id)
            return [from_row(StoredDecision, row) for row in _rows(connection, log.order_by(decisions.c.seq))]

    def attempts(self, run_id: str) -> list[Attempt]:
        query = select(attempts).where(attempts.c.run_id == run_id).order_by(attempts.c.place)
        with self._read() as connection:
            _require(connection, run_id)
            return [attempt_from_row(row) for row in _rows(connection, query)]

    def forget_failures(self, run_id: str, keys: Sequence[str]) -> None:
        own = (facts.c.scope == run_id, facts.c.kind == "failure")
        with self._write() as connection:
            _require(connection, run_id)
            for some in chunks(keys):
                query = select(facts.c.key).where(*own, facts.c.key.in_(some))
                failed = list(connection.scalars(query))
                connection.execute(delete(facts).where(*own, facts.c.key.in_(failed)))
                connection.execute(delete(draws).where(draws.c.run_id == run_id, draws.c.key.in_(failed)))

    def wish(self, run_id: str, wish: Wish) -> None:
        with self._write() as connection:
            _require(connection, run_id)
            connection.execute(update(runs).where(runs.c.id == run_id).values(wish=wish))

    def close(self) -> None:
        self._closed = True
        self._database.engine.dispose()

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        self._refuse_if_closed()
        with told(self._database), self._database.engine.connect() as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        self._refuse_if_closed()
        with self._lock, told(self._database), self._writer.begin() as connection:
            yield connection

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StoreError(f"{self.name}: this store was closed; open it again")

    def _insert_new(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        if rows:
            connection.execute(self._database.insert_new(table), rows)


def _rows(connection: Connection, query: Select[Any]) -> list[Row]:
    return [row._asdict() for row in connection.execute(query)]


def _insert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    if rows:
        connection.execute(insert(table), rows)


def _require(connection: Connection, run_id: str) -> None:
    """Raises UnknownRun. In a transaction that writes, other writers of the run wait here (PostgreSQL)."""
    query = select(runs.c.id).where(runs.c.id == run_id)
    if connection.get_execution_options().get("writes"):
        query = query.with_for_update()
    if connection.scalar(query) is None:
        raise UnknownRun(f"no run {run_id}")


def _length(connection: Connection, run_id: str) -> int:
    last = connection.scalar(select(func.max(decisions.c.seq)).where(decisions.c.run_id == run_id))
    return 0 if last is None else last + 1


def _sharing(connection: Connection, group: Group) -> Iterator[Row]:
    """Decisions of the log that share a seq or a key with one of the group."""
    of_run = select(decisions).where(decisions.c.run_id == group.run_id)
    for some in chunks(group.decisions, 250):
        same_seq = decisions.c.seq.in_([row["seq"] for row in some])
        same_key = decisions.c.key.in_([row["key"] for row in some])
        yield from _rows(connection, of_run.where(or_(same_seq, same_key)))


def _known_attempts(connection: Connection, group: Group) -> Iterator[str]:
    named = sorted({row["id"] for row in (*group.begun, *group.ended)})
    for some in chunks(named):
        yield from connection.scalars(
            select(attempts.c.id).where(attempts.c.run_id == group.run_id, attempts.c.id.in_(some))
        )


def _end_attempts(connection: Connection, group: Group) -> None:
    """An end that is there already stays as it is."""
    statement = update(attempts).where(
        attempts.c.run_id == group.run_id, attempts.c.id == bindparam("of"), attempts.c.outcome.is_(None)
    )
    if group.ended:
        rows = [{"of": row["id"], **{name: row[name] for name in row if name != "id"}} for row in group.ended]
        connection.execute(statement, rows)
