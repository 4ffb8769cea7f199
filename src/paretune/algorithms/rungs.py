"""Full evaluation in rungs: it stops when the child can neither be chosen nor bring new cells any more."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from paretune.core.example import ExampleId

STAKES = (1 / 16, 1 / 8, 1 / 4, 1 / 2)
"""Parts of the most that may be staked on each difference; the mean wealth of all four counts."""

ROUNDING = 1e-9


def rung_ends(first: int, examples: int) -> list[int]:
    """After how many examples to look: `first`, then twice as many, while at least `first` may be saved.

    The last one is all of them; with `first` 0 it is the only one.
    """
    ends, end = [], first
    while 0 < end <= examples - first:
        ends.append(end)
        end *= 2
    return [*ends, examples]


@dataclass(frozen=True, slots=True)
class Standing:
    """What a child can still become, by what is measured so far.

    `chance`: how far it is still believable that it beats its rival on all examples (see `chance_to_win`).
    `cells`: at most so many cells will be its own.
    """

    chance: float
    cells: int

    def hopeless(self, level: float, enough: float) -> bool:
        """Neither is it still believable at `level` that it wins, nor will `enough` cells be its own.

        Who will have no cell of its own has never enough of them.
        """
        return self.chance <= level and (not self.cells or self.cells < enough)


@dataclass(frozen=True, slots=True)
class Contest:
    """A child against its rival and against the frontier.

    `order` are the pareto examples in the order of measuring, `rival` the rewards to beat, `front` the best
    rewards of the archive. `top` is the best possible reward.
    """

    order: Sequence[ExampleId]
    rival: Mapping[ExampleId, float]
    front: Mapping[ExampleId, float]
    top: float
    epsilon: float = 0.0

    def standing(self, measured: int, rewards: Mapping[ExampleId, float], level: float) -> Standing:
        """After the first `measured` examples; one that failed to be scored counts on neither side.

        Where anybody got more than `top`, nothing can be ruled out.
        """
        if any(r > self.top for rewards in (rewards, self.rival, self.front) for r in rewards.values()):
            return Standing(1.0, len(self.order))
        asked, left = self.order[:measured], self.order[measured:]
        tried = [e for e in asked if e in rewards and self._open(e)]
        won = sum(rewards[e] > self.front.get(e, -math.inf) + self.epsilon for e in tried)
        cells = most_wins(won, len(tried), sum(map(self._open, left)), level)
        return Standing(self._chance(asked, left, rewards), cells)

    def _chance(
        self, asked: Sequence[ExampleId], left: Sequence[ExampleId], rewards: Mapping[ExampleId, float]
    ) -> float:
        differences = [rewards.get(e, self.rival[e]) - self.rival[e] for e in asked if e in self.rival]
        room = [self.top - self.rival[e] for e in left if e in self.rival]
        if math.fsum(differences) + math.fsum(room) <= ROUNDING:
            return 0.0
        most = max(self.top - reward for reward in self.rival.values())
        return chance_to_win(differences, len(differences) + len(room), most)

    def _open(self, example: ExampleId) -> bool:
        """Whether there is room above the frontier."""
        return self.front.get(example, -math.inf) + self.epsilon < self.top


def chance_to_win(differences: Sequence[float], examples: int, most: float) -> float:
    """How far a total above 0 of `examples` differences, of which these came first, is still believable.

    An anytime-valid p-value: if the total is above 0 and the order is random, this is ever at `level` or
    below with a chance of at most `level`, whenever one looks. It is 1 over the wealth of somebody who bets
    on a lower total, without replacement (Waudby-Smith and Ramdas, "Estimating means of bounded random
    variables by betting", 2024, section 5). No difference is above `most`; how far they go down is free.
    """
    wealth, total = [1.0] * len(STAKES), 0.0
    for number, difference in enumerate(differences):
        mean = -total / (examples - number)  # of those left, if the total were 0
        if mean >= most - ROUNDING:
            return 0.0
        gain = (mean - difference) / (most - mean)
        wealth = [own * max(0.0, 1 + stake * gain) for own, stake in zip(wealth, STAKES, strict=True)]
        total += difference
    return min(1.0, len(STAKES) / math.fsum(wealth))


def most_wins(won: int, tried: int, left: int, level: float) -> int:
    """At most so many wins in all, if `won` of the first `tried` are wins: a one-sided bound at `level`.

    Exact for a random order of `tried + left` (hypergeometric), for a single look.
    """
    low, high, orders = won, won + left, math.comb(tried + left, tried)
    while low < high:  # the most wins under which no more than `won` so far are not too unlikely
        middle = (low + high + 1) // 2
        if _at_most(won, middle, tried, tried + left) / orders > level:
            low = middle
        else:
            high = middle - 1
    return low


def _at_most(won: int, wins: int, tried: int, total: int) -> int:
    """In how many of the ways to draw `tried` of `total` at most `won` of `wins` are among those drawn."""
    least = max(0, tried - (total - wins))
    ways = term = math.comb(wins, least) * math.comb(total - wins, tried - least)
    for k in range(least, min(won, tried)):  # one more win, one miss less; each term is a whole number
        term = term * (wins - k) * (tried - k) // ((k + 1) * (total - wins - tried + k + 1))
        ways += term
    return ways if least <= won else 0
