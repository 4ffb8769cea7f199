"""The adaptive pool: sizes as documented, nested draws, and estimates that are right on average."""

import math
import random
import statistics
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretune.algorithms.curriculum import (
    Curriculum,
    Selection,
    difference,
    weighted_mean,
)
from paretune.algorithms.settings import PoolSettings
from paretune.algorithms.strata import inclusion, spread, systematic

NAMES = [f"e{i}" for i in range(100)]
QUIET = PoolSettings(20, 60, 30, 3, 10, 2, 2, 5, 0.0, schedule="once", trigger="after_min_size", heat=1)
COLD = replace(QUIET, trigger="every_N_trials_after_min", cooldown=10_000)


def hard(example: str) -> float:
    """How able a prompt must be: the first half is easy for all."""
    return max(0.0, (int(example[1:]) - 50) / 50)


@cache
def answers(ability: float, seed: int = 0) -> dict[str, float]:
    rng = random.Random(seed)
    return {e: float(hard(e) <= ability or rng.random() < 0.03) for e in NAMES}


def tossed(ability: float, seed: int) -> dict[str, float]:
    """Prompts differ on every example, by chance."""
    rng = random.Random(seed)
    return {e: float(rng.random() < 0.5) for e in NAMES}


def grown(
    settings: PoolSettings,
    until: int,
    seed: int = 0,
    task: Callable[[float, int], dict[str, float]] = answers,
) -> tuple[Curriculum, list[Selection]]:
    """A search of so many iterations, each with one somewhat better candidate."""
    curriculum = Curriculum(NAMES, settings, seed=seed)
    curriculum.heard("seed", task(0.0, 0))
    pools = []
    for iteration in range(until):
        pools.append(curriculum.pool(iteration))
        rewards = task(iteration / 15, iteration + 1)
        curriculum.heard(f"c{iteration}", {e: rewards[e] for e in pools[-1].examples})
    return curriculum, [*pools, curriculum.pool(until)]


# -- draws ----------------------------------------------------------------------------------------


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=30), st.integers(0, 30))
def test_chances_add_up_and_none_is_above_one(sizes: list[float], count: int) -> None:
    chances = inclusion(sizes, count)
    assert math.isclose(sum(chances), min(count, len(sizes)), abs_tol=1e-6)
    assert all(0 <= chance <= 1 for chance in chances)
    open_ones = [chance / size for chance, size in zip(chances, sizes, strict=True) if chance < 1]
    assert not open_ones or math.isclose(min(open_ones), max(open_ones), rel_tol=1e-6)


@settings(max_examples=20)
@given(st.lists(st.floats(0.05, 5), min_size=2, max_size=8), st.integers(1, 4))
def test_everybody_is_drawn_with_its_chance(sizes: list[float], count: int) -> None:
    chances = inclusion(sizes, count)
    drawn = [systematic(range(len(sizes)), chances, random.Random(seed)) for seed in range(2000)]
    assert all(len(one) == len(set(one)) == min(count, len(sizes)) for one in drawn)
    for item, chance in enumerate(chances):
        share = statistics.mean(item in one for one in drawn)
        assert abs(share - chance) <= 5 * math.sqrt(chance * (1 - chance) / 2000) + 1e-9


def test_like_examples_stand_together_by_scores_or_by_texts() -> None:
    kinds = {e: i % 4 for i, e in enumerate(NAMES)}
    scores = [{e: float(kind == k) for e, kind in kinds.items()} for k in range(4)]
    texts = {
        e: f"question about {('cards', 'loans', 'fees', 'transfers')[kind]}" for e, kind in kinds.items()
    }
    for order in (
        spread(NAMES, scores, {}, random.Random(1)),
        spread(NAMES, scores[:1], texts, random.Random(1)),
    ):
        assert sorted(order) == sorted(NAMES)
        assert sum(kinds[a] != kinds[b] for a, b in pairwise(order)) == 3
    assert sorted(spread(NAMES, [], {}, random.Random(1))) == sorted(NAMES)


# -- the pool's course ----------------------------------------------------------------------------


