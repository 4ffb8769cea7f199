"""How sure a run's figures are. No interval goes beyond what its rewards can be: where all of them are within
0 to 1, means are too, and differences of means are within -1 to 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from paretune.core.candidate import CandidateId
from paretune.core.example import ExampleId
from paretune.core.statistics import Comparison, Interval, bootstrap_mean, compare_paired
from paretune.views.run_view import RunView


def mean_of(view: RunView, candidate: CandidateId, split: str) -> Interval | None:
    """The mean of this candidate's rewards on the split. None where it has none."""
    rewards = tuple(view.rewards(candidate, split).values())
    return clipped(view, _mean(rewards, view.run.job["settings"]["seed"])) if rewards else None


@lru_cache(maxsize=64)
def _mean(rewards: tuple[float, ...], seed: int) -> Interval:
    """Kept, for who watches a run asks for the same mean again and again."""
    return bootstrap_mean(rewards, seed=seed)


def clipped(view: RunView, mean: Interval) -> Interval:
    """The interval of a mean of this run's rewards."""
    return mean.within(0.0, 1.0) if view.rollouts.within_unit else mean


def compared(
    before: Mapping[ExampleId, float], after: Mapping[ExampleId, float], *runs: RunView
) -> Comparison:
    """Rewards of these runs, paired by example. Raises ValueError if there is no pair."""
    found = compare_paired(before, after, seed=runs[0].run.job["settings"]["seed"])
    if not all(run.rollouts.within_unit for run in runs):
        return found
    return replace(found, difference=found.difference.within(-1.0, 1.0))
