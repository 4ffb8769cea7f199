"""How sure a comparison is: paired intervals, paired tests, the noise floor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from paretune.core.example import ExampleId

FEW = 15
"""Below so many values the bootstrap's interval is too narrow."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its two-sided interval at `level`, over `n` examples."""

    mean: float
    low: float
    high: float
    n: int
    level: float = 0.95

    def within(self, least: float, most: float) -> Interval:
        """Not beyond what such a mean can be."""
        return replace(self, low=max(self.low, least), high=min(self.high, most))


@dataclass(frozen=True, slots=True)
class Comparison:
    """`after` minus `before`, paired by example.

    `p_value`: two-sided sign-flip permutation test. `gained` and `lost` count examples that went up
    and down.
    """

    difference: Interval
    p_value: float
    gained: int
    lost: int

    @property
    def is_gain(self) -> bool:
        """True only if interval and test agree that `after` is better, at the interval's level."""
        return self.difference.low > 0 and self.p_value < 1 - self.difference.level


def bootstrap_mean(
    values: Sequence[float], *, seed: int = 0, level: float = 0.95, draws: int = 5000
) -> Interval:
    """An interval for the mean. Raises ValueError on no values.

    Percentile bootstrap (Efron 1979) from 15 values on; below, where that is too narrow, Student's t.
    One value has an interval without bounds: nothing can be said.
    """
    sample = np.asarray(values, dtype=float)
    if sample.size == 0:
        raise ValueError("no values to average")
    mean = float(sample.mean())
    if sample.size < FEW:
        return student_mean(values, level=level)
    rng = np.random.default_rng(seed)
    means = np.empty(draws)
    chunk = max(1, 2_000_000 // sample.size)
    for start in range(0, draws, chunk):
        size = min(chunk, draws - start)
        picks = rng.integers(0, sample.size, size=(size, sample.size))
        means[start : start + size] = sample[picks].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, float(low), float(high), int(sample.size), level)


def student_mean(values: Sequence[float], *, level: float = 0.95) -> Interval:
    """Student's t interval for the mean, at hardly any cost. Raises ValueError on no values.

    One value has an interval without bounds.
    """
    sample = np.asarray(values, dtype=float)
    if sample.size == 0:
        raise ValueError("no values to average")
    mean = float(sample.mean())
    if sample.size == 1:
        return Interval(mean, -math.inf, math.inf, 1, level)
    half = _student(level, sample.size - 1) * float(sample.std(ddof=1)) / math.sqrt(sample.size)
    return Interval(mean, mean - half, mean + half, int(sample.size), level)


@lru_cache(maxsize=1024)
def _student(level: float, degrees: int) -> float:
    """The two-sided quantile of Student's t, by bisection on its distribution function."""
    low, high = 0.0, 1e4
    for _ in range(100):
        middle = (low + high) / 2
        if _student_mass(middle, degrees) < level:
            low = middle
        else:
            high = middle
    return high


def _student_mass(t: float, degrees: int) -> float:
    """P(-t < T < t) for whole degrees of freedom (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    theta = math.atan(t / math.sqrt(degrees))
    cosine, sine = math.cos(theta), math.sin(theta)
    if degrees == 1:
        return 2 * theta / math.pi
    term = total = cosine if degrees % 2 else 1.0
    for k in range(3 if degrees % 2 else 2, degrees, 2):
        term *= cosine**2 * (k - 1) / k
        total += term
    return 2 / math.pi * (theta + sine * total) if degrees % 2 else sine * total


def student_above(t: float, degrees: int) -> float:
    """P(T > t) for Student's t with so many degrees of freedom, 1 at least."""
    tail = max(0.0, 1 - _student_mass(abs(t), degrees)) / 2
    return tail if t >= 0 else 1 - tail


def sign_flip_test(differences: Sequence[float], *, seed: int = 0, draws: int = 20_000) -> float:
    """Two-sided p-value of "the mean difference is 0" under random sign flips (Fisher 1935).

    Exact for up to 14 non-zero differences, otherwise Monte Carlo with the usual plus one.
    """
    d = np.asarray([x for x in differences if x != 0.0], dtype=float)
    if d.size == 0:
        return 1.0
    observed = abs(d.sum()) - 1e-9 * np.abs(d).sum()
    if d.size <= 14:
        flips = ((np.arange(2**d.size)[:, None] >> np.arange(d.size)) & 1) * 2 - 1
        return float((np.abs(flips @ d) >= observed).mean())
    rng = np.random.default_rng(seed)
    hits, chunk = 0, max(1, 2_000_000 // d.size)
    for start in range(0, draws, chunk):
        size = min(chunk, draws - start)
        signs = rng.integers(0, 2, size=(size, d.size)) * 2 - 1
        hits += int((np.abs(signs @ d) >= observed).sum())
    return (hits + 1) / (draws + 1)


def compare_paired(
    before: Mapping[ExampleId, float], after: Mapping[ExampleId, float], *, seed: int = 0, level: float = 0.95
) -> Comparison:
    """Compare on the examples that both were scored on. Raises ValueError if there are none."""
    return _compared(tuple(after[e] - before[e] for e in before if e in after), seed, level)


@lru_cache(maxsize=256)
def _compared(differences: tuple[float, ...], seed: int, level: float) -> Comparison:
    """Kept, for pages ask for the same comparison again and again."""
    return Comparison(
        difference=bootstrap_mean(differences, seed=seed, level=level),
        p_value=sign_flip_test(differences, seed=seed),
        gained=sum(d > 0 for d in differences),
        lost=sum(d < 0 for d in differences),
    )


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """What repeating the same rollouts changes.

    `deviation` is the standard deviation of one reward, `flips` the share of examples whose reward
    changed, `resolvable` the smallest difference of two means over `n` examples that is twice its
    own noise.
    """

    deviation: float
    flips: float
    pairs: int

    def resolvable(self, n: int) -> float:
        return 2.0 * self.deviation * math.sqrt(2.0 / n)


def noise_floor(first: Mapping[ExampleId, float], second: Mapping[ExampleId, float]) -> NoiseFloor:
    """From two replicates of the same candidate on the same examples. Raises ValueError on no pairs."""
    shared = [example for example in first if example in second]
    if not shared:
        raise ValueError("no example was rolled out twice")
    d = np.asarray([second[e] - first[e] for e in shared], dtype=float)
    return NoiseFloor(float(np.sqrt((d**2).mean() / 2.0)), float((d != 0).mean()), len(shared))
