"""The lift table: what changed against the seed, where, how sure, and what the figure may be called."""

from __future__ import annotations

from dataclasses import dataclass

from paretune.core.rollout import Rollout
from paretune.core.statistics import Comparison, NoiseFloor, noise_floor
from paretune.views.intervals import compared
from paretune.views.run_view import Row, RunView

CLAIMS = {
    "test": "untouched: no choice was made on these examples",
    "select": "selected on: the finalists were compared here",
    "pareto": "selected on: the search kept what did well here",
}


@dataclass(frozen=True, slots=True)
class Lift:
    """One candidate against the seed on one split. Means are over the examples that both were scored on;
    `missing` counts those where one of the two failed."""

    candidate: str
    role: str
    split: str
    before: float
    after: float
    comparison: Comparison
    claim: str
    missing: int = 0


def lift_table(view: RunView) -> list[Lift]:
    """Best first, then the other admitted candidates by mean; each on every split where both were scored.

    Who was measured on a pool only is left out: its examples were not chosen to speak for all of them.
    """
    best = view.best
    if best is None:
        return []
    others = sorted(
        (row for row in view.rows.values() if row.mean is not None and row.id not in (best.id, view.seed.id)),
        key=lambda row: -(row.mean or 0.0),
    )
    others = [row for row in others if not row.pool]
    table = []
    for row in [best, *others]:
        role = "best" if row.id == best.id else f"#{row.index}"
        for split in ("test", "select") if row.pool else ("test", "select", "pareto"):
            lift = lift_on(view, row, role, split)
            if lift:
                table.append(lift)
    return table


def lift_on(view: RunView, row: Row, role: str, split: str) -> Lift | None:
    """None where there is no example that both the seed and this candidate were scored on."""
    before = view.rewards(view.seed.id, split)
    after = view.rewards(row.id, split)
    shared = [example for example in before if example in after]
    if not shared:
        return None
    ids = set(view.splits[split])
    failed = {f.example for f in view.failures if f.key.candidate in (row.id, view.seed.id)} & ids
    return Lift(
        candidate=row.id,
        role="seed" if row.id == view.seed.id else role,
        split=split,
        before=sum(before[e] for e in shared) / len(shared),
        after=sum(after[e] for e in shared) / len(shared),
        comparison=compared(before, after, view),
        claim=CLAIMS[split],
        missing=len(before.keys() | after.keys() | failed) - len(shared),
    )


def noise(view: RunView) -> NoiseFloor | None:
    """From the seed's second replicate, when the run asked for one."""
    for split in ("test", "pareto"):
        again = view.rewards(view.seed.id, split, replicate=1)
        if again:
            return noise_floor(view.rewards(view.seed.id, split), again)
    return None


@dataclass(frozen=True, slots=True)
class Flip:
    """An example whose reward changed from one candidate to another, with both rollouts."""

    example: str
    split: str
    before: Rollout
    after: Rollout


def flips(view: RunView, split: str) -> list[Flip]:
    """From seed to best: gained examples first, then lost ones."""
    best = view.best
    return [] if best is None else flips_between(view, view.seed, best, split)


def flips_between(view: RunView, before: Row, after: Row, split: str) -> list[Flip]:
    """Gained examples first, then lost ones; the largest change of each first."""
    changed, rollouts = [], view.rollouts
    for example in view.splits[split]:
        cells = (before.id, example, 0), (after.id, example, 0)
        one, other = map(rollouts.reward, cells)
        if one is not None and other is not None and one != other:
            changed.append(Flip(example, split, rollouts[cells[0]], rollouts[cells[1]]))
    gained = [flip for flip in changed if flip.after.reward > flip.before.reward]
    lost = [flip for flip in changed if flip.after.reward < flip.before.reward]
    gained.sort(key=lambda flip: flip.before.reward - flip.after.reward)
    lost.sort(key=lambda flip: flip.after.reward - flip.before.reward)
    return [*gained, *lost]
