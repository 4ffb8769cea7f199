"""A run, read from its record: the fold that every page, table and packet starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from paretune.core import events
from paretune.core.budget import Ledger
from paretune.core.candidate import CandidateId, content_id
from paretune.core.events import Decision
from paretune.core.example import ExampleId
from paretune.core.rollout import Failure
from paretune.engine.outlook import Outlook, outlook
from paretune.engine.standing import Standing
from paretune.engine.verify import stored_job
from paretune.evaluate.rollouts import Rollouts
from paretune.store.base import AttemptBegun, Run, Store
from paretune.views.calls import ENDED
from paretune.views.faults import Fault, Signature
from paretune.views.repeats import Repeats


@dataclass(frozen=True, slots=True)
class Row:
    """One candidate, admitted or turned down.

    `state`: seed, frontier (admitted, holds a cell), admitted, deferred (passed its gate, never fully
    evaluated), stopped (in a rung of its full evaluation), rejected (gate), tried (a trial of MIPRO, never
    fully evaluated). `mean` is over the pareto examples that were scored, None where they were not all asked
    for; where only the `pool`, so many of them, was, it is an estimate for all of them. `batches` are the
    summed rewards of its trials and how many examples they were on.
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
    batches: tuple[float, int] | None = None
    mean: float | None = None
    pool: int = 0
    rationale: str = ""
    reason: str = ""

    @property
    def minibatch(self) -> float | None:
        """Its mean at its gate or in its trials: on few examples, not to be compared with others' means."""
        summed, examples = (self.gate[1], self.gate[2]) if self.gate else self.batches or (0.0, 0)
        return summed / examples if examples else None


class Moment(NamedTuple):
    """When a decision was made: ISO time, and active seconds of the run."""

    at: str
    elapsed: float


@dataclass(frozen=True, slots=True)
class RunView:
    """Everything of one run that people ask for. Built by `read`, or by a `Following`; nobody changes it.

    `rollouts` have their texts (input, output, expected, feedback, trace) where seed or best was asked. Those
    by the cheap policy of `proxy_models` are not among them, but in `cheap`; both are drawn and counted.
    `elapsed` are active seconds at the last decision; `standing` is where a forecast starts from.

    `moments` belong to `decisions`. `spent` has a row (`calls.ENDED`) for each attempt that ended, in that
    order; `in_flight` are the others. `drawn_at` are the seconds at which the run's own rollouts came home or
    were given up, sorted; `known` counts those of the search that other runs paid, by candidate. `others` are
    the keys of what it drew that is no rollout: proposals above all.
    """

    run: Run
    decisions: tuple[Decision, ...]
    rows: Mapping[CandidateId, Row]
    rollouts: Rollouts
    failures: tuple[Failure, ...]
    ledger: Ledger
    elapsed: float
    standing: Standing
    splits: Mapping[str, list[ExampleId]] = field(default_factory=dict)
    moments: tuple[Moment, ...] = ()
    spent: np.ndarray = field(default_factory=lambda: np.zeros(0, ENDED), compare=False)
    in_flight: tuple[AttemptBegun, ...] = ()
    drawn_at: np.ndarray = field(default_factory=lambda: np.zeros(0), compare=False)
    known: Mapping[CandidateId, int] = field(default_factory=dict)
    others: frozenset[str] = frozenset()
    faults: Mapping[Signature, Fault] = field(default_factory=dict)
    verdicts: Repeats = field(default_factory=Repeats)
    cheap: Rollouts = field(default_factory=Rollouts)

    @property
    def seed(self) -> Row:
        return self.rows[content_id(self.run.job["seed"])]

    @property
    def best(self) -> Row | None:
        """The chosen candidate; before the end, the best admitted so far."""
        chosen = (d for d in reversed(self.decisions) if isinstance(d, events.BestChosen))
        return best_of(self.rows, next(chosen, None))

    @property
    def ended(self) -> events.SearchEnded | None:
        """How the last search ended; None while one goes on."""
        return self.standing.course.ended

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
        return self.rollouts.rewards(candidate, self.splits[split], replicate)


def best_of(rows: Mapping[CandidateId, Row], chosen: events.BestChosen | None) -> Row | None:
    """The chosen one; before that, the best admitted so far."""
    if chosen:
        return rows[chosen.best]
    admitted = [row for row in rows.values() if row.mean is not None]
    return max(admitted, key=lambda row: (row.mean or 0.0, -row.index), default=None)


def read(store: Store, run_id: str) -> RunView:
    """The view of one run. Raises UnknownRun, or ParetuneError if the record cannot be read."""
    from paretune.views.follow import Following  # which makes what is defined here

    return Following(store, run_id).catch_up()
