"""A run at a glance: what each candidate of its pool brought, in figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from paretune.core import events
from paretune.views.calls import second
from paretune.views.coverage import Strip, coverage
from paretune.views.run_view import Row, RunView

CLOSING = ("select", "test")


@dataclass(frozen=True, slots=True)
class Entry:
    """A candidate that was evaluated in full. `mini` is its mean on the minibatch of its gate; `closing` maps
    splits of the closing evaluation to means; `tokens` are those of all calls of the run until it was
    admitted."""

    row: Row
    strip: Strip
    mini: float | None
    train: float | None
    closing: Mapping[str, float] = field(default_factory=dict)
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Gain:
    """A candidate's mean minus the seed's, over the examples of `split` that both were scored on."""

    split: str
    difference: float


def entries(view: RunView) -> list[Entry]:
    """All of the pool, in the order of the coverage strips."""
    tokens, closed = _tokens(view), _closed(view)
    found = []
    for strip in coverage(view):
        row = view.rows[strip.candidate]
        means = {split: _mean(view.rewards(row.id, split)) for split in closed.get(row.id, ())}
        closing = {split: mean for split, mean in means.items() if mean is not None}
        mini = row.gate[1] / row.gate[2] if row.gate and row.gate[2] else None
        found.append(Entry(row, strip, mini, row.mean, closing, tokens.get(row.id, 0)))
    return found


def _closed(view: RunView) -> dict[str, list[str]]:
    """Candidate -> splits of the closing evaluation on which it has a reward: few candidates get there."""
    found: dict[str, list[str]] = {}
    for split in CLOSING:
        ids = set(view.splits[split])
        for candidate in {candidate for candidate, example, _ in view.rollouts if example in ids}:
            found.setdefault(candidate, []).append(split)
    return found


def closing_splits(found: list[Entry]) -> list[str]:
    """Splits of the closing evaluation on which anybody was scored."""
    return [split for split in CLOSING if any(split in entry.closing for entry in found)]


def gain(view: RunView, row: Row) -> Gain | None:
    """On the untouched split if it was scored there, else on the one that chose, else on the frontier's."""
    for split in ("test", "select", "pareto"):
        before, after = view.rewards(view.seed.id, split), view.rewards(row.id, split)
        shared = [example for example in before if example in after]
        if shared:
            return Gain(split, sum(after[e] - before[e] for e in shared) / len(shared))
    return None


def ranked(view: RunView, found: list[Entry]) -> list[Entry]:
    """The best first, then by what was measured on the closing splits and on the frontier's."""
    best = view.best
    return sorted(
        found,
        key=lambda entry: (
            best is None or entry.row.id != best.id,
            -max(entry.closing.values(), default=-1e9) if entry.closing else 1e9,
            -(entry.train or 0.0),
        ),
    )


def _tokens(view: RunView) -> dict[str, int]:
    """Candidate -> tokens of all calls that had ended when it was first admitted."""
    first: dict[str, float] = {}
    for decision, moment in zip(view.decisions, view.moments, strict=True):
        if isinstance(decision, events.CandidateAdmitted):
            first.setdefault(decision.candidate, second(moment.at))
    total = np.concatenate([[0], np.cumsum(view.spent["tokens"])])
    ended = np.searchsorted(view.spent["at"], np.array(list(first.values())), "right")
    return dict(zip(first, total[ended].tolist(), strict=True))


def _mean(rewards: Mapping[str, float]) -> float | None:
    return sum(rewards.values()) / len(rewards) if rewards else None
