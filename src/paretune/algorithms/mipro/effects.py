"""What options add to the reward, by all that was measured: means of combinations, tried or not."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from paretune.algorithms.tpe import Choice
from paretune.core.example import ExampleId

Measured = tuple[Choice, Mapping[ExampleId, float]]
"""A combination and its rewards."""

PRIOR = 8
"""So many examples at the mean of all stand against what a combination got: one of few is believed less."""
ADDITIVE = 0.75
"""The part of what a combination is better that is expected of its options alone, each by itself."""
LEVEL = 0.5
"""Examples that stand against a mean of all other than the plain one."""
DOUBT = 0.25
"""So many combinations at the mean are added to each example, for those that only one was asked."""
SWEEPS = 25
"""Rounds of the alternating fit of examples and combinations."""
LEAST_NOISE = 1e-6

Place = tuple[int, int] | Choice
"""Of an effect: a dimension and one of its options, or (in `_Fit.pairs`) a whole combination."""


@dataclass(frozen=True, slots=True)
class Effects:
    """The fit of a linear model with normal priors, in units of the noise of one reward.

    A reward is the mean of all, plus what each option adds, plus what this combination of them adds, plus
    what the example is easier, plus noise. So a combination that was never tried has a mean, too.
    """

    options: Mapping[tuple[int, int], int]
    combinations: Mapping[Choice, int]
    weights: np.ndarray
    factor: np.ndarray
    noise: float
    own: float
    """Variance of what a combination adds, beside its options."""

    @classmethod
    def of(cls, measured: Sequence[Measured], others: Sequence[Choice] = ()) -> Effects:
        """`measured` has at least one combination, and each a reward. `others` are to be drawn, too."""
        dimensions = len(measured[0][0])
        choices = [choice for choice, _ in measured]
        places = sorted({place for choice in (*choices, *others) for place in enumerate(choice)})
        options = {place: 1 + row for row, place in enumerate(places)}
        combinations = {choice: 1 + len(options) + row for row, (choice, _) in enumerate(measured)}
        rewards, there = _table([rewards for _, rewards in measured])
        columns = np.array(
            [[0, *(options[d, o] for d, o in enumerate(c)), combinations[c]] for c, _ in measured]
        )
        size = 1 + len(options) + len(combinations)
        design = np.zeros((len(measured), size))
        np.put_along_axis(design, columns, 1.0, axis=1)
        alone, own = ADDITIVE / PRIOR / dimensions, (1 - ADDITIVE) / PRIOR
        prior = np.array([LEVEL, *[1 / alone] * len(options), *[1 / own] * len(combinations)])
        factor, lower = cho_factor(
            np.diag(prior) + design.T @ (there.sum(axis=1)[:, None] * design), lower=True
        )
        grand = rewards[there].mean()
        filled, weights, easier = (
            np.where(there, rewards - grand, 0.0),
            np.zeros(size),
            np.zeros(there.shape[1]),
        )
        for _ in range(SWEEPS):
            rest = np.where(there, filled - (design @ weights)[:, None], 0.0)
            easier = rest.sum(axis=0) / (there.sum(axis=0) + DOUBT)
            rest = np.where(there, filled - easier[None, :], 0.0)
            weights = cho_solve((factor, lower), design.T @ rest.sum(axis=1))
        left = np.where(there, filled - easier[None, :] - (design @ weights)[:, None], 0.0)
        noise = max(LEAST_NOISE, float((left**2).sum() / there.sum()))
        weights[0] += grand
        return cls(options, combinations, weights, np.tril(factor), noise, own)

    def mean(self, choice: Choice) -> float:
        """The reward to be expected on all examples alike."""
        return float(sum(self.weights[row] for row in self._rows(choice)))

    def drawn(self, choices: Sequence[Choice], rng: random.Random) -> np.ndarray:
        """Means of these combinations as they may be, drawn together from what is known of them."""
        numbers = np.random.default_rng(rng.randrange(2**32))
        some = self.weights + np.sqrt(self.noise) * solve_triangular(
            self.factor, numbers.standard_normal(len(self.weights)), lower=True, trans="T"
        )
        new = np.sqrt(self.noise * self.own) * numbers.standard_normal(len(choices))
        return np.array(
            [
                sum(some[row] for row in self._rows(choice)) + (0.0 if choice in self.combinations else shift)
                for choice, shift in zip(choices, new, strict=True)
            ]
        )

    def _rows(self, choice: Choice) -> list[int]:
        """Of the weights that make its mean."""
        rows = [self.options[place] for place in enumerate(choice) if place in self.options]
        return [0, *rows, *([self.combinations[choice]] if choice in self.combinations else [])]


def _table(lines: Sequence[Mapping[ExampleId, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Rewards by combination and example, and where there are any."""
    columns = {e: n for n, e in enumerate(dict.fromkeys(e for line in lines for e in line))}
    rewards = np.full((len(lines), len(columns)), np.nan)
    for row, line in enumerate(lines):
        rewards[row, [columns[e] for e in line]] = list(line.values())
    return rewards, ~np.isnan(rewards)
