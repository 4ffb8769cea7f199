"""The tables of one schema, opened: what a store of runs and one of jobs do alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import ClassVar

from sqlalchemy import inspect
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement

from paretune.store.base import StoreError
from paretune.store.databases import Session, open_database, told
from paretune.store.schema import Schema, may_be_made

OR_LEAVE = " ON CONFLICT DO NOTHING"


def insert(table: str, *columns: str) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks(columns)})"


def marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


class Tables:
    """Any number of processes may open the same place; its tables are made when they are missing.

    `patience` is how many seconds to wait for a process that writes. Raises StoreError if the place is not a
    store, or one of a newer version of this program.
    """

    schema: ClassVar[Schema]

    def __init__(self, place: str | Path, *, read_only: bool = False, patience: float = 30.0) -> None:
        self._database = open_database(place, read_only=read_only, patience=patience)
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
        with told(self._database):
            there = set(inspect(self._database.engine).get_table_names())
        if may_be_made(self.schema, there) and not self._database.read_only:
            self._make()
        elif not there >= self.schema.names:
            raise StoreError(f"{self.name}: not a store: it has other tables, or none; name another place")
        with self._read() as session:
            ((version,),) = session.rows(f"SELECT max(schema_version) FROM {self.schema.meta.name}")
        if (version or 0) > self.schema.version:
            raise StoreError(
                f"{self.name}: written by a newer paretune (schema {version}, this one reads up to "
                f"{self.schema.version}); upgrade paretune"
            )

    def _make(self) -> None:
        with self._write() as session:
            if self._database.schema_lock:
                session.run(self._database.schema_lock)
            for table in self.schema.tables.sorted_tables:
                made: list[ExecutableDDLElement] = [CreateTable(table, if_not_exists=True)]
                made += [CreateIndex(index, if_not_exists=True) for index in table.indexes]
                for statement in made:
                    session.run(str(statement.compile(self._database.engine)))
            session.run(insert(self.schema.meta.name, "schema_version") + OR_LEAVE, self.schema.version)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._database.close()

    @contextmanager
    def _read(self) -> Iterator[Session]:
        self._refuse_if_closed()
        with told(self._database), self._database.reading() as session:
            yield session

    @contextmanager
    def _write(self) -> Iterator[Session]:
        with self._lock:
            self._refuse_if_closed()
            with told(self._database), self._database.writing() as session:
                yield session

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StoreError(f"{self.name}: this store was closed; open it again")
