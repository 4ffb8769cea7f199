"""What the store keeps of one cell: the fact of a rollout or of its failure, and the attempts it took."""

from __future__ import annotations

from dataclasses import dataclass

from paretune.core.candidate import CandidateId
from paretune.core.example import ExampleId
from paretune.core.rollout import Outcome, RolloutKey
from paretune.evaluate.facts import outcome
from paretune.store.base import Attempt, Fact, Store
from paretune.views.run_view import Row, RunView


@dataclass(frozen=True, slots=True)
class Stored:
    """The outcome as it was stored. `attempts` are this run's own, in order; empty if another run paid."""

    fact: Fact
    outcome: Outcome
    attempts: tuple[Attempt, ...]


def stored_outcome(
    store: Store, view: RunView, candidate: CandidateId, example: ExampleId, replicate: int = 0
) -> Stored | None:
    """The outcome of this cell with all its texts; None if the run has none (yet)."""
    key = _key(view, candidate, example, replicate)
    fact = store.facts([key.id], view.run.id).get(key.id) if key else None
    if fact is None:
        return None
    return Stored(fact, outcome(fact), tuple(store.attempts_of(view.run.id, fact.key)))


def _key(view: RunView, candidate: CandidateId, example: ExampleId, replicate: int) -> RolloutKey | None:
    cell = (candidate, example, replicate)
    rollout = view.rollouts.get(cell)
    if rollout is not None:
        return rollout.key
    keys = (failure.key for failure in view.failures)
    return next((key for key in keys if (key.candidate, key.example, key.replicate) == cell), None)


def cells_of(view: RunView, example: ExampleId) -> list[tuple[Row, float | None]]:
    """The candidates that were asked this example, in order of appearance, with their rewards (first draws);
    None where the rollout failed."""
    failed = {f.key.candidate for f in view.failures if f.example == example}
    cells: list[tuple[Row, float | None]] = []
    for row in view.rows.values():
        reward = view.rollouts.reward((row.id, example, 0))
        if reward is not None or row.id in failed:
            cells.append((row, reward))
    return cells
