import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import binomtest, permutation_test

from paretune.core.statistics import (
    Interval,
    NoiseFloor,
    bootstrap_mean,
    compare_paired,
    noise_floor,
    sign_flip_test,
)


@pytest.mark.parametrize("count", range(2, 15))
@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
def test_few_values_have_students_interval(count: int, level: float) -> None:
    values = list(np.random.default_rng(count).normal(1.0, 3.0, count))
    known = stats.t.interval(level, count - 1, np.mean(values), stats.sem(values))
    found = bootstrap_mean(values, level=level)
    assert (found.low, found.high) == pytest.approx(known)
    assert found.n == count


def test_the_bootstrap_of_many_values_is_the_normal_interval() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, 800)
    found = bootstrap_mean(list(values), draws=4000)
    half = 1.96 * values.std() / math.sqrt(values.size)
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_bootstrap_covers_the_mean_about_as_often_as_it_says(level: float) -> None:
    rng = np.random.default_rng(2)
    samples = rng.binomial(1, 0.7, size=(400, 40)).astype(float)
    intervals = [bootstrap_mean(list(s), seed=i, level=level, draws=400) for i, s in enumerate(samples)]
    covered = sum(i.low <= 0.7 <= i.high for i in intervals) / len(intervals)
    assert level - 0.05 < covered < level + 0.05


def test_the_bootstrap_is_deterministic_and_claims_nothing_from_one_value() -> None:
    values = [0.1, 0.9, 0.4]
    assert bootstrap_mean(values, seed=3) == bootstrap_mean(values, seed=3)
    assert bootstrap_mean([0.7]) == Interval(0.7, -math.inf, math.inf, 1)
    with pytest.raises(ValueError, match="no values"):
        bootstrap_mean([])


@pytest.mark.parametrize(
    ("differences", "p_value"),
    [
        ([], 1.0),
        ([0.0, 0.0], 1.0),
        ([5.0], 1.0),
        ([1.0, -1.0], 1.0),
        ([1.0, 1.0, 1.0], 2 / 8),
        ([0.0, 1.0, 0.0, 1.0, 1.0], 2 / 8),
        ([2.0, 1.0, -1.0], 6 / 8),
        ([0.1, 0.2, -0.3], 1.0),
        ([1.0] * 6, 2 / 64),
        ([-1.0] * 14, 2 / 2**14),
    ],
)
def test_exact_sign_flips_by_hand(differences: list[float], p_value: float) -> None:
    assert sign_flip_test(differences) == p_value


# As in a reward of n tests: multiples of a quarter, with ties.
quarters = st.lists(st.integers(-4, 4).map(lambda n: n / 4), min_size=1, max_size=9)


@given(quarters, st.sampled_from([1e-12, 1e-3, 1.0, 1e6, 1e12]))
def test_the_p_value_knows_no_unit_and_no_side(differences: list[float], unit: float) -> None:
    assert sign_flip_test([d * unit for d in differences]) == sign_flip_test(differences)
    assert sign_flip_test([-d for d in differences]) == sign_flip_test(differences)


@pytest.mark.parametrize(("n", "error"), [(5, 1e-12), (10, 1e-12), (25, 0.02)])
def test_agrees_with_scipy(n: int, error: float) -> None:
    for seed in range(4):
        differences = np.random.default_rng(seed).normal(0.3, 1.0, n).round(2)
        theirs = permutation_test(
            (differences,),
            lambda x, axis: x.mean(axis=axis),
            permutation_type="samples",
            n_resamples=10_000,
            rng=np.random.default_rng(seed),
        )
        assert sign_flip_test(list(differences), seed=seed) == pytest.approx(theirs.pvalue, abs=error)


@pytest.mark.parametrize(("ups", "n", "error"), [(10, 14, 1e-12), (11, 15, 0.01), (30, 40, 0.003)])
def test_of_ones_it_is_the_sign_test_exact_and_drawn(ups: int, n: int, error: float) -> None:
    found = sign_flip_test([1.0] * ups + [-1.0] * (n - ups))
    assert found == pytest.approx(binomtest(ups, n).pvalue, abs=error)


def test_a_drawn_p_value_is_never_zero() -> None:
    assert sign_flip_test([1.0] * 200) == 1 / 20_001


def test_a_comparison_is_over_the_shared_examples() -> None:
    before = {"a": 0.0, "b": 0.5, "c": 1.0, "failed after": 1.0}
    after = {"a": 1.0, "b": 0.5, "c": 0.5, "failed before": 0.0}
    found = compare_paired(before, after)
    assert (found.gained, found.lost, found.difference.n) == (1, 1, 3)
    assert found.difference.mean == pytest.approx(1 / 6)
    assert found.p_value == 1.0
    with pytest.raises(ValueError, match="no values"):
        compare_paired({"a": 1.0}, {"b": 1.0})


def test_the_noise_floor_by_hand() -> None:
    found = noise_floor({"a": 0.0, "b": 1.0, "only": 1.0}, {"a": 1.0, "b": 1.0})
    assert found == NoiseFloor(deviation=0.5, flips=0.5, pairs=2)
    assert found.resolvable(8) == 0.5
    with pytest.raises(ValueError, match="twice"):
        noise_floor({"a": 1.0}, {"b": 1.0})


def test_the_noise_floor_recovers_a_known_deviation() -> None:
    rng = np.random.default_rng(4)
    truth = rng.uniform(0.0, 1.0, 4000)
    first, second = (
        {str(i): float(x) for i, x in enumerate(truth + rng.normal(0, 0.3, 4000))} for _ in range(2)
    )
    assert noise_floor(first, second).deviation == pytest.approx(0.3, rel=0.05)
