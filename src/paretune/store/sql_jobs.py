"""Jobs on disk: in the same file or database as the runs, in tables of their own."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, Unpack

from paretune.core.canonical import JsonValue, Written
from paretune.core.errors import Misconfigured
from paretune.store.base import StoreError
from paretune.store.databases import Session
from paretune.store.jobs import (
    Changes,
    JobEvent,
    JobFilter,
    JobHeading,
    JobState,
    StoredJob,
    StoredKey,
    StoredSystem,
    Taken,
    UnknownJob,
    UnknownKey,
    UnknownSystem,
    timestamp,
)
from paretune.store.rows import Row, json_text, read_json, storable
from paretune.store.schema import JOB_SCHEMA
from paretune.store.tables import OR_LEAVE, Tables, insert, marks

JOB, EVENT, KEY, SYSTEM = (
    tuple(f.name for f in fields(kind)) for kind in (StoredJob, JobEvent, StoredKey, StoredSystem)
)
SOUGHT = ("kind", "system_id", "system_name")
AS_JSON = frozenset({"document", "given", "standing", "data", "metadata"})
LARGEST = 2**31 - 1
"""The largest whole number that both databases take."""

ADD_JOB = insert("jobs", *JOB, *SOUGHT) + OR_LEAVE
ADD_EVENT = insert("job_events", "job_id", *EVENT)
ADD_KEY = insert("api_keys", *KEY) + OR_LEAVE
ADD_SYSTEM = insert("systems", *SYSTEM) + OR_LEAVE
KEEP_SECRET = (
    insert("job_secrets", "owner", "name", "sealed")
    + " ON CONFLICT (owner, name) DO UPDATE SET sealed = excluded.sealed"
)
FORGET_SECRETS = "DELETE FROM job_secrets WHERE owner = ?"
THE_JOB = f"SELECT {', '.join(JOB)} FROM jobs"
HEADINGS = f"SELECT {', '.join(JobHeading._fields)} FROM jobs ORDER BY created_at, id"
OLDER = "(created_at, id) < (?, ?)"
NEWEST_FIRST = " ORDER BY created_at DESC, id DESC"
EVENTS = f"SELECT {', '.join(EVENT)} FROM job_events WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?"
LAST_SEQ = "SELECT max(seq) FROM job_events WHERE job_id = ?"
SYSTEMS = f"SELECT {', '.join(SYSTEM)} FROM systems"
KEYS = f"SELECT {', '.join(KEY)} FROM api_keys"


class SqlJobs(Tables):
    """Jobs, in a SQLite file (made if it does not exist) or in a PostgreSQL database by its URL."""

    schema = JOB_SCHEMA

    def create(
        self, job: StoredJob, events: Sequence[JobEvent] = (), secrets: Mapping[str, str] | None = None
    ) -> None:
        row = [_column(name, getattr(job, name)) for name in JOB]
        sealed = [(job.id, storable(name), value) for name, value in (secrets or {}).items()]
        with self._write() as session:
            if not session.run(ADD_JOB, *row, *_sought(job.given)):
                raise StoreError(f"{self.name}: job {job.id} exists already")
            _add_events(session, job.id, events)
            session.each(KEEP_SECRET, sealed)

    def job(self, job_id: str) -> StoredJob:
        with self._read() as session:
            return _job(session, job_id)

    def of_run(self, run_id: str) -> StoredJob | None:
        with self._read() as session:
            rows = session.rows(f"{THE_JOB} WHERE run_id = ?", storable(run_id))
        return _job_from_row(rows[0]) if rows else None

    def headings(self) -> list[JobHeading]:
        with self._read() as session:
            return [JobHeading(*row) for row in session.rows(HEADINGS)]

    def page(self, filter: JobFilter, limit: int, cursor: str = "") -> tuple[list[StoredJob], str]:
        limit = min(max(limit, 1), LARGEST - 1)
        conditions, values = _conditions(filter)
        if cursor:
            conditions.append(OLDER)
            values += _place(cursor)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        with self._read() as session:
            rows = session.rows(f"{THE_JOB}{where}{NEWEST_FIRST} LIMIT ?", *values, limit + 1)
            found = [_job_from_row(row) for row in rows]
        more = len(found) > limit
        return found[:limit], _cursor(found[limit - 1]) if more else ""

    def in_state(self, *states: JobState, limit: int | None = None) -> list[StoredJob]:
        if not states:
            return []
        limit = LARGEST if limit is None else min(max(limit, 0), LARGEST)
        found = f"{THE_JOB} WHERE state IN ({marks(states)}) ORDER BY created_at, id LIMIT ?"
        with self._read() as session:
            return [_job_from_row(row) for row in session.rows(found, *states, limit)]

    def how_many(self, *states: JobState) -> int:
        if not states:
            return 0
        with self._read() as session:
            statement = f"SELECT count(*) FROM jobs WHERE state IN ({marks(states)})"
            ((number,),) = session.rows(statement, *states)
        return int(number)

    def change(
        self, job_id: str, *, only: Collection[JobState] = (), **changes: Unpack[Changes]
    ) -> StoredJob | None:
        with self._write() as session:
            if _update(session, job_id, only, changes):
                return _job(session, job_id)
            _job(session, job_id)
            return None

    def append(
        self,
        job_id: str,
        events: Sequence[JobEvent],
        *,
        forget_secrets: bool = False,
        **changes: Unpack[Changes],
    ) -> int:
        with self._write() as session:
            # The update comes first: until it is committed nobody else numbers events of this job.
            if not _update(session, job_id, (), changes):
                raise _unknown(job_id)
            if forget_secrets:
                session.run(FORGET_SECRETS, job_id)
            return _add_events(session, job_id, events)

    def events(self, job_id: str, since: int = 0, limit: int = 10_000) -> list[JobEvent]:
        since, limit = (min(max(number, 0), LARGEST) for number in (since, limit))
        with self._read() as session:
            rows = session.rows(EVENTS, storable(job_id), since, limit)
            if not rows:
                _require(session, job_id)
            return [_event_from_row(row) for row in rows]

    def last_seq(self, job_id: str) -> int:
        with self._read() as session:
            last = _last_seq(session, storable(job_id))
            if not last:
                _require(session, job_id)
        return last

    def keep_secret(self, owner: str, name: str, sealed: str) -> None:
        with self._write() as session:
            session.run(KEEP_SECRET, owner, storable(name), sealed)

    def secrets(self, owner: str) -> dict[str, str]:
        with self._read() as session:
            statement = "SELECT name, sealed FROM job_secrets WHERE owner = ? ORDER BY name"
            return dict(session.rows(statement, owner))

    def add_key(self, key: StoredKey) -> None:
        row = [_column(name, getattr(key, name)) for name in KEY]
        with self._write() as session:
            if not session.run(ADD_KEY, *row):
                raise StoreError(f"{self.name}: key {key.id} exists already")

    def keys(self) -> list[StoredKey]:
        with self._read() as session:
            return [StoredKey(*row) for row in session.rows(f"{KEYS} ORDER BY created_at, id")]

    def revoke_key(self, key_id: str) -> StoredKey:
        key_id = storable(key_id)
        revoke = "UPDATE api_keys SET revoked_at = ? WHERE id = ? AND revoked_at = ''"
        with self._write() as session:
            session.run(revoke, timestamp(), key_id)
            for row in session.rows(f"{KEYS} WHERE id = ?", key_id):
                return StoredKey(*row)
        raise UnknownKey(f"no key {key_id}")

    def keep_system(self, system: StoredSystem, *, reuse: bool = False) -> StoredSystem:
        row = [_column(name, getattr(system, name)) for name in SYSTEM]
        with self._write() as session:
            same = f"{SYSTEMS} WHERE name = ? ORDER BY created_at, id LIMIT 1"
            for known in session.rows(same, storable(system.name)) if reuse else ():
                return _system_from_row(known)
            if not session.run(ADD_SYSTEM, *row):
                raise Taken(f"system {system.id} exists already")
        return system

    def systems(self) -> list[StoredSystem]:
        with self._read() as session:
            return [_system_from_row(row) for row in session.rows(f"{SYSTEMS}{NEWEST_FIRST}")]

    def system(self, system_id: str) -> StoredSystem:
        with self._read() as session:
            for row in session.rows(f"{SYSTEMS} WHERE id = ?", storable(system_id)):
                return _system_from_row(row)
        raise UnknownSystem(f"no system {system_id}")

    def change_system(self, system: StoredSystem) -> StoredSystem:
        changed = [_column(name, getattr(system, name)) for name in ("name", "technique", "metadata")]
        statement = "UPDATE systems SET name = ?, technique = ?, metadata = ? WHERE id = ?"
        with self._write() as session:
            if not session.run(statement, *changed, storable(system.id)):
                raise UnknownSystem(f"no system {system.id}")
        return system


def _system_from_row(row: Row) -> StoredSystem:
    id, name, technique, metadata, created_at = row
    return StoredSystem(id, name, technique, read_json(metadata), created_at)


def _update(
    session: Session, job_id: str, only: Collection[str], changes: Mapping[str, Any] | Changes
) -> bool:
    """False, and nothing changed, if there is no such job in one of the states."""
    if unknown := changes.keys() - Changes.__annotations__:
        raise TypeError(f"of a job these do not change: {', '.join(sorted(unknown))}")
    settings = {name: _column(name, value) for name, value in changes.items()}
    settings["updated_at"] = timestamp()
    assignments = ", ".join(f"{name} = ?" for name in settings)
    statement = f"UPDATE jobs SET {assignments} WHERE id = ?"
    if only:
        statement += f" AND state IN ({marks(list(only))})"
    return bool(session.run(statement, *settings.values(), storable(job_id), *only))


def _job(session: Session, job_id: str) -> StoredJob:
    for row in session.rows(f"{THE_JOB} WHERE id = ?", storable(job_id)):
        return _job_from_row(row)
    raise _unknown(job_id)


def _require(session: Session, job_id: str) -> None:
    if not session.rows("SELECT id FROM jobs WHERE id = ?", storable(job_id)):
        raise _unknown(job_id)


def _unknown(job_id: str) -> UnknownJob:
    return UnknownJob(f"no job {job_id}")


def _add_events(session: Session, job_id: str, events: Sequence[JobEvent]) -> int:
    """The last `seq` then."""
    last = _last_seq(session, job_id)
    rows = [_event_row(event, seq) for seq, event in enumerate(events, last + 1)]
    session.each(ADD_EVENT, [(job_id, *row) for row in rows])
    return last + len(rows)


def _last_seq(session: Session, job_id: str) -> int:
    ((last,),) = session.rows(LAST_SEQ, job_id)
    return last or 0


def _column(name: str, value: Any) -> Any:
    if name in AS_JSON:
        return json_text(value)
    return storable(value) if isinstance(value, str) else value


def _job_from_row(row: Row) -> StoredJob:
    named = dict(zip(JOB, row, strict=True))
    return StoredJob(**{name: read_json(v) if name in AS_JSON else v for name, v in named.items()})


def _event_row(event: JobEvent, seq: int) -> Row:
    rest = (_column(name, getattr(event, name)) for name in EVENT[1:])
    return (seq, *rest)


def _event_from_row(row: Row) -> JobEvent:
    seq, at, type, message, data, level = row
    return JobEvent(seq, at, type, message, Written(data), level)


def _sought(given: Mapping[str, JsonValue]) -> Iterator[str]:
    """What a filter looks for, as `SOUGHT` names it."""
    system = given.get("system")
    system = system if isinstance(system, Mapping) else {}
    for value in (given.get("kind"), system.get("id"), system.get("name")):
        yield storable(value) if isinstance(value, str) else ""


def _conditions(wanted: JobFilter) -> tuple[list[str], list[str]]:
    equal = {name: getattr(wanted, name) for name in ("state", *SOUGHT)}
    asked = {f"{name} = ?": storable(value) for name, value in equal.items() if value}
    if wanted.created_after:
        asked["created_at > ?"] = _instant("created_after", wanted.created_after)
    if wanted.created_before:
        asked["created_at < ?"] = _instant("created_before", wanted.created_before)
    return list(asked), list(asked.values())


def _instant(name: str, text: str) -> str:
    """The time as jobs say it, so that texts compare as times do. Raises Misconfigured."""
    try:
        time = datetime.fromisoformat(text)
        time = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise Misconfigured(name, f"not a time: {text[:50]!r}; write it as 2026-01-02T03:04:05Z") from None
    return time.isoformat(timespec="milliseconds")


def _cursor(job: StoredJob) -> str:
    """Where the page ends whose last job this is."""
    return base64.urlsafe_b64encode(f"{job.created_at} {job.id}".encode()).decode()


def _place(cursor: str) -> tuple[str, str]:
    try:
        created_at, id = base64.b64decode(cursor, b"-_", validate=True).decode().rsplit(" ", 1)
    except (binascii.Error, ValueError):
        raise Misconfigured("cursor", "none that a page gave; leave it out to begin anew") from None
    return storable(created_at), storable(id)
