"""Records as rows and back, and the rules that every store holds a commit to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from paretune.core.canonical import JsonValue, canonical_json
from paretune.store.base import (
    Attempt,
    AttemptBegun,
    AttemptEnded,
    Draw,
    Fact,
    Run,
    StatusSet,
    StoredDecision,
    StoreError,
    UnknownRun,
    Write,
)

Row = dict[str, Any]
T = TypeVar("T")
R = TypeVar("R", Run, Fact, StoredDecision, AttemptBegun)

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
JSON_FIELDS = ("job", "body")


def to_row(record: Run | Fact | StoredDecision | AttemptBegun, **more: object) -> Row:
    """The record's fields by name, JSON as text. Raises StoreError on what JSON cannot say."""
    return more | {f.name: _cell(f.name, getattr(record, f.name)) for f in fields(record)}


def from_row(kind: type[R], row: Mapping[str, Any]) -> R:
    """The record in this row; columns that it has no field for are left aside."""
    cells = {f.name: row[f.name] for f in fields(kind)}
    return kind(**{name: json.loads(c) if name in JSON_FIELDS else c for name, c in cells.items()})


def ended_row(ended: AttemptEnded) -> Row:
    """The end of an attempt under the column names of the attempt that began."""
    cells = {f.name: _cell(f.name, getattr(ended, f.name)) for f in fields(ended)}
    return {"ended_at": cells.pop("at"), **cells}


def attempt_from_row(row: Mapping[str, Any]) -> Attempt:
    begun = from_row(AttemptBegun, row)
    if row["outcome"] is None:
        return Attempt(begun)
    cells = {f.name: row[f.name] for f in fields(AttemptEnded)}
    return Attempt(begun, AttemptEnded(**cells | {"at": row["ended_at"]}))


def run_row(run: Run) -> Row:
    """The row of a new run. Raises StoreError on an id that could not name a folder."""
    _check_id(run.id)
    return to_row(run)


def run_from_row(row: Mapping[str, Any]) -> Run:
    """Checked on the way out too: the file may be somebody else's."""
    _check_id(row["id"])
    return from_row(Run, row)


def _check_id(run_id: str) -> None:
    if not RUN_ID.fullmatch(run_id):
        raise StoreError(f"run id {run_id!r}: letters, digits, '-' and '_' only, 100 at most")


def _cell(name: str, value: object) -> object:
    if name in JSON_FIELDS:
        return _json_text(value)
    # What no database takes as text: people read these, nothing is computed from them.
    return UNSTORABLE.sub("\ufffd", value) if isinstance(value, str) else value


def _json_text(value: JsonValue) -> str:
    """Canonical JSON; a lone surrogate, which UTF-8 cannot carry, is spelled as its JSON escape."""
    try:
        return canonical_json(value).encode("utf-8", "backslashreplace").decode("utf-8")
    except (TypeError, ValueError) as error:
        raise StoreError(f"a record's body is not JSON: {error}") from error


@dataclass(slots=True)
class Group:
    """The writes of one commit, sorted by table, each checked by itself."""

    run_id: str
    facts: list[Row] = field(default_factory=list)
    draws: list[Row] = field(default_factory=list)
    decisions: list[Row] = field(default_factory=list)
    begun: list[Row] = field(default_factory=list)
    ended: list[Row] = field(default_factory=list)
    run: Row = field(default_factory=dict)

    @classmethod
    def of(cls, run_id: str, writes: Iterable[Write]) -> Group:
        """Raises StoreError on a fact of another run, a failure for everybody, or a body that is not JSON."""
        group = cls(run_id)
        for write in writes:
            group._add(write)
        # One order for everybody, so that two runs that write the same facts never wait for each other.
        group.facts.sort(key=lambda row: (row["scope"], row["key"]))
        group.decisions.sort(key=lambda row: row["seq"])
        return group

    def _add(self, write: Write) -> None:
        match write:
            case Fact():
                self.facts.append(to_row(self._own(write)))
            case Draw():
                self.draws.append({"run_id": self.run_id, "key": write.key})
            case StoredDecision():
                self.decisions.append(to_row(write, run_id=self.run_id))
            case AttemptBegun():
                self.begun.append(to_row(write, run_id=self.run_id))
            case AttemptEnded():
                self.ended.append(ended_row(write))
            case StatusSet():
                self.run |= {"status": write.status, "status_detail": _cell("detail", write.detail)}
                self.run |= {"wish": ""} if write.clear_wish else {}

    def _own(self, fact: Fact) -> Fact:
        if fact.scope not in ("", self.run_id):
            raise StoreError(f"run {self.run_id}: fact {fact.key} is of run {fact.scope}")
        if fact.kind == "failure" and not fact.scope:
            raise StoreError(f"run {self.run_id}: failure {fact.key} must not be handed to other runs")
        return fact

    def new_decisions(self, stored: Iterable[Mapping[str, Any]], length: int) -> list[Row]:
        """Those to be appended to a log of this length. `stored` are the ones that share a seq or a key.

        Raises StoreError if a seq or key is taken by another decision, or the log would have a gap.
        """
        taken = {row["seq"]: row for row in stored}
        keys = {row["key"] for row in taken.values()}
        new: list[Row] = []
        for row in self.decisions:
            seq, key = row["seq"], row["key"]
            if seq in taken and _same(taken[seq], row):
                continue
            if seq in taken:
                raise StoreError(f"run {self.run_id}: decision {seq} is {taken[seq]['key']!r}, not {key!r}")
            if key in keys:
                raise StoreError(f"run {self.run_id}: decision {key!r} is in the log already")
            if seq != length:
                raise StoreError(f"run {self.run_id}: decision {seq} does not follow a log of {length}")
            taken[seq] = row
            keys.add(key)
            new.append(row)
            length += 1
        return new

    def check_attempts(self, known: Iterable[str]) -> None:
        """`known` are those stored attempts that begin or end here. Raises StoreError on a wrong one."""
        there = set(known)
        for row in self.begun:
            if row["id"] in there:
                raise StoreError(f"run {self.run_id}: attempt {row['id']} began already")
            there.add(row["id"])
        for row in self.ended:
            if row["id"] not in there:
                raise StoreError(f"run {self.run_id}: attempt {row['id']} ended but never began")


def _same(stored: Mapping[str, Any], row: Row) -> bool:
    """One decision written twice; clock readings beside it may differ."""
    return all(stored[name] == row[name] for name in ("key", "body", "chain"))


def chunks(items: Sequence[T], size: int = 500) -> Iterable[Sequence[T]]:
    """Pieces of at most `size`, so that no statement outgrows a database's limit of parameters."""
    return (items[start : start + size] for start in range(0, len(items), size))


def newest_first(runs: Sequence[Run]) -> list[Run]:
    return sorted(runs, key=lambda run: (run.created_at, run.id), reverse=True)


def only_one(prefix: str, runs: Sequence[Run]) -> Run:
    """The run of exactly this id, or the only one of `runs`, whose ids all start so."""
    exact = [run for run in runs if run.id == prefix]
    if len(exact or runs) == 1:
        return (exact or runs)[0]
    if not runs:
        raise UnknownRun(f"no run {prefix}")
    ids = ", ".join(sorted(run.id for run in runs)[:5])
    raise UnknownRun(f"{len(runs)} runs start with {prefix!r}: {ids}{', ...' if len(runs) > 5 else ''}")
