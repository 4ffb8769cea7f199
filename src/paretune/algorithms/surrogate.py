"""What choices that were never measured may be worth, by how far they resemble measured ones.

A Gaussian process on the number of dimensions in which two choices agree: what an option adds is learned from
all choices that have it, and what options add only together from those that share several.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

DECAYS = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Each dimension in which two choices differ takes their correlation down by a factor of e to the minus this:
small where options add up, large where all depends on the combination."""
NOISES = (0.03, 0.1, 0.3, 1.0)
"""Variance of what is said of a choice, where that of its worth is 1."""
PRIOR = 2
"""So many values of variance 1 are added to those that the scale is fitted to."""


class Surrogate:
    """Fitted to `told`, choices (the number of the option in each dimension) with
    their values, at least one. Choices of `out` are under way: their values
    are unknown, that they will be known is not (GP-BUCB: Desautels et al., JMLR 15, 2014)."""

    def __init__(
        self, told: Sequence[tuple[Sequence[int], float]], out: Sequence[Sequence[int]] = ()
    ) -> None:
        self._known = np.array([*(choice for choice, _ in told), *out])
        values = np.array([value for _, value in told])
        values = (values - values.mean()) / (values.std() or 1.0)
        count = len(values)
        decay, noise, self._scale = _fitted(_differing(self._known[:count], self._known[:count]), values)
        self._decay = decay
        covariance = np.exp(-decay * _differing(self._known, self._known)) + noise * np.eye(len(self._known))
        self._weights = np.linalg.solve(covariance[:count, :count], values)
        self._inverse = np.linalg.inv(covariance)

    def promise(self, choices: Sequence[Sequence[int]]) -> Array:
        """What each of them may well be worth: its expected value, and one standard deviation more, in units
        of the standard deviation of the values told."""
        alike = np.exp(-self._decay * _differing(np.array(choices), self._known))
        expected = alike[:, : len(self._weights)] @ self._weights
        left = 1 - ((alike @ self._inverse) * alike).sum(axis=1)
        spread: Array = np.sqrt(self._scale * np.maximum(left, 0))
        promised: Array = np.round(
            expected + spread, 9
        )  # those that are alike in all that is known are equal
        return promised


def _differing(some: npt.NDArray[np.int64], others: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """In how many dimensions they differ, (some, others)."""
    found: npt.NDArray[np.int64] = (some[:, None, :] != others[None, :, :]).sum(axis=-1)
    return found


def _fitted(differing: npt.NDArray[np.int64], values: Array) -> tuple[float, float, float]:
    """The decay and noise under which the values are likeliest, and the scale that goes with them."""
    best, found = -np.inf, (DECAYS[0], NOISES[0], 1.0)
    count = len(values)
    for decay in DECAYS:
        variances, axes = np.linalg.eigh(np.exp(-decay * differing))
        squares = (axes.T @ values) ** 2
        for noise in NOISES:
            total = np.maximum(variances, 0) + noise
            scale = ((squares / total).sum() + PRIOR) / (count + PRIOR)
            likelihood = -np.log(total).sum() - (count + PRIOR) * np.log(scale)
            if likelihood > best:
                best, found = likelihood, (decay, noise, float(scale))
    return found
