"""The tables, as SQLite and PostgreSQL both have them. Columns carry the names of the record's fields.

JSON is kept as text: it comes back exactly as it was written, and SQL never looks inside.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
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
