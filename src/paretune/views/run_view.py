"""A run, read from its record: the fold that every page, table and packet starts from."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from paretune.core import events
from paretune.core.budget import Ledger, Limits
from paretune.core.candidate import CandidateId, content_id
from paretune.core.errors import ParetuneError
from paretune.core.events import Decision, from_record
from paretune.core.example import ExampleId, Split
from paretune.core.rollout import Answer, Failure, Rollout
from paretune.engine.outlook import Outlook, outlook
from paretune.engine.run import LOOKED_AT, restore
from paretune.engine.standing import Course, Standing
from paretune.engine.verify import stored_job
from paretune.evaluate.facts import is_rollout, outcome
from paretune.store.base import Attempt, Fact, Run, Store, StoredDecision

CLOSING = (Split.SELECT, Split.TEST)
"""Splits that only the closing evaluation draws from."""


@dataclass(frozen=True, slots=True)
class Row:
    """One candidate, admitted or turned down.

    `state`: seed, frontier (admitted, holds a cell), admitted, deferred (passed its gate, never fully
    evaluated), stopped (in a rung of its full evaluation), rejected (gate). `mean` is over the pareto
    examples that were scored, None where they were not all asked for.
    """

    id: CandidateId
    index: int
    components: Mapping[str, str]
    parents: tuple[CandidateId, ...]
    origin: str
    generation: int
    step: int
    state: str = "proposed"
    gate: tuple[float, float, int] | None = None
    mean: float | None = None
    rationale: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RunView:
    """Everything of one run that people ask for. Built by `read`; immutable.

    `rollouts` have their texts (input, output, expected, feedback, trace) where seed or best was asked.
    `elapsed` are active seconds at the last decision; `standing` is where a forecast starts from.
    """

    run: Run
    decisions: tuple[Decision, ...]
    rows: Mapping[CandidateId, Row]
    rollouts: Mapping[tuple[CandidateId, ExampleId, int], Rollout]
    failures: tuple[Failure, ...]
    ledger: Ledger
    elapsed: float
    standing: Standing
    splits: Mapping[str, list[ExampleId]] = field(default_factory=dict)

    @property
    def seed(self) -> Row:
        return self.rows[content_id(self.run.job["seed"])]

    @property
    def best(self) -> Row | None:
        """The chosen candidate; before the end, the best admitted so far."""
        return _best(self.decisions, self.rows)

    @property
    def ended(self) -> events.SearchEnded | None:
        return next((d for d in self.decisions if isinstance(d, events.SearchEnded)), None)

    @property
    def finished(self) -> events.RunFinished | None:
        return next((d for d in self.decisions if isinstance(d, events.RunFinished)), None)

    @property
    def chosen(self) -> events.BestChosen | None:
        return next((d for d in self.decisions if isinstance(d, events.BestChosen)), None)

    @property
    def outlook(self) -> Outlook:
        """The forecast of the run, from its record."""
        return outlook(stored_job(self.run), self.standing)

    def of_kind(self, kind: type[Decision]) -> list[Decision]:
        return [d for d in self.decisions if isinstance(d, kind)]

    def rewards(self, candidate: CandidateId, split: str, replicate: int = 0) -> dict[ExampleId, float]:
        """Example -> reward of this candidate on this split, where there is one."""
        wanted = (
            (example, self.rollouts.get((candidate, example, replicate))) for example in self.splits[split]
        )
        return {example: rollout.reward for example, rollout in wanted if rollout is not None}


def read(store: Store, run_id: str) -> RunView:
    """The view of one run. Raises UnknownRun, or ParetuneError if the record cannot be read."""
    run = store.run(run_id)
    log = store.decisions(run.id)
    try:
        decisions = tuple(from_record(stored.body) for stored in log)
    except (ValueError, TypeError) as error:
        raise ParetuneError(f"the record of {run.id} cannot be read: {error}") from error
    rows = _rows(run, decisions)
    ledger = Ledger(Limits(**run.job.get("limits", {})))
    attempts = store.attempts(run.id)
    restore(ledger, [a for a in attempts if a.ended or run.status != "running"])  # else it may be in flight
    best = _best(decisions, rows)
    rollouts, failures = _results(store, run, ledger, {content_id(run.job["seed"]), best.id if best else ""})
    drawn = [*(r.key for r in rollouts.values()), *(f.key for f in failures)]
    closing = sum(key.split in CLOSING for key in drawn)
    return RunView(
        run=run,
        decisions=decisions,
        rows=rows,
        rollouts=rollouts,
        failures=failures,
        ledger=ledger,
        elapsed=log[-1].elapsed if log else 0.0,
        standing=_standing(zip(log, decisions, strict=True), attempts, ledger, closing),
        splits=run.job["splits"],
    )


def _standing(
    log: Iterable[tuple[StoredDecision, Decision]],
    attempts: Sequence[Attempt],
    ledger: Ledger,
    closing: int,
) -> Standing:
    """What the record tells a forecast. Time is known up to the last decision, `timed` are calls by then."""
    course, last = Course(), None
    for last, decision in log:
        course = course.after(decision, last.elapsed)
    rollouts = [a for a in attempts if a.begun.role == "rollout"]
    out = ledger.drawn.missing(a.begun.key for a in rollouts if a.ended is None)
    ended = [a.ended.at for a in rollouts if a.ended and a.ended.outcome == "done"]
    return Standing(
        course,
        drawn=len(ledger.drawn) + len(out),
        elapsed=last.elapsed if last else 0.0,
        timed=sum(at <= last.at for at in ended) if last else 0,
        out=len(out),
        closing=closing,
        spent=ledger.by_role,
    )


def _best(decisions: tuple[Decision, ...], rows: Mapping[CandidateId, Row]) -> Row | None:
    for decision in reversed(decisions):
        if isinstance(decision, events.BestChosen):
            return rows[decision.best]
    admitted = [row for row in rows.values() if row.mean is not None]
    return max(admitted, key=lambda row: (row.mean or 0.0, -row.index), default=None)


def _results(
    store: Store, run: Run, ledger: Ledger, told: Container[CandidateId]
) -> tuple[dict[tuple[CandidateId, ExampleId, int], Rollout], tuple[Failure, ...]]:
    """Rollouts and failures in the order of their keys, and on the ledger; with texts of those in `told`."""
    rollouts: dict[tuple[CandidateId, ExampleId, int], Rollout] = {}
    failures: list[Failure] = []
    drawn: list[str] = []
    for fact in _facts(store, run.id):
        if fact.paid_by != run.id:
            ledger.reuse("rollout" if is_rollout(fact) else "proposal")
        if not is_rollout(fact):
            continue
        result = outcome(fact)
        drawn.append(fact.key)
        if isinstance(result, Failure):
            failures.append(result)
            continue
        if result.candidate not in told:
            answer = result.answer
            result = Rollout(result.key, Answer(answer.reward, answer.objectives, usage=answer.usage))
        rollouts[result.candidate, result.example, result.key.replicate] = result
    ledger.drawn.update(drawn)
    return rollouts, tuple(failures)


def _facts(store: Store, run_id: str) -> Iterator[Fact]:
    """Those that the run uses, in the order of their keys, a few of them in memory at a time."""
    drawn = store.drawn(run_id)
    for start in range(0, len(drawn), LOOKED_AT):
        facts = store.facts(drawn[start : start + LOOKED_AT], run_id)
        yield from (facts[key] for key in sorted(facts))


def _rows(run: Run, decisions: tuple[Decision, ...]) -> dict[CandidateId, Row]:
    """The candidate table, in order of appearance; a text proposed twice is one row."""
    seed = content_id(run.job["seed"])
    rows = {seed: Row(seed, 0, dict(run.job["seed"]), (), "seed", 0, 0, "seed")}
    for decision in decisions:
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
            case events.CandidateAdmitted():
                state = "seed" if decision.candidate == seed else "admitted"
                row = rows[decision.candidate]
                rows[decision.candidate] = replace(row, mean=decision.mean, state=state)
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
            case events.RungEnded(stopped=True):
                rows[decision.candidate] = replace(rows[decision.candidate], state="stopped")
            case events.CandidateRetired():
                rows[decision.candidate] = replace(rows[decision.candidate], state="retired")
            case _:
                pass
    return rows
