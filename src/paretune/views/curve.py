"""The course of a run: what each evaluation and each gate found, and what the run had taken by then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from paretune.core import events
from paretune.core.candidate import CandidateId
from paretune.core.events import Decision
from paretune.core.statistics import student_mean
from paretune.views.calls import second
from paretune.views.intervals import clipped
from paretune.views.run_view import RunView


@dataclass(frozen=True, slots=True)
class Taken:
    """What a run had taken at a moment: distinct rollouts, tokens and USD of all roles (lost attempts at what
    was reserved), active seconds."""

    rollouts: int
    tokens: int
    usd: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A candidate, `index` in the table, measured on the pareto examples: the seed, or one that was admitted.

    `low` to `high` is the 95 % interval (Student's t) of the mean over `scored` examples, as far as their
    rewards are here. `best` is the best mean of anybody so far.
    """

    seq: int
    candidate: CandidateId
    index: int
    taken: Taken
    mean: float
    low: float
    high: float
    scored: int
    best: float


@dataclass(frozen=True, slots=True)
class Gated:
    """A child at its gate: mean rewards over `pairs` examples, of what it had to beat and its own."""

    seq: int
    candidate: CandidateId
    index: int
    taken: Taken
    before: float
    after: float
    pairs: int
    passed: bool


@dataclass(frozen=True, slots=True)
class Trial:
    """A combination on one batch: mean reward over `scored` examples."""

    seq: int
    candidate: CandidateId
    index: int
    taken: Taken
    mean: float
    scored: int


@dataclass(frozen=True, slots=True)
class Curve:
    """In the order of the decisions; the seed is the first of `evaluated`."""

    evaluated: list[Evaluated]
    gated: list[Gated]
    trials: list[Trial] = field(default_factory=list)


def curve(view: RunView, since: int = 0) -> Curve:
    """The points of a run's charts, from decision `since` on."""
    marks = [
        (seq, decision)
        for seq, decision in enumerate(view.decisions)
        if isinstance(decision, events.CandidateAdmitted | events.GateDecided | events.TrialEnded)
    ]
    found, best = Curve([], []), -np.inf
    for (seq, decision), taken in zip(marks, _taken(view, marks), strict=True):
        if isinstance(decision, events.CandidateAdmitted):
            best = max(best, decision.mean)
        if seq < since:
            continue
        if isinstance(decision, events.CandidateAdmitted):
            found.evaluated.append(_evaluated(view, seq, decision, taken, float(best)))
        elif isinstance(decision, events.GateDecided):
            pairs = decision.pairs or 1
            means = decision.before / pairs, decision.after / pairs
            index = view.rows[decision.child].index
            found.gated.append(
                Gated(seq, decision.child, index, taken, *means, decision.pairs, decision.passed)
            )
        elif isinstance(decision, events.TrialEnded):
            if decision.mean is None:
                continue  # nothing was scored
            who, index = decision.candidate, view.rows[decision.candidate].index
            found.trials.append(Trial(seq, who, index, taken, decision.mean, decision.scored))
    return found


def _evaluated(
    view: RunView, seq: int, decision: events.CandidateAdmitted, taken: Taken, best: float
) -> Evaluated:
    who, mean, rewards = decision.candidate, decision.mean, view.rewards(decision.candidate, "pareto")
    low, high = -np.inf, np.inf
    if rewards and not decision.pool:  # of an estimate, what was measured says nothing so plain
        interval = clipped(view, student_mean(list(rewards.values())))
        low, high = interval.low, interval.high
    return Evaluated(seq, who, view.rows[who].index, taken, mean, low, high, decision.scored, best)


def _taken(view: RunView, marks: Sequence[tuple[int, Decision]]) -> list[Taken]:
    """At each of these decisions."""
    at = np.array([second(view.moments[seq].at) for seq, _ in marks])
    ended = np.searchsorted(view.spent["at"], at, "right")
    tokens = np.concatenate([[0], np.cumsum(view.spent["tokens"])])[ended]
    usd = np.concatenate([[0.0], np.cumsum(view.spent["usd"])])[ended]
    paid = np.searchsorted(view.drawn_at, at, "right")
    return [
        Taken(int(own) + known, int(tokens), float(usd), view.moments[seq].elapsed)
        for (seq, _), own, known, tokens, usd in zip(
            marks, paid, _known(view, marks), tokens, usd, strict=True
        )
    ]


def _known(view: RunView, marks: Sequence[tuple[int, Decision]]) -> list[int]:
    """Results of other runs that were drawn by then. Nobody wrote down when that was: they count from the
    first decision that was made upon them."""
    left, drawn = dict(view.known), 0
    found = []
    for _, decision in marks:
        if left and isinstance(decision, events.CandidateAdmitted | events.TrialEnded):
            drawn += _take(left, decision.candidate, decision.scored + decision.failed)
        elif left and isinstance(decision, events.GateDecided):
            rival = decision.baseline or next(iter(view.rows[decision.child].parents), "")
            drawn += sum(_take(left, who, decision.pairs) for who in (decision.child, rival))
        found.append(drawn)
    return found


def _take(left: dict[CandidateId, int], candidate: CandidateId, most: int) -> int:
    number = min(most, left.get(candidate, 0))
    if number:
        left[candidate] -= number
    return number