def test_it_shrinks_linearly_in_steps_and_each_pool_lies_in_the_one_before() -> None:
    _, pools = grown(COLD, 14)
    assert [len(p) for p in pools] == [60, 60, 60, 60, 56, 56, 48, 48, 39, 39, 30, 30, 30, 30, 30]
    for early, late in pairwise(pools):
        assert set(late.examples) <= set(early.examples)
    assert next(p.reason for p in pools if len(p) == 30) == "anneal"
    assert all(set(p.anchors) == set(pools[-1].anchors) <= set(p.examples) for p in pools[4:])
    assert len(pools[-1].anchors) == 20


def test_the_same_search_has_the_same_pools_and_another_seed_others() -> None:
    one, again, other = (grown(COLD, 12, seed)[1] for seed in (0, 0, 1))
    assert one == again
    assert one[-1].examples != other[-1].examples


@pytest.mark.parametrize(
    ("change", "sizes"),
    [
        ({"first": None}, (100, 30)),
        ({"first": 500}, (100, 30)),
        ({"least": None}, (60, 20)),
        ({"stop": 100}, (60, 57)),
        ({"warmup": 9, "period": 1}, (60, 30)),
        ({"warmup": 20, "stop": 30}, (60, 60)),
        ({"period": 100}, (60, 30)),
    ],
)
def test_each_field_of_size_and_time_counts(change: dict[str, Any], sizes: tuple[int, int]) -> None:
    _, pools = grown(replace(COLD, **change), 14)
    first, last = len(pools[0]), len(pools[-1])
    assert (first, last) == sizes


def test_a_buffer_keeps_what_tells_prompts_apart() -> None:
    sizes = [len(grown(replace(COLD, buffer=b), 12, 0, tossed)[1][-1]) for b in (0.0, 0.8, 0.95, 1.0)]
    assert sizes[0] == sizes[1] == 30  # a share of each pool, not of the first: smaller steps would do
    assert 30 < sizes[2] < sizes[3]


def _telling(settings: PoolSettings) -> float:
    """The part of later pools, beside the anchors, that is not easy for everybody; over seeds."""
    shares = []
    for seed in range(20):
        _, pools = grown(settings, 11, seed)
        others = set(pools[-1].examples) - set(pools[-1].anchors)
        shares.append(statistics.mean(hard(e) > 0 for e in others))
    return statistics.mean(shares)


def test_diversity_prefers_examples_on_which_the_best_prompts_differ() -> None:
    by_chance = _telling(replace(COLD, exploration="random"))
    assert _telling(COLD) > by_chance + 0.1
    # Where nobody is informative, or everybody alike, it is chance again.
    assert abs(_telling(replace(COLD, evaluations=1000)) - by_chance) < 0.1
    assert abs(_telling(replace(COLD, prompts=1)) - by_chance) < 0.1
    assert abs(_telling(replace(COLD, epsilon=1e6)) - by_chance) < 0.1


def test_anchors_by_clustering_have_every_kind_of_example() -> None:
    texts = {e: ("rare words here" if int(e[1:]) < 10 else "the usual question") for e in NAMES}
    methods: tuple[tuple[Literal["clustering", "random"], int], ...] = (("clustering", 1), ("random", 0))
    for anchoring, least in methods:
        rare = []
        for seed in range(20):
            settings = replace(COLD, anchors=10, first=None, anchoring=anchoring)
            pool = Curriculum(NAMES, settings, seed=seed, texts=texts).pool(0)
            rare.append(sum(int(e[1:]) < 10 for e in pool.anchors))
        assert min(rare) == least


# -- heat-ups -------------------------------------------------------------------------------------


def hot(settings: PoolSettings, until: int = 40) -> list[int]:
    return [len(pool.heated) for pool in grown(settings, until)[1]]


def test_a_heat_up_comes_when_the_pool_is_at_its_least_and_goes_after_its_trials() -> None:
    settings = replace(COLD, trigger="after_min_size", heat=7, cooldown=5, schedule="repeat")
    assert hot(settings, 26)[8:] == [0, 0, *[7] * 5, *[0] * 5, *[7] * 5, 0, 0]
    assert hot(replace(settings, schedule="once"), 26)[8:] == [0, 0, *[7] * 5, *[0] * 12]
    later = replace(settings, trigger="every_N_trials_after_min")
    assert hot(later, 26)[8:] == [0, 0, *[0] * 5, *[7] * 5, *[0] * 5, 7, 7]
    assert hot(replace(settings, trigger="immediate"), 26)[:6] == [7, 7, 7, 7, 7, 0]


