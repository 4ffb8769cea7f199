"""A store that lives as long as its process: for tests, and for runs that nobody resumes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from threading import Lock

from paretune.core.canonical import JsonValue
from paretune.store.base import (
    SETTLED,
    Attempt,
    Fact,
    Run,
    StoredDecision,
    StoreError,
    UnknownRun,
    Wish,
    Write,
)
from paretune.store.rows import (
    BEGUN_FIELDS,
    Group,
    Row,
    attempt_from_row,
    decision_from_row,
    fact_from_row,
    job_with_limits,
    newest_first,
    only_one,
    run_from_row,
    run_row,
)


@dataclass(slots=True)
class _Run:
    row: Row
    draws: set[str] = field(default_factory=set)
    decisions: list[Row] = field(default_factory=list)
    seqs: dict[str, int] = field(default_factory=dict)
    attempts: dict[str, Row] = field(default_factory=dict)
    places: list[str] = field(default_factory=list)

    def sharing(self, rows: Iterable[Row]) -> list[Row]:
        """Decisions of the log that share a seq or a key with one of `rows`."""
        seqs = {seq for row in rows for seq in (row[0], self.seqs.get(row[1], -1))}
        return [self.decisions[seq] for seq in seqs if 0 <= seq < len(self.decisions)]


class MemoryStore:
    """Keeps rows, as the databases do, so that what comes out is nobody else's to change."""

    def __init__(self) -> None:
        self._runs: dict[str, _Run] = {}
        self._facts: dict[tuple[str, str], Row] = {}
        self._lock = Lock()

    def create_run(self, run: Run) -> None:
        row = run_row(run)
        with self._lock:
            if run.id in self._runs:
                raise StoreError(f"run {run.id} exists already")
            self._runs[run.id] = _Run(row)

    def runs(self) -> list[Run]:
        with self._lock:
            return newest_first([run_from_row(run.row) for run in self._runs.values()])

    def headings(self) -> list[Run]:
        return [replace(run, job={}) if run.status in SETTLED else run for run in self.runs()]

    def run(self, run_id: str) -> Run:
        with self._lock:
            rows = [run.row for id, run in self._runs.items() if id.startswith(run_id)]
            return only_one(run_id, [run_from_row(row) for row in rows])

    def commit(self, run_id: str, writes: Sequence[Write]) -> frozenset[str]:
        group = Group.of(run_id, writes)
        with self._lock:
            run = self._of(run_id)
            new = group.new_decisions(run.sharing(group.decisions), len(run.decisions))
            group.check_begun(run.attempts)
            group.check_ended(run.attempts)
            kept = {row: self._facts.setdefault((row[3], row[0]), row) for row in group.facts}
            run.draws.update(group.draws)
            run.seqs.update((key, seq) for seq, key, *_ in new)
            run.decisions.extend(new)
            run.attempts.update((row[0], (*row, None)) for row in group.begun)
            run.places.extend(row[0] for row in group.begun)
            for id, *end in group.ended:
                if run.attempts[id][BEGUN_FIELDS] is None:
                    run.attempts[id] = (*run.attempts[id][:BEGUN_FIELDS], *end)
            for status in group.statuses:
                *record, _, _, wish = run.row
                run.row = (*record, status.status, status.detail, "" if status.clear_wish else wish)
        return frozenset(row[0] for row, there in kept.items() if there != row)

    def facts(self, keys: Sequence[str], scope: str = "") -> dict[str, Fact]:
        with self._lock:
            rows = (self._facts.get((scope, key)) or self._facts.get(("", key)) for key in keys)
            return {row[0]: fact_from_row(row) for row in rows if row}

    def drawn(self, run_id: str) -> list[str]:
        with self._lock:
            run = self._of(run_id)
            done = {row[1] for row in run.attempts.values() if row[BEGUN_FIELDS] == "done"}
            return sorted(run.draws | done)

    def draws(self, run_id: str, known: int = -1) -> list[str]:
        with self._lock:
            draws = self._of(run_id).draws
            return [] if len(draws) == known else sorted(draws)

    def own(self, run_id: str) -> list[str]:
        with self._lock:
            self._of(run_id)
            return sorted(key for scope, key in self._facts if scope == run_id)

    def decisions(self, run_id: str, since: int = 0) -> list[StoredDecision]:
        with self._lock:
            return [decision_from_row(row) for row in self._of(run_id).decisions[max(since, 0) :]]

    def attempts(self, run_id: str, since: int = 0, again: Sequence[int] = ()) -> list[Attempt]:
        with self._lock:
            run = self._of(run_id)
            last = len(run.places)
            places = [*sorted({place for place in again if 0 < place <= since}), *range(since + 1, last + 1)]
            return [attempt_from_row((place, *run.attempts[run.places[place - 1]])) for place in places]

    def attempts_of(self, run_id: str, key: str) -> list[Attempt]:
        return [attempt for attempt in self.attempts(run_id) if attempt.begun.key == key]

    def forget_failures(self, run_id: str, keys: Sequence[str]) -> None:
        with self._lock:
            run = self._of(run_id)
            for key in keys:
                if self._facts.get((run_id, key), ("", ""))[1] == "failure":
                    del self._facts[run_id, key]
                    run.draws.discard(key)

    def wish(self, run_id: str, wish: Wish) -> None:
        with self._lock:
            run = self._of(run_id)
            run.row = (*run.row[:-1], wish)

    def claim(self, run_id: str) -> AbstractContextManager[bool]:
        return nullcontext(True)

    def set_limits(self, run_id: str, limits: Mapping[str, JsonValue]) -> None:
        with self._lock:
            run = self._of(run_id)
            *names, job, status, detail, wish = run.row
            run.row = (*names, job_with_limits(job, limits), status, detail, wish)

    def close(self) -> None:
        """Nothing to let go of."""

    def _of(self, run_id: str) -> _Run:
        if run_id not in self._runs:
            raise UnknownRun(f"no run {run_id}")
        return self._runs[run_id]
