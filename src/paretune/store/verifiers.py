"""Registered verifiers: rubrics and graphs under a name, in versions that never change."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from paretune.core.canonical import JsonValue, canonical_json
from paretune.core.errors import Misconfigured, ParetuneError
from paretune.store.jobs import timestamp
from paretune.store.rows import Row, json_text, storable
from paretune.store.schema import REGISTRY_SCHEMA
from paretune.store.tables import Tables, insert

COLUMNS = ("name", "version", "id", "kind", "document", "metadata", "created_at")
ADD = insert("verifiers", *COLUMNS)
FOUND = f"SELECT {', '.join(COLUMNS)} FROM verifiers"
NAME = re.compile(r"(?!vf_)[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
MOST = 1_000_000


class UnknownVerifier(ParetuneError):
    """No verifier of this id, name or version."""


@dataclass(frozen=True, slots=True)
class StoredVerifier:
    """One version of a verifier; `version` counts from 1. `id` names exactly this one, as does
    `reference`."""

    name: str
    version: int
    id: str
    kind: str
    document: Mapping[str, JsonValue]
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)
    created_at: str = ""

    @property
    def reference(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"


class SqlVerifiers(Tables):
    """Verifiers, in the same file or database as runs and jobs, in tables of their own."""

    schema = REGISTRY_SCHEMA

    def add(
        self,
        name: str,
        kind: str,
        document: Mapping[str, JsonValue],
        metadata: Mapping[str, JsonValue] | None = None,
    ) -> StoredVerifier:
        """The next version of this name; or the newest one, if that has this document already.

        Raises Misconfigured for a name that is none.
        """
        if not NAME.fullmatch(name):
            raise Misconfigured(
                "name", "1 to 80 letters, digits, dots, dashes and underscores; not vf_ in front"
            )
        with self._write() as session:
            if self._database.schema_lock:  # of two who add at once, one waits: versions have no gap
                session.run(self._database.schema_lock)
            rows = session.rows(f"{FOUND} WHERE name = ? ORDER BY version DESC LIMIT 1", name)
            newest = _from_row(rows[0]) if rows else None
            if newest and newest.kind == kind and _same(newest.document, document):
                return newest
            version = newest.version + 1 if newest else 1
            id = f"vf_{secrets.token_hex(8)}"
            made = StoredVerifier(name, version, id, kind, document, metadata or {}, timestamp())
            told = (json_text(document), json_text(made.metadata))
            session.run(ADD, name, version, id, kind, *told, made.created_at)
        return made

    def find(self, reference: str) -> StoredVerifier:
        """By id, `name@version`, or name: its newest version. Raises UnknownVerifier."""
        reference = storable(reference)
        name, at, version = reference.rpartition("@")
        where, values = "id = ? OR name = ? ORDER BY version DESC", (reference, reference)
        if at:  # as text, for it may be anything
            where, values = "name = ? AND CAST(version AS VARCHAR) = ?", (name, version)
        with self._read() as session:
            for row in session.rows(f"{FOUND} WHERE {where} LIMIT 1", *values):
                return _from_row(row)
        raise UnknownVerifier(f"no verifier {reference[:120]!r}")

    def all(self, name: str = "", limit: int = MOST) -> list[StoredVerifier]:
        """Every version, or those of one name; by name, the newest version first."""
        where, values = (" WHERE name = ?", [storable(name)]) if name else ("", [])
        statement = f"{FOUND}{where} ORDER BY name, version DESC LIMIT ?"
        with self._read() as session:
            return [_from_row(row) for row in session.rows(statement, *values, limit)]


def _same(one: Mapping[str, JsonValue], other: Mapping[str, JsonValue]) -> bool:
    return canonical_json(one) == canonical_json(other)


def _from_row(row: Row | Sequence[object]) -> StoredVerifier:
    name, version, id, kind, document, metadata, created_at = row
    return StoredVerifier(
        str(name),
        int(str(version)),
        str(id),
        str(kind),
        json.loads(str(document)),
        json.loads(str(metadata)),
        str(created_at),
    )