def test_the_reserve_is_in_the_pool_only_while_it_is_hot() -> None:
    reserve = ("e1", "e5", "e9")
    settings = replace(COLD, trigger="after_min_size", heat=2, cooldown=3, reserve=reserve)
    _, pools = grown(settings, 20)
    for pool in pools:
        assert set(pool.heated) == set(reserve) & set(pool.examples)
        assert len(pool.heated) in (0, 2)
        assert pool.covered == (100 if pool.heated else 97)
    assert any(pool.heated for pool in pools)


# -- estimates ------------------------------------------------------------------------------------

SEEDS = 100
SHAPES = {
    "levels": replace(QUIET, buffer=0.8, heat=20, cooldown=50),
    "cold": replace(COLD, buffer=0.8),
    "by chance": replace(COLD, anchoring="random", exploration="random"),
    "anchors only": replace(COLD, least=None, anchors=25, first=None),
    "no anchors": replace(COLD, anchors=0),
    "reserve": replace(QUIET, heat=5, reserve=tuple(NAMES[::10])),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_estimate_is_unbiased_and_its_error_is_not_too_small(shape: str) -> None:
    off, errors = [], []
    for seed in range(SEEDS):
        _, pools = grown(SHAPES[shape], 10, seed)
        pool = pools[-1]
        reference, new = answers(0.2), answers(0.6, 99)
        among = NAMES if pool.covered == 100 else [e for e in NAMES if e not in SHAPES[shape].reserve]
        truth = statistics.mean(new[e] - reference[e] for e in among)
        estimate = difference(pool, {e: new[e] for e in pool.examples}, reference)
        assert estimate is not None
        off.append(estimate.value - truth)
        errors.append(estimate.error)
    spread = statistics.stdev(off)
    assert abs(statistics.mean(off)) <= 3 * spread / math.sqrt(SEEDS)
    assert statistics.mean(errors) >= 0.9 * spread


def test_a_plain_mean_over_a_chosen_pool_is_not() -> None:
    def some_tell(ability: float, seed: int) -> dict[str, float]:
        return {e: won if int(e[1:]) < 20 else 0.0 for e, won in tossed(ability, seed).items()}

    gained = {e: float(int(e[1:]) < 10) for e in NAMES}
    plain, weighted = [], []
    for seed in range(40):
        pool = grown(COLD, 12, seed, some_tell)[1][-1]
        estimate = difference(pool, gained, dict.fromkeys(NAMES, 0.0))
        weighted.append(estimate.value if estimate else math.nan)
        plain.append(statistics.mean(gained[e] for e in pool.examples))
    assert statistics.mean(weighted) == pytest.approx(0.1, abs=0.02)
    assert statistics.mean(plain) > 0.15


def test_a_complete_pool_needs_no_correction() -> None:
    pool = Curriculum(NAMES, replace(COLD, first=None)).pool(0)
    old, new = answers(0.1), answers(0.7)
    estimate = difference(pool, new, old)
    assert estimate is not None
    assert estimate.value == pytest.approx(statistics.mean(new[e] - old[e] for e in NAMES))
    assert estimate.error == 0
    assert weighted_mean(pool, new) == pytest.approx(statistics.mean(new.values()))


def test_what_was_not_scored_is_left_out() -> None:
    pool = Selection({"a": 2.0, "b": 1.0, "c": 1.0}, 4)
    assert difference(pool, {}, {"a": 1.0}) is None
    estimate = difference(pool, {"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 1.0, "c": 0.0})
    assert estimate is not None
    assert estimate.value == pytest.approx(1 / 3)
    assert estimate.pairs == 2


def test_a_recorded_pool_counts_and_not_what_this_machine_would_draw() -> None:
    curriculum, pools = grown(COLD, 12)
    others = [e for e in NAMES if e not in pools[-1].examples][:30]
    recorded: Mapping[str, float] = dict.fromkeys(others, 100 / 30)
    curriculum.adopt(Selection(recorded, 100, tuple(others[:20]), (), "anneal"))
    assert curriculum.pool(13).examples == tuple(others)
