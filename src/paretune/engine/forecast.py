"""What a budget buys, before a single rollout is paid."""

from __future__ import annotations

from dataclasses import dataclass

from paretune.algorithms.stops import kept_rollouts
from paretune.engine.job import Job


@dataclass(frozen=True, slots=True)
class Forecast:
    """Rollouts by purpose, and how many proposals they allow.

    `fewest`: proposals if every child passes its gate and is fully evaluated; `most`: if none does.
    None where no cap limits them. `notes` say where the numbers of the file do not fit together.
    """

    budget: int | None
    initial: int
    closing: int
    gate: int
    full: int
    fewest: int | None
    most: int | None
    usd: float | None
    notes: tuple[str, ...]


def forecast(job: Job) -> Forecast:
    """From the job alone; nothing is asked."""
    settings, splits = job.settings, job.splits
    size = min(settings.minibatch_size, len(splits.reflect))
    gate = size if splits.shared else 2 * size  # the parent's own minibatch may be known already
    full = len(splits.pareto) - (size if splits.shared else 0)
    planned = settings.initial_size - 1 + settings.generations * settings.children_per_generation
    budget = job.limits.rollouts
    initial, closing = len(splits.pareto), kept_rollouts(splits, settings, budget)
    if budget is None:
        fewest = most = job.limits.steps or planned
        rollouts = initial + closing + planned * (gate + full)
    else:
        left = budget - initial - closing
        each, steps = gate + full, left
        if settings.pipeline.lanes:  # full evaluations have a share of their own, whoever passes
            each, steps = gate, int(left * (1 - settings.pipeline.validation_share))
        fewest, most = min(planned, steps // each), min(planned, left // size)
        rollouts = budget
    usd = None
    if job.prices.rollout is not None:
        usd = rollouts * job.prices.rollout + (most or 0) * (job.prices.proposal or 0.0)
    return Forecast(
        budget, initial, closing, gate, full, fewest, most, usd, tuple(_notes(job, gate, full, most))
    )


def _notes(job: Job, gate: int, full: int, most: int | None) -> list[str]:
    settings, budget = job.settings, job.limits.rollouts
    notes = []
    planned = settings.generations * settings.children_per_generation
    if most is not None and most < planned:
        notes.append(
            f"the budget holds at most {most} proposals of the {planned} that "
            f"{settings.generations} generations of {settings.children_per_generation} ask for"
        )
    if budget is not None and settings.initial_size > 1:
        share = budget // (settings.generations + 1)
        room = max(0, (share - len(job.splits.pareto)) // gate)
        if room < settings.initial_size - 1:
            notes.append(
                f"generation 0 asks for {settings.initial_size - 1} proposals; its share of the budget "
                f"({share}) holds {room} beside the initial prompt"
            )
    if budget is not None and most is not None and most * gate + full > budget - len(job.splits.pareto):
        notes.append(
            "a full evaluation fits only after fewer proposals; children that pass the gate without one "
            "meet on the selection split"
        )
    if not job.splits.test:
        notes.append("there is no test split: every figure of the result will be selected on")
    elif len(job.splits.test) < 50:
        notes.append(f"{len(job.splits.test)} test examples tell apart only large differences")
    if job.splits.shared:
        notes.append("all training seeds serve both the proposer and the frontier")
    return notes
