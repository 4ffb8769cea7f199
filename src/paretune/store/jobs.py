"""The jobs of a server: what was submitted, how it stands, what is told about it, and who may ask."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Protocol, TypedDict, Unpack

from paretune.core.canonical import JsonValue
from paretune.core.errors import ParetuneError
from paretune.store.base import StoreError, Wish

JobState = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
Scope = Literal["read", "submit", "admin"]


class UnknownJob(ParetuneError):
    """No job of this id."""


class UnknownSystem(ParetuneError):
    """No system of this id."""


class UnknownKey(ParetuneError):
    """No API key of this id."""


class Taken(StoreError):
    """There is one of this id already."""


@dataclass(frozen=True, slots=True)
class StoredJob:
    """What a user submitted, and how it stands. Times are ISO, UTC, to the millisecond, or empty.

    `document` is the job document without secrets, `given` what else came with it. `run_id` is given at
    submit, the run exists once a worker has prepared it. `detail` says why the job failed or rests,
    `parent` is the one whose checkpoint it began with. `standing` is what a status call tells, `told` how
    many decisions of the run are in it and in the events.
    """

    id: str
    name: str
    created_at: str
    document: Mapping[str, JsonValue]
    given: Mapping[str, JsonValue]
    run_id: str
    algorithm: str
    state: JobState = "queued"
    detail: str = ""
    wish: Wish = ""
    started_at: str = ""
    ended_at: str = ""
    updated_at: str = ""
    parent: str = ""
    standing: Mapping[str, JsonValue] = field(default_factory=dict)
    told: int = 0


class JobHeading(NamedTuple):
    """What a list says of a job, and nothing else of it."""

    id: str
    name: str
    created_at: str
    run_id: str
    state: JobState
    detail: str


class Changes(TypedDict, total=False):
    """What may change of a job; what was submitted stays as it is."""

    name: str
    run_id: str
    algorithm: str
    state: JobState
    detail: str
    wish: Wish
    started_at: str
    ended_at: str
    standing: Mapping[str, JsonValue]
    told: int


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One thing that is told about a job. `seq` counts from 1 without gaps in each job; `append` gives it."""

    seq: int
    at: str
    type: str
    message: str
    data: Mapping[str, JsonValue]
    level: str = "info"


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs a page lists; what is empty does not matter. Times are ISO; without a zone they are UTC."""

    state: str = ""
    kind: str = ""
    system_id: str = ""
    system_name: str = ""
    created_after: str = ""
    created_before: str = ""


@dataclass(frozen=True, slots=True)
class StoredKey:
    """An API key without its token: `digest` is the token's SHA-256, in hexadecimal digits."""

    id: str
    name: str
    digest: str
    scope: Scope
    created_at: str
    revoked_at: str = ""


@dataclass(frozen=True, slots=True)
class StoredSystem:
    """A name under which jobs are kept together."""

    id: str
    name: str
    technique: str
    metadata: Mapping[str, JsonValue]
    created_at: str


class Jobs(Protocol):
    """Every method may be called from any thread; nobody who reads waits for somebody who writes."""

    def create(
        self, job: StoredJob, events: Sequence[JobEvent] = (), secrets: Mapping[str, str] | None = None
    ) -> None:
        """Add a job with its first events and its sealed secrets, all or nothing. Raises StoreError if the
        id exists."""
        ...

    def job(self, job_id: str) -> StoredJob:
        """Raises UnknownJob."""
        ...

    def of_run(self, run_id: str) -> StoredJob | None:
        """The job whose run has this id, if there is one."""
        ...

    def headings(self) -> list[JobHeading]:
        """All jobs, oldest first."""
        ...

    def page(self, filter: JobFilter, limit: int, cursor: str = "") -> tuple[list[StoredJob], str]:
        """Up to `limit` jobs, newest first, and the cursor of the next page, empty if there is none.

        Jobs that are added meanwhile move nothing. Raises Misconfigured on a cursor that no page gave, or
        a time that is none.
        """
        ...

    def in_state(self, *states: JobState, limit: int | None = None) -> list[StoredJob]:
        """All jobs in one of these states, or the first `limit` of them, oldest first."""
        ...

    def how_many(self, *states: JobState) -> int:
        """How many jobs are in one of these states."""
        ...

    def change(
        self, job_id: str, *, only: Collection[JobState] = (), **changes: Unpack[Changes]
    ) -> StoredJob | None:
        """The job as it is now, durable on return; or None, and nothing changed, if it is in none of the
        states `only`: of several who claim a job one wins. Raises UnknownJob."""
        ...

    def append(
        self,
        job_id: str,
        events: Sequence[JobEvent],
        *,
        forget_secrets: bool = False,
        **changes: Unpack[Changes],
    ) -> int:
        """Add events behind those that are there, whatever `seq` they carry, and change the job, in one
        transaction, which may also forget the job's secrets; the last `seq` now. Raises UnknownJob."""
        ...

    def events(self, job_id: str, since: int = 0, limit: int = 10_000) -> list[JobEvent]:
        """The first `limit` events whose `seq` is greater than `since`, in order. Raises UnknownJob."""
        ...

    def last_seq(self, job_id: str) -> int:
        """0 if the job has no events. Raises UnknownJob."""
        ...

    def keep_secret(self, owner: str, name: str, sealed: str) -> None:
        """A sealed value of the job `owner`, or of all jobs if that is empty, in place of an older one."""
        ...

    def secrets(self, owner: str) -> dict[str, str]:
        """Sealed values by name."""
        ...

    def add_key(self, key: StoredKey) -> None:
        """Raises StoreError if the id or the digest exists."""
        ...

    def keys(self) -> list[StoredKey]:
        """All keys, the revoked ones too, oldest first."""
        ...

    def revoke_key(self, key_id: str) -> StoredKey:
        """The key as it is now; one that was revoked before stays so. Raises UnknownKey."""
        ...

    def keep_system(self, system: StoredSystem, *, reuse: bool = False) -> StoredSystem:
        """Add it, or with `reuse` give the oldest one of its name, if there is one.

        Raises Taken if the id exists.
        """
        ...

    def systems(self) -> list[StoredSystem]:
        """All of them, newest first."""
        ...

    def system(self, system_id: str) -> StoredSystem:
        """Raises UnknownSystem."""
        ...

    def change_system(self, system: StoredSystem) -> StoredSystem:
        """Name, technique and metadata as they are here from now on. Raises UnknownSystem."""
        ...

    def close(self) -> None: ...


def new_job_id() -> str:
    """`pl_` and 16 random hexadecimal digits."""
    return f"pl_{secrets.token_hex(8)}"


def timestamp() -> str:
    """Now, as jobs, events and keys say it: ISO, UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
