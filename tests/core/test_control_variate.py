"""Control variates: no bias, an error that holds, calls saved, and no use of what is not worth its price."""

from __future__ import annotations

import itertools
import math
import random
import statistics

import pytest

from paretune.core.control_variate import Moments, estimate, least_dear, pays, relative_cost, share

EXAMPLES, ALONE, SEEDS = 300, 100, 200


def pairs(seed: int, correlation: float, examples: int = EXAMPLES) -> tuple[list[float], list[float]]:
    rng = random.Random(f"{seed}/{correlation}")
    hi = [rng.gauss(0, 1) for _ in range(examples)]
    left = math.sqrt(1 - correlation**2)
    return hi, [correlation * dear + left * rng.gauss(0, 1) for dear in hi]


@pytest.mark.parametrize("prior", [Moments(), Moments(40, 30.0, -25.0, 40.0)])
@pytest.mark.parametrize("n", [3, 4, 5])
def test_the_mean_over_all_orders_is_the_truth_whatever_the_cheap_values_are(n: int, prior: Moments) -> None:
    hi, lo = [0.3, 1.0, 0.0, 0.7, 0.2, 1.0], [9.0, 0.8, -4.0, 0.9, 0.0, 0.5]
    found = [
        estimate([hi[i] for i in order], [lo[i] for i in order], lo, prior=prior).mean
        for order in itertools.combinations(range(6), n)
    ]
    assert statistics.fmean(found) == pytest.approx(statistics.fmean(hi))


@pytest.mark.parametrize("correlation", [0.9, 0.5, 0.0])
def test_over_200_seeds_it_is_unbiased_and_as_sharp_as_many_more_dear_values(correlation: float) -> None:
    n = least_dear(correlation, ALONE, EXAMPLES)
    off, alone, beyond = [], [], 0
    for seed in range(SEEDS):
        hi, lo = pairs(seed, correlation)
        found, truth = estimate(hi[:n], lo[:n], lo), statistics.fmean(hi)
        off.append(found.mean - truth)
        alone.append(statistics.fmean(hi[:ALONE]) - truth)
        beyond += abs(off[-1]) > 1.2816 * found.error
    assert abs(statistics.fmean(off)) < 2 * statistics.stdev(off) / math.sqrt(SEEDS)
    assert statistics.stdev(off) < 1.15 * statistics.stdev(alone)
    assert beyond < 0.29 * SEEDS  # of an interval of 80 %: three standard deviations
    assert 1 - n / ALONE >= {0.9: 0.6, 0.5: 0.15, 0.0: 0.0}[correlation]


def test_cheap_values_that_agree_on_a_few_do_not_prove_that_they_always_will() -> None:
    hi = [0.0] * 8
    found = estimate(hi, hi, [0.0] * 100)
    assert found.mean == 0.0
    assert 0.05 < found.error < 0.2


def test_everything_measured_leaves_nothing_to_estimate() -> None:
    hi, lo = pairs(1, 0.5, 30)
    found = estimate(hi, lo, lo)
    assert found.mean == pytest.approx(statistics.fmean(hi))
    assert found.error == 0.0
    assert found.above == float(statistics.fmean(hi) > 0)


def test_cheap_values_without_any_difference_are_passed_over() -> None:
    hi, _ = pairs(2, 0.0, 50)
    found = estimate(hi[:10], [1.0] * 10, [1.0] * 50)
    assert found.slope == 0.0
    assert found.mean == pytest.approx(statistics.fmean(hi[:10]))


def test_too_few_values_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        estimate([1.0, 0.0], [1.0, 0.0], [1.0] * 10)


@pytest.mark.parametrize(
    ("correlation", "price", "expected"),
    [(0.9, 0.1, True), (0.9, 0.3, True), (0.5, 0.05, True), (0.5, 0.1, False), (0.0, 0.001, False)],
)
def test_what_is_worth_its_price(correlation: float, price: float, expected: bool) -> None:
    assert pays(correlation, price) == expected
    # Cochran's condition for double sampling.
    assert expected == (correlation**2 > 4 * price / (1 + price) ** 2)
    assert not pays(-correlation, price)


def test_the_best_share_costs_least() -> None:
    correlation, price = 0.9, 0.1

    def cost(part: float) -> float:
        error = (1 - correlation**2) / part + correlation**2  # of one cheap value, `part` of a dear one
        return error * (part + price)

    best = share(correlation, price)
    assert cost(best) == pytest.approx(relative_cost(correlation, price))
    assert cost(best) < min(cost(best / 2), cost(min(1.0, 2 * best)))


def test_moments_of_groups_add_up_around_their_own_means() -> None:
    one, other = pairs(3, 0.8, 400), pairs(4, 0.8, 400)
    shifted = [value + 100 for value in other[0]]
    both = Moments.of(*one) + Moments.of(shifted, other[1])
    assert both.freedom == 798
    assert both.correlation == pytest.approx(0.8, abs=0.05)
    low, high = both.bounds()
    assert low < 0.8 < high < low + 0.06
    assert Moments().bounds() == (-1.0, 1.0)
