"""A run at a glance: what each candidate of its pool brought, in figures."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from paretune.views.calls import second
from paretune.views.coverage import Strip, coverage, settled
from paretune.views.run_view import Row, RunView
from paretune.views.scores import scores

CLOSING = ("select", "test")


@dataclass(frozen=True, slots=True)
class Entry:
    """A candidate that was asked a pareto example. `mini` is its mean at its gate or in its trials, `train`
    that on the pareto examples, None if it was not evaluated in full; `closing` maps splits of the closing
    evaluation to means; `tokens` are those of all calls of the run until it was done with this candidate."""

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
    """In the order of the coverage strips."""
    strips, closed, measured = coverage(view), _closed(view), scores(view, "pareto")
    found = []
    for strip, tokens in zip(strips, _tokens(view, strips), strict=True):
        row = view.rows[strip.candidate]
        means = {split: _mean(view.rewards(row.id, split).values()) for split in closed.get(row.id, ())}
        closing = {split: mean for split, mean in means.items() if mean is not None}
        rewards = measured.rewards[measured.row_at[row.id]]
        train = None if row.mean is None else _mean(rewards[~np.isnan(rewards)].tolist())
        found.append(Entry(row, strip, row.minibatch, train, closing, tokens))
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


def _tokens(view: RunView, strips: Sequence[Strip]) -> list[int]:
    """Tokens of all calls that had ended when the run was done with each of these; all, if it is not yet."""
    at = settled(view)
    ends = [second(view.moments[at[s.candidate]].at) if s.candidate in at else np.inf for s in strips]
    total = np.concatenate([[0], np.cumsum(view.spent["tokens"])])
    found: list[int] = total[np.searchsorted(view.spent["at"], np.array(ends), "right")].tolist()
    return found


def _mean(rewards: Collection[float]) -> float | None:
    return sum(rewards) / len(rewards) if rewards else None
