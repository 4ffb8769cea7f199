"""The mean of dear values from a few of them and the cheap values of all: control variates.

`hi` are values (rewards, or differences of rewards) by the dear model, `lo` those by the cheap one, on the
same examples. All examples have a cheap value; the dear ones were drawn at random, without replacement.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from paretune.core.statistics import student_above

PRIOR = 16.0
"""Earlier pairs weigh as much as so many, at most."""
SURPRISES = 0.5
"""Where nothing was ever off, so many of the next pairs may be, by `span`: a few that agree prove little."""
LEAST = 3
"""Fewer pairs say nothing about how far off the cheap values are."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums of squares and products around each group's own means, over `freedom` pairs beyond one a group.

    Between candidates means differ for many reasons; what counts here is how examples of one go together.
    """

    freedom: int = 0
    lo: float = 0.0
    both: float = 0.0
    hi: float = 0.0

    @classmethod
    def of(cls, hi: Sequence[float], lo: Sequence[float]) -> Moments:
        """Of one group; nothing of fewer than two pairs."""
        if len(hi) < 2:
            return cls()
        x, y = math.fsum(lo) / len(lo), math.fsum(hi) / len(hi)
        return cls(
            len(hi) - 1,
            math.fsum((cheap - x) ** 2 for cheap in lo),
            math.fsum((cheap - x) * (dear - y) for cheap, dear in zip(lo, hi, strict=True)),
            math.fsum((dear - y) ** 2 for dear in hi),
        )

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.freedom + other.freedom, self.lo + other.lo, self.both + other.both, self.hi + other.hi
        )

    @property
    def tells(self) -> bool:
        """Whether both kinds of values differ at all: else nothing can be known of how they go together."""
        return self.freedom >= LEAST and min(self.lo, self.hi) > 1e-12

    @property
    def correlation(self) -> float:
        """-1 to 1; 0 where it is not known."""
        return max(-1.0, min(1.0, self.both / math.sqrt(self.lo * self.hi))) if self.tells else 0.0

    def bounds(self, deviations: float = 1.2816) -> tuple[float, float]:
        """Of the correlation, one-sided each; by default at 90 % (Fisher's z)."""
        if not self.tells:
            return -1.0, 1.0
        z = math.atanh(max(-1 + 1e-12, min(1 - 1e-12, self.correlation)))
        half = deviations / math.sqrt(max(1, self.freedom - 2))
        return math.tanh(z - half), math.tanh(z + half)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of the mean over all examples: `error` is one standard error, `freedom` its degrees of freedom.

    `slope` is how far a cheap value was followed.
    """

    mean: float
    error: float
    freedom: int
    slope: float

    @property
    def above(self) -> float:
        """How likely a mean above 0 is, after Student; 0 or 1 where everything was measured."""
        if self.error <= 0:
            return float(self.mean > 0)
        return student_above(-self.mean / self.error, self.freedom)

    def most(self, deviations: float) -> float:
        return self.mean + deviations * self.error


def estimate(
    hi: Sequence[float],
    lo: Sequence[float],
    all_lo: Sequence[float],
    *,
    prior: Moments = Moments(),
    span: float = 1.0,
) -> Estimate:
    """From the first `len(hi)` of all examples, in random order. Raises ValueError on fewer than `LEAST`.

    mean(hi) - slope * (mean(lo) - mean(all_lo)), where the slope that corrects an example's value is fitted
    to the others (and to `prior`). So the mean over all random orders is exactly the mean of all `hi`,
    however few they are and whatever `lo` is; a slope fitted to all at once is biased by about 1/n (Cochran,
    "Sampling Techniques", 1977, section 7.7). `span` is how far off a value can be; the error holds a part
    of it.
    """
    n, examples = len(hi), len(all_lo)
    if n < LEAST:
        raise ValueError(f"{n} values are too few to tell an error")
    slopes = _slopes_of_the_others(hi, lo, prior)
    here, everywhere = math.fsum(lo) / n, math.fsum(all_lo) / examples
    # Of an example, what is left when the others are drawn already: their cheap values are out of the urn.
    off = [(examples - n) * cheap - examples * everywhere + n * here for cheap in lo]
    shift = math.fsum(s * o for s, o in zip(slopes, off, strict=True)) / (n * examples)
    left = [dear - s * (cheap - everywhere) for dear, s, cheap in zip(hi, slopes, lo, strict=True)]
    middle = math.fsum(left) / n
    squares = math.fsum((value - middle) ** 2 for value in left) + SURPRISES * span**2
    variance = squares / (n - 1) * (1 / n - 1 / examples)
    mean = math.fsum(hi) / n - shift
    return Estimate(mean, math.sqrt(max(0.0, variance)), n - 1, math.fsum(slopes) / n)


def _slopes_of_the_others(hi: Sequence[float], lo: Sequence[float], prior: Moments) -> list[float]:
    """For each pair the least-squares slope of all the others and of the prior."""
    n = len(hi)
    own = Moments.of(hi, lo)
    x, y = math.fsum(lo) / n, math.fsum(hi) / n
    weight = min(1.0, PRIOR / prior.freedom) if prior.freedom else 0.0
    slopes = []
    for dear, cheap in zip(hi, lo, strict=True):
        away = n / (n - 1)  # sums of squares without one pair: its distance from the mean of all, stretched
        squares = own.lo - away * (cheap - x) ** 2 + weight * prior.lo
        products = own.both - away * (cheap - x) * (dear - y) + weight * prior.both
        slopes.append(products / squares if squares > 1e-12 else 0.0)
    return slopes


# -- what is worth its price ------------------------------------------------------------------------------


def share(correlation: float, price: float) -> float:
    """The best part of the examples for the dear model, 0 to 1. A cheap value costs `price` of a dear one.

    Double sampling with regression (Cochran 1977, section 12.6): what a unit of money buys is best spent so.
    """
    squared = correlation**2
    if squared <= 0.0:
        return 1.0
    return min(1.0, math.sqrt(max(0.0, 1 - squared) * price / squared))


def relative_cost(correlation: float, price: float) -> float:
    """The cost of an error as small as that of dear values alone, with the best `share`, as a part of theirs.

    1 and more: cheap values are not worth their price.
    """
    squared = min(1.0, correlation**2)
    return (math.sqrt(1 - squared) + math.sqrt(squared * price)) ** 2


def pays(correlation: float, price: float) -> bool:
    """Whether cheap values are worth their price: where squared correlation > 4 price / (1 + price) ** 2."""
    positive = correlation > 0
    return positive and relative_cost(correlation, price) < 1 and share(correlation, price) < 1


def least_dear(correlation: float, dear_alone: int, examples: int) -> int:
    """Dear values for an error as small as that of `dear_alone` alone, where all examples have cheap ones."""
    left = 1 - correlation**2
    if dear_alone >= examples or left <= 0:
        return min(dear_alone, examples) if left > 0 else LEAST
    inverse = (1 / dear_alone - 1 / examples) / left + 1 / examples
    return max(LEAST, math.ceil(1 / inverse - 1e-9))
