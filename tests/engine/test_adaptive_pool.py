"""Searches on an adaptive pool: who was measured on what, who may win, and that runs go on as ever."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import replace
from typing import Any

import pytest

from paretune.algorithms.settings import GepaSettings, PoolSettings
from paretune.config import GEPAConfig
from paretune.core import events
from paretune.core.errors import Misconfigured
from paretune.core.example import Example, Split, Splits
from paretune.engine.adaptive import adapted
from paretune.engine.resolve.gepa import settings_of
from paretune.engine.verify import check_record
from paretune.views.run_view import RunView, read
from support.rulebook import RulebookExecutor, dice
from support.runs import POOLED, Finished, JournalStore, carry, first_difference
from support.search import searched

each = pytest.mark.parametrize(("name", "seed"), [(name, seed) for name in POOLED for seed in (0, 1)])


@functools.cache
def finished(name: str, seed: int) -> Finished:
    return asyncio.run(carry(POOLED[name](seed), store=JournalStore()))


def view_of(name: str, seed: int) -> RunView:
    return read(finished(name, seed).store, finished(name, seed).run_id)


def made(view: RunView, kind: type[Any]) -> list[Any]:
    return [decision for decision in view.decisions if isinstance(decision, kind)]


@each
def test_candidates_are_measured_on_the_pool_of_the_moment(name: str, seed: int) -> None:
    view, pool, partial = view_of(name, seed), frozenset[str](), 0
    assert made(view, events.PoolChanged)
    assert len({change.size for change in made(view, events.PoolChanged)}) > 2
    pools = []
    for decision in view.decisions:
        if isinstance(decision, events.PoolChanged):
            pool = frozenset(decision.examples)
            pools.append(pool)
            assert len(pool) == decision.size == len(decision.weights)
            assert set(decision.anchors) | set(decision.heated) <= pool
        elif isinstance(decision, events.CandidateAdmitted) and decision.pool:
            measured = set(view.rewards(decision.candidate, "pareto"))
            assert decision.scored + decision.failed == decision.pool
            assert any(one <= measured for one in pools)  # one that was the pool when it was measured
            partial += 1
    assert partial


@each
def test_whoever_wins_was_measured_on_everything(name: str, seed: int) -> None:
    view, run = view_of(name, seed), finished(name, seed)
    best = made(view, events.BestChosen)[-1]
    for finalist in best.means:
        assert len(view.rewards(finalist, "pareto")) == 24
    assert best.best == run.best.id
    mean = sum(view.rewards(run.best.id, "pareto").values()) / 24
    assert best.pareto_means[run.best.id] == pytest.approx(mean)


@each
def test_who_looks_better_on_the_pool_goes_on(name: str, seed: int) -> None:
    for judged in made(view_of(name, seed), events.PoolJudged):
        assert judged.measured <= judged.wanted
        if name == "pooled" and judged.measured < judged.wanted:
            assert judged.difference > 0 or not judged.completed


@each
def test_cells_hold_what_was_measured_and_nothing_else(name: str, seed: int) -> None:
    case = POOLED[name](seed)
    store, run_id, search = asyncio.run(searched(case, RulebookExecutor(case.book)))
    view = read(store, run_id)
    for candidate in search.pool.frontier.candidates:
        known = view.rewards(candidate, "pareto")
        cells = {cell[1]: score for cell, score in search.pool.frontier.scores(candidate).items()}
        assert cells.items() <= known.items()
    weights = search.pooled.frequencies(search.pool.frontier)
    assert weights
    assert set(weights) <= set(search.pool.frontier.candidates)
    assert all(weight > 0 for weight in weights.values())


@each
def test_a_run_cut_off_goes_on_to_the_same_end(name: str, seed: int) -> None:
    run = finished(name, seed)
    assert isinstance(run.store, JournalStore)
    commits = len(run.store.commits)
    for cut in dice("cuts", name, seed).sample(range(commits), 2):
        store = run.store.after(run.run_id, cut)
        more = asyncio.run(carry(POOLED[name](seed), store=store, run_id=run.run_id))
        assert first_difference(run.canonical(), more.canonical()) == "", cut
    assert check_record(run.store, run.run_id) == []


def test_a_pool_of_everything_changes_nothing_but_the_record() -> None:
    case = POOLED["pooled"](0)
    whole = replace(case.settings, pool=PoolSettings(first=None, warmup=1000, stop=2000))
    runs = [asyncio.run(carry(case, settings=s)) for s in (whole, replace(whole, pool=None))]
    kept = [
        [body for key, body in run.canonical()["decisions"] if key != "start" and "pool" not in key]
        for run in runs
    ]
    assert first_difference(kept[0], kept[1]) == ""


# -- what a document asks for ---------------------------------------------------------------------


def settings(examples: int = 300, **gepa: Any) -> GepaSettings:
    config = GEPAConfig.model_validate(gepa)
    pareto = tuple(Example(str(i), Split.PARETO) for i in range(examples))
    return adapted(settings_of(config, None), config, Splits((Example("r", Split.REFLECT),), pareto))


def test_who_names_neither_gets_what_was_there_before() -> None:
    off = {"level": "NONE"}
    assert settings(adaptive_pool=off, adaptive_batch=off) == settings() == settings_of(GEPAConfig(), None)


def test_each_field_of_a_pool_reaches_the_search() -> None:
    given = {
        "anchor_size": 7,
        "pool_init_size": 90,
        "pool_min_size": 40,
        "warmup_iters": 2,
        "anneal_stop_iter": 9,
        "pool_update_period": 4,
        "min_evals_per_example": 6,
        "k_info_prompts": 8,
        "info_buffer_factor": 0.7,
        "info_epsilon": 0.01,
        "anchor_selection_method": "random",
        "exploration_strategy": "random",
        "heatup_reserve_pool": [3, 5, 900],
        "heatup_trigger": "immediate",
        "heatup_size": 11,
        "heatup_cooldown_trials": 12,
        "heatup_schedule": "once",
    }
    found = settings(adaptive_pool={"level": "HIGH", **given}).pool
    assert found == PoolSettings(
        7, 90, 40, 2, 9, 4, 6, 8, 0.7, 0.01, "random", "random", ("3", "5"), "immediate", 11, 12, "once"
    )


def test_a_batch_sets_minibatch_gate_parents_and_a_subsample() -> None:
    batch = {"level": "LOW", "min_local_improvement": 0.1, "candidate_selection_strategy": "random"}
    found = settings(adaptive_batch=batch)
    assert (found.minibatch_size, found.least_gain, found.selection) == (5, 0.1, "random")
    assert found.pool is not None
    assert (found.pool.first, found.pool.least, found.pool.anchors, found.pool.heat) == (80, 80, 0, 0)
    assert settings(adaptive_batch={"level": "LOW", "val_evaluation_mode": "full"}).pool is None
    assert settings(64, adaptive_batch={"level": "LOW"}).pool is None
    both = settings(adaptive_pool={"level": "LOW"}, adaptive_batch={"level": "HIGH"}).pool
    assert both is not None
    assert (both.first, both.least, both.anchors) == (48, 48, 48)


@pytest.mark.parametrize(
    ("gepa", "field"),
    [
        ({"adaptive_pool": {"heatup_reserve_pool": [900]}}, "gepa.adaptive_pool.heatup_reserve_pool"),
        ({"adaptive_pool": {}, "frontier_type": "objective"}, "gepa.frontier_type"),
        ({"adaptive_batch": {}, "frontier_type": "hybrid"}, "gepa.frontier_type"),
    ],
)
def test_what_cannot_be_is_refused_by_name(gepa: dict[str, Any], field: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        settings(**gepa)
    assert caught.value.field == field


def test_a_gate_can_ask_for_more_than_a_hair() -> None:
    case = POOLED["pooled"](0)
    gates = {}
    for least in (0.0, 0.5):
        run = asyncio.run(carry(case, settings=replace(case.settings, least_gain=least)))
        decisions = made(read(run.store, run.run_id), events.GateDecided)
        gates[least] = [d for d in decisions if d.passed]
        assert any(d.reason == "too_little" for d in decisions) == (least > 0)
    assert all(d.after - d.before > 0.5 * d.pairs for d in gates[0.5])
    assert any(d.after - d.before <= 0.5 * d.pairs for d in gates[0.0])


def test_parents_can_be_anybody_of_the_archive() -> None:
    case = POOLED["pooled"](1)
    parents = {}
    for selection in ("coverage", "random"):
        run = asyncio.run(carry(case, settings=replace(case.settings, selection=selection)))
        started = made(read(run.store, run.run_id), events.StepStarted)
        parents[selection] = [d.parent for d in started]
    assert parents["coverage"] != parents["random"]
