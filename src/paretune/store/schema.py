"""The tables, as SQLite and PostgreSQL both have them. Columns carry the names of the record's fields.

JSON is kept as text: it comes back exactly as it was written, and SQL never looks inside.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA_VERSION = 1

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("schema_version", Integer, primary_key=True, autoincrement=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", String, nullable=False),
    Column("job", Text, nullable=False),
    Column("status", String, nullable=False),
    Column("status_detail", Text, nullable=False),
    Column("wish", String, nullable=False),
)

# Not tied to runs: a fact outlives the run that paid for it, and an export brings facts of other runs along.
facts = Table(
    "facts",
    metadata,
    Column("scope", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("body", Text, nullable=False),
    Column("paid_by", String, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("at", String, nullable=False),
)

# Facts that a run uses without an attempt of its own that is done.
draws = Table(
    "draws",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("key", String, primary_key=True),
    sqlite_with_rowid=False,
)

decisions = Table(
    "decisions",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("key", String, nullable=False),
    Column("body", Text, nullable=False),
    Column("chain", String, nullable=False),
    Column("elapsed", Double, nullable=False),
    Column("at", String, nullable=False),
    UniqueConstraint("run_id", "key"),
)

# `place` is the order in which attempts began; the columns from `outcome` on are empty until one ends.
attempts = Table(
    "attempts",
    metadata,
    Column("place", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False),
    Column("id", String, nullable=False),
    Column("key", String, nullable=False),
    Column("role", String, nullable=False),
    Column("number", Integer, nullable=False),
    Column("reserved_usd", Double, nullable=False),
    Column("at", String, nullable=False),
    Column("outcome", String),
    Column("failure", String),
    Column("message", Text),
    Column("prompt_tokens", BigInteger),
    Column("completion_tokens", BigInteger),
    Column("cost_usd", Double),
    Column("seconds", Double),
    Column("ended_at", String),
    UniqueConstraint("run_id", "id"),
)

JOBS_VERSION = 1

job_metadata = MetaData()

job_meta = Table(
    "job_meta",
    job_metadata,
    Column("schema_version", Integer, primary_key=True, autoincrement=False),
)

# The columns from `kind` on repeat what `given` says, for those who look for it.
jobs = Table(
    "jobs",
    job_metadata,
    Column("id", String, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", String, nullable=False),
    Column("document", Text, nullable=False),
    Column("given", Text, nullable=False),
    Column("run_id", String, nullable=False),
    Column("algorithm", String, nullable=False),
    Column("state", String, nullable=False),
    Column("detail", Text, nullable=False),
    Column("wish", String, nullable=False),
    Column("started_at", String, nullable=False),
    Column("ended_at", String, nullable=False),
    Column("updated_at", String, nullable=False),
    Column("parent", String, nullable=False),
    Column("standing", Text, nullable=False),
    Column("told", Integer, nullable=False),
    Column("kind", String, nullable=False),
    Column("system_id", String, nullable=False),
    Column("system_name", String, nullable=False),
    Index("jobs_by_age", "created_at", "id"),
    Index("jobs_by_state", "state", "created_at", "id"),
    Index("jobs_by_run", "run_id"),
)

job_events = Table(
    "job_events",
    job_metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", String, nullable=False),
    Column("type", String, nullable=False),
    Column("message", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("level", String, nullable=False),
)

systems = Table(
    "systems",
    job_metadata,
    Column("id", String, primary_key=True),
    Column("name", Text, nullable=False, index=True),
    Column("technique", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("created_at", String, nullable=False),
)

# `owner` is a job, or empty for what belongs to all of them.
job_secrets = Table(
    "job_secrets",
    job_metadata,
    Column("owner", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("sealed", Text, nullable=False),
)

api_keys = Table(
    "api_keys",
    job_metadata,
    Column("id", String, primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", String, nullable=False, unique=True),
    Column("scope", String, nullable=False),
    Column("created_at", String, nullable=False),
    Column("revoked_at", String, nullable=False),
)

REGISTRY_VERSION = 1

registry_metadata = MetaData()

registry_meta = Table(
    "registry_meta",
    registry_metadata,
    Column("schema_version", Integer, primary_key=True, autoincrement=False),
)

# Rows are added and never changed.
verifiers = Table(
    "verifiers",
    registry_metadata,
    Column("name", String, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("id", String, nullable=False, unique=True),
    Column("kind", String, nullable=False),
    Column("document", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("created_at", String, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Schema:
    """Tables that are made together. `meta` is the one that says which version they are of."""

    tables: MetaData
    meta: Table
    version: int

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.tables.tables)


RUN_SCHEMA = Schema(metadata, meta, SCHEMA_VERSION)
JOB_SCHEMA = Schema(job_metadata, job_meta, JOBS_VERSION)
REGISTRY_SCHEMA = Schema(registry_metadata, registry_meta, REGISTRY_VERSION)


def may_be_made(schema: Schema, there: set[str]) -> bool:
    """True where nothing is, or what another schema of this program has and nothing of this one's."""
    ours = any(other.names <= there for other in (RUN_SCHEMA, JOB_SCHEMA, REGISTRY_SCHEMA))
    return there.isdisjoint(schema.names) and (ours or not there)
