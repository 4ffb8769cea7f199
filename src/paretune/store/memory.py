"""A store that lives as long as its process: for tests, and for runs that nobody resumes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from threading import Lock

from paretune.store.base import Attempt, Fact, Run, StoredDecision, StoreError, UnknownRun, Wish, Write
from paretune.store.rows import (
    Group,
    Row,
    attempt_from_row,
    from_row,
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

    def sharing(self, rows: Iterable[Row]) -> list[Row]:
        """Decisions of the log that share a seq or a key with one of `rows`."""
        seqs = {seq for row in rows for seq in (row["seq"], self.seqs.get(row["key"], -1))}
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

    def run(self, run_id: str) -> Run:
        with self._lock:
            rows = [run.row for id, run in self._runs.items() if id.startswith(run_id)]
            return only_one(run_id, [run_from_row(row) for row in rows])

    def commit(self, run_id: str, writes: Sequence[Write]) -> None:
        group = Group.of(run_id, writes)
        with self._lock:
            run = self._of(run_id)
            new = group.new_decisions(run.sharing(group.decisions), len(run.decisions))
            named = {row["id"] for row in (*group.begun, *group.ended)}
            group.check_attempts(named & run.attempts.keys())
            for row in group.facts:
                self._facts.setdefault((row["scope"], row["key"]), row)
            run.draws.update(row["key"] for row in group.draws)
            run.seqs.update((row["key"], row["seq"]) for row in new)
            run.decisions.extend(new)
            run.attempts.update((row["id"], row | {"outcome": None}) for row in group.begun)
            for row in group.ended:
                if run.attempts[row["id"]]["outcome"] is None:
                    run.attempts[row["id"]] |= row
            run.row |= group.run

    def facts(self, keys: Sequence[str], scope: str = "") -> dict[str, Fact]:
        with self._lock:
            rows = (self._facts.get((scope, key)) or self._facts.get(("", key)) for key in keys)
            return {row["key"]: from_row(Fact, row) for row in rows if row}

    def drawn(self, run_id: str) -> list[str]:
        with self._lock:
            return sorted(self._of(run_id).draws)

    def decisions(self, run_id: str, since: int = 0) -> list[StoredDecision]:
        with self._lock:
            return [from_row(StoredDecision, row) for row in self._of(run_id).decisions[max(since, 0) :]]

    def attempts(self, run_id: str) -> list[Attempt]:
        with self._lock:
            return [attempt_from_row(row) for row in self._of(run_id).attempts.values()]

    def forget_failures(self, run_id: str, keys: Sequence[str]) -> None:
        with self._lock:
            run = self._of(run_id)
            for key in keys:
                if self._facts.get((run_id, key), {}).get("kind") == "failure":
                    del self._facts[run_id, key]
                    run.draws.discard(key)

    def wish(self, run_id: str, wish: Wish) -> None:
        with self._lock:
            self._of(run_id).row["wish"] = wish

    def close(self) -> None:
        """Nothing to let go of."""

    def _of(self, run_id: str) -> _Run:
        if run_id not in self._runs:
            raise UnknownRun(f"no run {run_id}")
        return self._runs[run_id]
