"""A run, followed: each look reads what is new in its record, and nothing else."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from paretune.core import events
from paretune.core.budget import POLICY, Ledger, Limits
from paretune.core.candidate import CandidateId, content_id
from paretune.core.errors import ParetuneError
from paretune.core.events import Decision, from_record
from paretune.core.example import Split
from paretune.core.keyset import KeySet
from paretune.core.rollout import Failure
from paretune.engine.run import LOOKED_AT, restore
from paretune.engine.standing import Course, Standing
from paretune.evaluate.facts import is_rollout, outcome
from paretune.evaluate.rollouts import Rollouts
from paretune.store.base import Attempt, Fact, Run, Store, StoredDecision
from paretune.views.calls import Calls, second
from paretune.views.faults import Fault, Signature, signature
from paretune.views.repeats import Repeats
from paretune.views.run_view import Moment, Row, RunView, best_of

CLOSING = (Split.SELECT, Split.TEST)
"""Splits that only the closing evaluation draws from."""


class Following:
    """Reads one run again and again. For one thread at a time.

    What its views hold is shared between them and goes on growing: a view is good until the next `catch_up`.
    """

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._start()

    def _start(self) -> None:
        self._log = _Log()
        self._attempts = _Attempts()
        self._results = _Results()
        self._done: set[str] = set()
        """Keys of attempts that were done, whose results are still to be read."""
        self._draws = -1
        """So many draws are read; -1 if they are to be read whatever their number."""

    def catch_up(self) -> RunView:
        """The run as it is now. Raises UnknownRun, or ParetuneError if the record cannot be read.

        Takes time for what was written since the last call; and where draws or failures are among it, a
        little for each of all draws or failures of the run.
        """
        run = self._store.run(self._run_id)
        self._run_id = run.id
        try:
            with _uncollected():
                self._read(run)
        except BaseException:
            self._start()  # of what was read by halves, all is read again
            raise
        return self._view(run)

    def _read(self, run: Run) -> None:
        self._results.lo = run.job.get("lo")
        # The log first: what it refers to was written before it.
        self._log.add(run, self._store.decisions(run.id, len(self._log.decisions)))
        self._read_attempts()
        best = self._log.best
        rollouts, told = self._results.rollouts, frozenset({self._log.seed, best.id if best else ""})
        for facts in self._facts(rollouts.missing_texts(told)):
            rollouts.tell(facts)
        self._read_facts()

    def _read_attempts(self) -> None:
        seen = self._attempts
        new = self._store.attempts(self._run_id, seen.place, list(seen.open))
        if again := self._results.lacking.keys() & {a.begun.key for a in new if a.place > seen.place}:
            self._forget(again)  # a failure that is asked for again was forgotten
        seen.add(new)
        self._done.update(a.begun.key for a in new if a.ended and a.ended.outcome == "done")

    def _read_facts(self) -> None:
        if self._results.lacking and (gone := self._results.lacking.keys() - self._store.own(self._run_id)):
            self._forget(gone)
        draws = self._store.draws(self._run_id, self._draws)
        if draws or self._draws < 0:
            self._draws = len(draws)
        wanted = self._results.unread({*draws, *self._done})
        for facts in self._facts(wanted):
            self._results.add(facts, self._run_id)
            wanted.difference_update(fact.key for fact in facts)
        self._done &= wanted | self._results.lacking.keys()
        if wanted:
            self._draws = -1  # forgotten since we read that they are drawn

    def _forget(self, keys: Collection[str]) -> None:
        self._results.forget(keys)
        self._draws = -1

    def _facts(self, keys: Iterable[str]) -> Iterator[list[Fact]]:
        """Those there are, in the order of their keys, a few of them in memory at a time."""
        wanted = sorted(keys)
        for start in range(0, len(wanted), LOOKED_AT):
            facts = self._store.facts(wanted[start : start + LOOKED_AT], self._run_id)
            yield [facts[key] for key in sorted(facts)]

    def _view(self, run: Run) -> RunView:
        log, attempts, results = self._log, self._attempts, self._results
        ledger = replace(
            attempts.ledger,
            limits=Limits(**run.job.get("limits", {})),
            drawn=results.drawn,
            by_role={role: replace(spent) for role, spent in attempts.ledger.by_role.items()},
        )
        for role, number in sorted((+results.reused).items()):
            ledger.reuse(role, number)
        if run.status != "running":  # else they may be in flight
            restore(ledger, list(attempts.open.values()))
        last = log.moments[-1] if log.moments else Moment("", 0.0)
        in_flight = tuple(attempt.begun for attempt in attempts.open.values())
        out = results.drawn.missing(begun.key for begun in in_flight if begun.role in POLICY)
        standing = Standing(
            log.course,
            drawn=len(results.drawn) + len(out),
            elapsed=last.elapsed,
            timed=attempts.calls.done_by(second(last.at)) if log.moments else 0,
            out=len(out),
            closing=results.closing,
            spent=ledger.by_role,
        )
        return RunView(
            run=run,
            decisions=log.decisions,
            rows=log.rows,
            rollouts=results.rollouts,
            cheap=results.cheap,
            failures=results.failures,
            ledger=ledger,
            elapsed=last.elapsed,
            standing=standing,
            splits=run.job["splits"],
            moments=log.moments,
            spent=attempts.calls.table,
            in_flight=in_flight,
            drawn_at=results.drawn_at,
            known=results.known,
            others=frozenset(results.others),
            faults=attempts.faults,
            verdicts=results.verdicts,
        )


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without collections of garbage, which would go through everything that is read, again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


# -- decisions -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Log:
    """`rows` are in order of appearance; a text proposed twice is one row."""

    seed: CandidateId = ""
    decisions: tuple[Decision, ...] = ()
    moments: tuple[Moment, ...] = ()
    rows: dict[CandidateId, Row] = field(default_factory=dict)
    course: Course = field(default_factory=Course)

    @property
    def best(self) -> Row | None:
        return best_of(self.rows, self.course.best)

    def add(self, run: Run, log: Sequence[StoredDecision]) -> None:
        try:
            new = [from_record(stored.body) for stored in log]
        except (ValueError, TypeError) as error:
            raise ParetuneError(f"the record of {run.id} cannot be read: {error}") from error
        if not self.rows:
            self.seed = content_id(run.job["seed"])
            self.rows[self.seed] = Row(self.seed, 0, dict(run.job["seed"]), (), "seed", 0, 0, "seed")
        for stored, decision in zip(log, new, strict=True):
            self.course = self.course.after(decision, stored.elapsed)
            self._fold(decision)
        if new:
            self.decisions += tuple(new)
            self.moments += tuple(Moment(stored.at, stored.elapsed) for stored in log)

    def _fold(self, decision: Decision) -> None:
        rows = self.rows
        match decision:
            case events.ChildProposed():
                known = rows.get(decision.child)
                rows[decision.child] = Row(
                    decision.child,
                    known.index if known else len(rows),
                    decision.components,
                    tuple(decision.parents),
                    decision.origin,
                    decision.generation,
                    decision.step,
                    rationale=decision.rationale,
                )
            case events.GateDecided():
                gate = (decision.before, decision.after, decision.pairs)
                state = "passed" if decision.passed else "rejected"
                row = rows[decision.child]
                rows[decision.child] = replace(row, gate=gate, state=state, reason=decision.reason)
            case events.TrialEnded() if decision.candidate in rows:
                rows[decision.candidate] = _tried(rows[decision.candidate], decision)
            case events.CandidateAdmitted():
                state = "seed" if decision.candidate == self.seed else "admitted"
                row = rows[decision.candidate]
                rows[decision.candidate] = replace(row, mean=decision.mean, state=state, pool=decision.pool)
            case events.PoolJudged(completed=True) if decision.measured == decision.wanted:
                mean = (rows[decision.rival].mean or 0.0) + decision.difference
                rows[decision.candidate] = replace(rows[decision.candidate], mean=mean, pool=0)
            case events.HeadMoved() if decision.head not in rows:
                rows[decision.head] = Row(
                    decision.head,
                    len(rows),
                    decision.components,
                    tuple(decision.parents),
                    "join",
                    decision.generation,
                    decision.step,
                    state="passed",
                    reason="two passed edits on one text",
                )
            case events.EvaluationDeferred():
                rows[decision.child] = replace(rows[decision.child], state="deferred")
            case events.RungEnded(stopped=True) | events.ProxyDecided(stopped=True):
                rows[decision.candidate] = replace(rows[decision.candidate], state="stopped")
            case events.CandidateRetired():
                rows[decision.candidate] = replace(rows[decision.candidate], state="retired")
            case _:
                pass


def _tried(row: Row, trial: events.TrialEnded) -> Row:
    """With one more trial; of who was evaluated in full the state stays."""
    summed, examples = row.batches or (0.0, 0)
    more = summed + (trial.mean or 0.0) * trial.scored, examples + trial.scored
    return replace(row, batches=more, state="tried" if row.state == "proposed" else row.state)


# -- attempts ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Attempts:
    """`open` are those without an end, by place; the last that was read began at `place`."""

    ledger: Ledger = field(default_factory=Ledger)
    calls: Calls = field(default_factory=Calls)
    open: dict[int, Attempt] = field(default_factory=dict)
    faults: dict[Signature, Fault] = field(default_factory=dict)
    place: int = 0

    def add(self, attempts: Sequence[Attempt]) -> None:
        """In the order of their places: new ones, and those that were open, as they are now."""
        ended = [attempt for attempt in attempts if attempt.ended]
        for attempt in attempts:
            if attempt.ended is None:
                self.open[attempt.place] = attempt
            else:
                self.open.pop(attempt.place, None)
                if attempt.ended.outcome == "failed":
                    signed = signature(attempt.begun.role, attempt.ended.failure, attempt.ended.message)
                    self.faults.setdefault(signed, Fault()).add(attempt)
        restore(self.ledger, ended)
        self.calls.add(ended)
        if attempts:
            self.place = max(self.place, attempts[-1].place)


# -- facts ---------------------------------------------------------------------------------------------


class _Lack(NamedTuple):
    """The failure of a rollout, or of a proposal (None), and how it was counted: in which role."""

    failure: Failure | None
    reused: bool
    at: float
    role: str


@dataclass(slots=True)
class _Results:
    """What was drawn. `lacking` are failures by key, `drawn` all rollouts, `others` what is none; the rest as
    in the view.

    `lo` is the identity of the cheap policy, whose rollouts are kept apart: they are nobody's scores.
    """

    lo: Mapping[str, str] | None = None
    rollouts: Rollouts = field(default_factory=Rollouts)
    cheap: Rollouts = field(default_factory=Rollouts)
    lacking: dict[str, _Lack] = field(default_factory=dict)
    drawn: KeySet = field(default_factory=KeySet)
    reused: Counter[str] = field(default_factory=Counter)
    known: Counter[CandidateId] = field(default_factory=Counter)
    closing: int = 0
    others: set[str] = field(default_factory=set)
    verdicts: Repeats = field(default_factory=Repeats)
    _came: np.ndarray = field(default_factory=lambda: np.zeros(0))
    _came_since: list[float] = field(default_factory=list)
    _failures: tuple[Failure, ...] | None = ()

    @property
    def failures(self) -> tuple[Failure, ...]:
        """In the order of their keys; without the cheap policy's."""
        if self._failures is None:
            found = (self.lacking[key] for key in sorted(self.lacking))
            self._failures = tuple(lack.failure for lack in found if lack.failure and lack.role == "rollout")
        return self._failures

    @property
    def drawn_at(self) -> np.ndarray:
        if self._came_since:
            self._came = np.sort(np.concatenate([self._came, self._came_since]), kind="stable")
            self._came_since = []
        given_up = [lack.at for lack in self.lacking.values() if lack.failure and not lack.reused]
        return np.sort(np.concatenate([self._came, given_up]), kind="stable") if given_up else self._came

    def unread(self, keys: set[str]) -> set[str]:
        """Those of `keys` whose facts are still to be added."""
        return self.drawn.missing(keys - self.others)

    def add(self, facts: Sequence[Fact], run_id: str) -> None:
        """Those that this run draws, of which none was added before."""
        self.drawn.extend({fact.key for fact in facts if is_rollout(fact)})
        for fact in facts:
            self._add(fact, run_id)

    def _add(self, fact: Fact, run_id: str) -> None:
        reused, role = fact.paid_by != run_id, self._role(fact)
        if reused:
            self.reused[role] += 1
        if not is_rollout(fact):
            self.others.add(fact.key)
            if fact.kind == "verdict":
                self.verdicts.add(fact)
            if fact.kind == "failure":
                self.lacking[fact.key] = _Lack(None, reused, 0.0, role)
            return
        if fact.kind == "failure":
            failure = outcome(fact)
            assert isinstance(failure, Failure)
            self.lacking[fact.key] = _Lack(failure, reused, second(fact.at), role)
            self._failures = None
            self._count(failure.key.candidate, failure.key.split, reused, 1)
            return
        kind = self.rollouts if role == "rollout" else self.cheap
        self._count(*kind.add(fact), reused, 1)
        if not reused:
            self._came_since.append(second(fact.at))

    def _role(self, fact: Fact) -> str:
        """Whose call it is, or saved."""
        if not is_rollout(fact):
            return "verdict" if fact.kind == "verdict" else "proposal"
        return "proxy" if self.lo is not None and fact.body["key"]["identity"] == self.lo else "rollout"

    def _count(self, candidate: CandidateId, split: str, reused: bool, by: int) -> None:
        closing = split in CLOSING
        self.closing += by * closing
        if reused and not closing:
            self.known[candidate] += by

    def forget(self, keys: Collection[str]) -> None:
        """These failures, as if they had never been read."""
        self.others.difference_update(keys)
        self.drawn = KeySet(key for key in self.drawn if key not in keys)
        self._failures = None
        for key in keys:
            lack = self.lacking.pop(key)
            self.reused[lack.role] -= lack.reused
            if lack.failure:
                self._count(lack.failure.key.candidate, lack.failure.key.split, lack.reused, -1)
