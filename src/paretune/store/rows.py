"""Records as rows and back, and the rules that every store holds a commit to.

A row is a tuple of the record's fields, in their order, with JSON as text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, TypeVar

from pydantic_core import from_json

from paretune.core.canonical import JsonValue, Written, canonical_json
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

Row = tuple[Any, ...]
T = TypeVar("T")

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
BEGUN_FIELDS = len(AttemptBegun._fields)


def json_text(value: JsonValue) -> str:
    """Canonical JSON; a lone surrogate, which UTF-8 cannot carry, is spelled as its JSON escape.

    Raises StoreError on what JSON cannot say.
    """
    try:
        text = value.text if type(value) is Written else canonical_json(value)
    except (TypeError, ValueError) as error:
        raise StoreError(f"a record's body is not JSON: {error}") from error
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def read_json(text: str) -> JsonValue:
    """What `json.loads` gives, in half its time. Raises JSONDecodeError."""
    try:
        return from_json(text)
    except ValueError:  # halves of surrogate pairs, nesting of hundreds of levels: or no JSON at all
        return json.loads(text)


def storable(text: str) -> str:
    """Without what no database takes as text: people read it, nothing is computed from it."""
    return UNSTORABLE.sub("\ufffd", text) if text else text


def fact_row(fact: Fact) -> Row:
    body = json_text(fact.body)
    return (fact.key, fact.kind, body, fact.scope, fact.paid_by, fact.seconds, fact.at)


def fact_from_row(row: Row) -> Fact:
    key, kind, body, *rest = row
    return Fact(key, kind, read_json(body), *rest)


def as_stored(fact: Fact) -> Fact:
    """The fact as any store gives it back: the keys of its body sorted, tuples as lists.

    Raises StoreError on what JSON cannot say.
    """
    return fact_from_row(fact_row(fact))


def decision_from_row(row: Row) -> StoredDecision:
    seq, key, body, *rest = row
    return StoredDecision(seq, key, read_json(body), *rest)


def attempt_from_row(row: Row) -> Attempt:
    """From its place, the row of its beginning and the row of its end without the id; or Nones there."""
    place, begun, ended = row[0], AttemptBegun._make(row[1 : BEGUN_FIELDS + 1]), row[BEGUN_FIELDS + 1 :]
    return Attempt(begun, None if ended[0] is None else AttemptEnded(begun.id, *ended), place)


def run_row(run: Run) -> Row:
    """The row of a new run. Raises StoreError on an id that could not name a folder."""
    _check_id(run.id)
    name, detail = storable(run.name), storable(run.status_detail)
    return (run.id, name, run.created_at, json_text(run.job), run.status, detail, run.wish)


def run_from_row(row: Row) -> Run:
    """Checked on the way out too: the file may be somebody else's."""
    id, name, created_at, job, *rest = row
    _check_id(id)
    return Run(id, name, created_at, read_json(job), *rest)


def job_with_limits(job: str, limits: Mapping[str, JsonValue]) -> str:
    """A run's job as text, with these limits."""
    return json_text({**read_json(job), "limits": dict(limits)})


def _check_id(run_id: str) -> None:
    if not RUN_ID.fullmatch(run_id):
        raise StoreError(f"run id {run_id!r}: letters, digits, '-' and '_' only, 100 at most")


@dataclass(slots=True)
class Group:
    """The writes of one commit as rows, sorted by table, each checked by itself. `draws` are keys."""

    run_id: str
    facts: list[Row] = field(default_factory=list)
    draws: list[str] = field(default_factory=list)
    decisions: list[Row] = field(default_factory=list)
    begun: list[Row] = field(default_factory=list)
    ended: list[Row] = field(default_factory=list)
    statuses: list[StatusSet] = field(default_factory=list)

    @classmethod
    def of(cls, run_id: str, writes: Iterable[Write]) -> Group:
        """Raises StoreError on a fact of another run, a failure for everybody, or a body that is not JSON."""
        group = cls(run_id)
        for write in writes:
            group._add(write)
        # One order for everybody, so that two runs that write the same facts never wait for each other.
        group.facts.sort(key=itemgetter(3, 0))
        group.decisions.sort(key=itemgetter(0))
        return group

    def _add(self, write: Write) -> None:
        match write:
            case Fact():
                self._check_owner(write)
                self.facts.append(fact_row(write))
            case Draw(key):
                self.draws.append(key)
            case AttemptBegun():
                self.begun.append(write)
            case AttemptEnded(failure="", message=""):
                self.ended.append(write)
            case AttemptEnded(failure=failure, message=message):
                self.ended.append(write._replace(failure=storable(failure), message=storable(message)))
            case StoredDecision(seq, key, body, chain, elapsed, at):
                self.decisions.append((seq, key, json_text(body), chain, elapsed, at))
            case StatusSet(status, detail, clear_wish):
                self.statuses.append(StatusSet(status, storable(detail), clear_wish))

    def _check_owner(self, fact: Fact) -> None:
        if fact.scope not in ("", self.run_id):
            raise StoreError(f"run {self.run_id}: fact {fact.key} is of run {fact.scope}")
        if fact.kind == "failure" and not fact.scope:
            raise StoreError(f"run {self.run_id}: failure {fact.key} must not be handed to other runs")

    def new_decisions(self, stored: Iterable[Row], length: int) -> list[Row]:
        """Those to be appended to a log of this length. `stored` are the ones that share a seq or a key.

        Raises StoreError if a seq or key is taken by another decision, or the log would have a gap.
        """
        taken = {row[0]: row for row in stored}
        keys = {row[1] for row in taken.values()}
        new: list[Row] = []
        for row in self.decisions:
            seq, key, body, chain, *_ = row
            # One decision written twice; clock readings beside it may differ.
            if seq in taken and taken[seq][1:4] == (key, body, chain):
                continue
            if seq in taken:
                raise StoreError(f"run {self.run_id}: decision {seq} is {taken[seq][1]!r}, not {key!r}")
            if key in keys:
                raise StoreError(f"run {self.run_id}: decision {key!r} is in the log already")
            if seq != length:
                raise StoreError(f"run {self.run_id}: decision {seq} does not follow a log of {length}")
            taken[seq] = row
            keys.add(key)
            new.append(row)
            length += 1
        return new

    def check_begun(self, stored: Container[str]) -> None:
        """Raises StoreError on an attempt that begins again. `stored` are the ids that were there before."""
        new = set[str]()
        for id, *_ in self.begun:
            if id in stored or id in new:
                raise StoreError(f"run {self.run_id}: attempt {id} began already")
            new.add(id)

    def check_ended(self, stored: Container[str]) -> None:
        """Raises StoreError on an attempt that neither began before nor begins here."""
        new = {id for id, *_ in self.begun}
        for id, *_ in self.ended:
            if id not in stored and id not in new:
                raise StoreError(f"run {self.run_id}: attempt {id} ended but never began")


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
