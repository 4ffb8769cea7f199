"""The store on disk: SQLite or PostgreSQL, one SQL for both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields

from paretune.core.canonical import JsonValue
from paretune.store.base import (
    SETTLED,
    Attempt,
    AttemptBegun,
    Fact,
    Run,
    StoredDecision,
    StoreError,
    UnknownRun,
    Wish,
    Write,
)
from paretune.store.databases import Session, told
from paretune.store.rows import (
    Group,
    Row,
    attempt_from_row,
    chunks,
    decision_from_row,
    fact_from_row,
    job_with_limits,
    newest_first,
    only_one,
    run_from_row,
    run_row,
)
from paretune.store.schema import RUN_SCHEMA
from paretune.store.tables import OR_LEAVE, Tables, insert, marks

RUN, DECISION = (tuple(f.name for f in fields(kind)) for kind in (Run, StoredDecision))
FACT, BEGUN = Fact._fields, AttemptBegun._fields
ENDED = (
    "outcome",
    "failure",
    "message",
    "prompt_tokens",
    "completion_tokens",
    "cost_usd",
    "seconds",
    "ended_at",
)


ADD_RUN = insert("runs", *RUN) + OR_LEAVE
ADD_FACT = insert("facts", *FACT) + OR_LEAVE
ADD_DRAW = insert("draws", "run_id", "key") + OR_LEAVE
ADD_DECISION = insert("decisions", "run_id", *DECISION)
BEGIN_ATTEMPT = insert("attempts", "run_id", *BEGUN) + OR_LEAVE
END_ATTEMPT = (
    f"UPDATE attempts SET {', '.join(f'{column} = ?' for column in ENDED)} "
    "WHERE run_id = ? AND id = ? AND outcome IS NULL"
)
SET_STATUS = (
    "UPDATE runs SET status = ?, status_detail = ?, wish = CASE WHEN ? THEN '' ELSE wish END WHERE id = ?"
)
DRAWS = "FROM draws WHERE run_id = ?"
DRAWN = f"SELECT key {DRAWS} UNION SELECT key FROM attempts WHERE run_id = ? AND outcome = 'done'"
RUNS = f"SELECT {', '.join(RUN)} FROM runs"
HEADINGS = RUNS.replace("job", f"CASE WHEN status IN ({marks(SETTLED)}) THEN '{{}}' ELSE job END")
FACTS = f"SELECT {', '.join(FACT)} FROM facts"
DECISIONS = f"SELECT {', '.join(DECISION)} FROM decisions WHERE run_id = ?"
ATTEMPTS = f"SELECT place, {', '.join(BEGUN + ENDED)} FROM attempts"
# By place, whoever else began some since; SQLite would go through all of the run's.
NEWEST_ATTEMPTS = f"{ATTEMPTS} WHERE place > ? AND run_id || '' = ? ORDER BY place"
FEW_PLACES = 20_000
"""Above, going through all attempts of one run is quicker than through the newest of all runs."""


class SqlStore(Tables):
    """Runs, in a SQLite file (made if it does not exist) or in a PostgreSQL database by its URL."""

    schema = RUN_SCHEMA

    def create_run(self, run: Run) -> None:
        row = run_row(run)
        with self._write() as session:
            if not session.run(ADD_RUN, *row):
                raise StoreError(f"{self.name}: run {run.id} exists already")

    def runs(self) -> list[Run]:
        with self._read() as session:
            return newest_first([run_from_row(row) for row in session.rows(RUNS)])

    def headings(self) -> list[Run]:
        with self._read() as session:
            return newest_first([run_from_row(row) for row in session.rows(HEADINGS, *SETTLED)])

    def run(self, run_id: str) -> Run:
        with self._read() as session:
            rows = session.rows(f"{RUNS} WHERE substr(id, 1, ?) = ?", len(run_id), run_id)
            return only_one(run_id, [run_from_row(row) for row in rows])

    def commit(self, run_id: str, writes: Sequence[Write]) -> frozenset[str]:
        group = Group.of(run_id, writes)
        with self._write() as session:
            _require(session, run_id, self._database.row_lock)
            others = _add_facts(session, group)
            session.each(ADD_DRAW, [(run_id, key) for key in group.draws])
            _add_decisions(session, group)
            _begin_attempts(session, group)
            _end_attempts(session, group)
            session.each(SET_STATUS, [(s.status, s.detail, s.clear_wish, run_id) for s in group.statuses])
        return others

    def facts(self, keys: Sequence[str], scope: str = "") -> dict[str, Fact]:
        with self._read() as session:
            found = [fact_from_row(row) for row in _facts(session, keys, scope)]
        everybodys = {fact.key: fact for fact in found if not fact.scope}
        return everybodys | {fact.key: fact for fact in found if fact.scope}

    def drawn(self, run_id: str) -> list[str]:
        with self._read() as session:
            _require(session, run_id)
            return sorted(key for (key,) in session.rows(DRAWN, run_id, run_id))

    def draws(self, run_id: str, known: int = -1) -> list[str]:
        with self._read() as session:
            _require(session, run_id)
            if known >= 0 and session.rows(f"SELECT count(*) {DRAWS}", run_id) == [(known,)]:
                return []
            return sorted(key for (key,) in session.rows(f"SELECT key {DRAWS}", run_id))

    def own(self, run_id: str) -> list[str]:
        with self._read() as session:
            _require(session, run_id)
            return sorted(key for (key,) in session.rows("SELECT key FROM facts WHERE scope = ?", run_id))

    def decisions(self, run_id: str, since: int = 0) -> list[StoredDecision]:
        with self._read() as session:
            _require(session, run_id)
            log = session.rows(f"{DECISIONS} AND seq >= ? ORDER BY seq", run_id, since)
            return [decision_from_row(row) for row in log]

    def attempts(self, run_id: str, since: int = 0, again: Sequence[int] = ()) -> list[Attempt]:
        with self._read() as session:
            _require(session, run_id)
            rows = [*_attempts_at(session, run_id, again, since), *_attempts_behind(session, run_id, since)]
            return [attempt_from_row(row) for row in rows]

    def attempts_of(self, run_id: str, key: str) -> list[Attempt]:
        with self._read() as session:
            _require(session, run_id)
            found = session.rows(f"{ATTEMPTS} WHERE run_id = ? AND key = ? ORDER BY place", run_id, key)
            return [attempt_from_row(row) for row in found]

    def forget_failures(self, run_id: str, keys: Sequence[str]) -> None:
        failures = "facts WHERE scope = ? AND kind = 'failure'"
        with self._write() as session:
            _require(session, run_id, self._database.row_lock)
            failed = {key for (key,) in session.rows(f"SELECT key FROM {failures}", run_id)}
            rows = [(run_id, key) for key in failed.intersection(keys)]
            session.each(f"DELETE FROM {failures} AND key = ?", rows)
            session.each("DELETE FROM draws WHERE run_id = ? AND key = ?", rows)

    def wish(self, run_id: str, wish: Wish) -> None:
        with self._write() as session:
            _require(session, run_id, self._database.row_lock)
            session.run("UPDATE runs SET wish = ? WHERE id = ?", wish, run_id)

    @contextmanager
    def claim(self, run_id: str) -> Iterator[bool]:
        with ExitStack() as stack:
            with told(self._database):
                mine = stack.enter_context(self._database.claim(run_id))
            yield mine

    def set_limits(self, run_id: str, limits: Mapping[str, JsonValue]) -> None:
        with self._write() as session:
            _require(session, run_id, self._database.row_lock)
            ((job,),) = session.rows("SELECT job FROM runs WHERE id = ?", run_id)
            session.run("UPDATE runs SET job = ? WHERE id = ?", job_with_limits(job, limits), run_id)


def _require(session: Session, run_id: str, lock: str = "") -> None:
    """Raises UnknownRun. With a lock, other writers of the run wait here."""
    if not session.rows(f"SELECT id FROM runs WHERE id = ?{lock}", run_id):
        raise UnknownRun(f"no run {run_id}")


def _facts(session: Session, keys: Sequence[str], scope: str) -> Iterator[Row]:
    for some in chunks(keys):
        statement = f"{FACTS} WHERE scope IN ('', ?) AND key IN ({marks(some)})"
        yield from session.rows(statement, scope, *some)


def _attempts_at(session: Session, run_id: str, places: Sequence[int], until: int) -> Iterator[Row]:
    for some in chunks(sorted({place for place in places if place <= until})):
        yield from session.rows(
            f"{ATTEMPTS} WHERE place IN ({marks(some)}) AND run_id = ? ORDER BY place", *some, run_id
        )


def _attempts_behind(session: Session, run_id: str, since: int) -> list[Row]:
    ((newest,),) = session.rows("SELECT max(place) FROM attempts")
    if (newest or 0) - since <= FEW_PLACES:
        return session.rows(NEWEST_ATTEMPTS, since, run_id)
    return session.rows(f"{ATTEMPTS} WHERE run_id = ? AND place > ? ORDER BY place", run_id, since)


def _add_facts(session: Session, group: Group) -> frozenset[str]:
    """The keys of those that something else is kept for."""
    if session.each(ADD_FACT, group.facts) == len(group.facts):
        return frozenset()
    kept = set(_facts(session, [key for key, *_ in group.facts], group.run_id))
    return frozenset(row[0] for row in group.facts if row not in kept)


def _add_decisions(session: Session, group: Group) -> None:
    if not group.decisions:
        return
    ((last,),) = session.rows("SELECT max(seq) FROM decisions WHERE run_id = ?", group.run_id)
    new = group.new_decisions(_sharing(session, group), 0 if last is None else last + 1)
    session.each(ADD_DECISION, [(group.run_id, *row) for row in new])


def _sharing(session: Session, group: Group) -> Iterator[Row]:
    """Decisions of the log that share a seq or a key with one of the group."""
    for some in chunks(group.decisions):
        for place, column in enumerate(("seq", "key")):  # with OR, SQLite reads the whole log
            statement = f"{DECISIONS} AND {column} IN ({marks(some)})"
            yield from session.rows(statement, group.run_id, *(row[place] for row in some))


def _begin_attempts(session: Session, group: Group) -> None:
    added = session.each(BEGIN_ATTEMPT, [(group.run_id, *row) for row in group.begun])
    if added < len(group.begun):
        session.undo()  # to see which of them were there before
        group.check_begun(_known_attempts(session, group.run_id, group.begun))
        raise StoreError(f"run {group.run_id}: an attempt began already")


def _end_attempts(session: Session, group: Group) -> None:
    """An end that is there already stays as it is."""
    rows = [(*row[1:], group.run_id, row[0]) for row in group.ended]
    if session.each(END_ATTEMPT, rows) < len(rows):
        group.check_ended(_known_attempts(session, group.run_id, group.ended))


def _known_attempts(session: Session, run_id: str, rows: Iterable[Row]) -> set[str]:
    known: set[str] = set()
    for some in chunks(sorted({id for id, *_ in rows})):
        statement = f"SELECT id FROM attempts WHERE run_id = ? AND id IN ({marks(some)})"
        known.update(id for (id,) in session.rows(statement, run_id, *some))
    return known
