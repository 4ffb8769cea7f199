"""MIPRO with few rollouts: the initial prompt is not measured in full before the search, the best is."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from paretune.core import events
from paretune.core.budget import Limits
from paretune.views.run_view import RunView, read
from support.runs import carry, trials, trials_tight


def admissions(view: RunView) -> list[events.CandidateAdmitted]:
    return [d for d in view.decisions if isinstance(d, events.CandidateAdmitted)]


@pytest.mark.parametrize("seed", range(3))
def test_the_best_was_asked_everything_and_the_initial_prompt_a_batch_before_the_search(seed: int) -> None:
    case = trials_tight(seed)
    done = asyncio.run(carry(case))
    view = read(done.store, done.run_id)
    pareto, batch = len(case.splits.pareto), case.mipro.batch if case.mipro else 0
    assert len(view.rewards(done.best.id, "pareto")) == pareto
    assert len(view.rewards(view.seed.id, "pareto")) >= batch
    assert min(one.step for one in admissions(view)) > 0
    (chosen,) = (d for d in view.decisions if isinstance(d, events.BestChosen))
    assert all(len(view.rewards(one, "pareto")) == pareto for one in chosen.means)
    assert len(view.of_kind(events.TrialStarted)) > 5
    assert len(view.ledger.drawn) <= (case.limits.rollouts or 0)


def test_without_a_cap_the_initial_prompt_is_measured_in_full_first() -> None:
    case = replace(trials(0), limits=Limits(steps=3))
    done = asyncio.run(carry(case))
    admitted = admissions(read(done.store, done.run_id))
    assert (admitted[0].candidate, admitted[0].scored) == (case.job().seed.id, len(case.splits.pareto))


def test_what_the_end_leaves_is_for_the_initial_prompt() -> None:
    case = trials_tight(1)
    few = replace(case.settings, generations=1, children_per_generation=1)
    done = asyncio.run(carry(replace(case, settings=few)))
    view = read(done.store, done.run_id)
    assert len(view.rewards(view.seed.id, "pareto")) == len(case.splits.pareto)
    assert view.seed.mean is not None
