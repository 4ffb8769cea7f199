# ruff: noqa: E501
"""How many trials the search of MIPRO takes to find the best of a synthetic space.

A space is a table of values: each option of a dimension adds something, each pair of options of two dimensions
adds something smaller (`INTERACTION` of it). Everything is a function of the seed.
"""

from __future__ import annotations

import itertools
import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from paretune.algorithms.tpe import Choice, Tpe

INTERACTION = 0.3
"""Standard deviation of what a pair of options adds, where that of an option alone is 1."""
SPACES = ((6, 6), (12, 12), (18, 18), (8, 8, 8), (6, 6, 6, 6))
"""The first three are what the presets choose from for a program of one stage."""
NOISES = (0.0, 0.5)
"""Standard deviation of what a trial says about its value."""
CONCURRENT = 8
LIMIT = 1_500

TOLD = (
    "Each option adds something (standard deviation 1), each pair of options something smaller (0.3); `noise` is that of "
    "what a trial says. Random search repeats nothing: on average it needs half of the choices. "
    "With 8 at once a choice is made without what the last 7 will say, so that the least to be expected is one at a time "
    "and some of these 7 more: a ratio of 1.2 is in reach where one at a time takes about 35 trials or more."
)


@dataclass(frozen=True, slots=True)
class World:
    """`values[choice]` is what is to be maximized; `best` has the highest one."""

    seed: int
    values: np.ndarray
    noise: float = 0.0

    @classmethod
    def of(cls, seed: int, sizes: Sequence[int], noise: float = 0.0) -> World:
        rng = np.random.default_rng(seed)
        values = np.zeros(tuple(sizes))
        places = range(len(sizes))
        for place in places:
            values += _along(rng.normal(size=sizes[place]), (place,), sizes)
        for one, other in itertools.combinations(places, 2):
            pair = rng.normal(size=(sizes[one], sizes[other])) * INTERACTION
            values += _along(pair, (one, other), sizes)
        return cls(seed, values, noise)

    @property
    def best(self) -> Choice:
        at = np.unravel_index(int(self.values.argmax()), self.values.shape)
        return tuple(int(place) for place in at)

    def told(self, choice: Choice) -> float:
        """What a trial of this choice says; asked again it says the same."""
        if not self.noise:
            return float(self.values[choice])
        rng = np.random.default_rng([self.seed, *choice])
        return float(self.values[choice] + rng.normal() * self.noise)


def _along(values: np.ndarray, places: Sequence[int], sizes: Sequence[int]) -> np.ndarray:
    """Values of some dimensions, to be added in all others."""
    shape = [size if place in places else 1 for place, size in enumerate(sizes)]
    return values.reshape(shape)


def by_tpe(world: World, at_once: int) -> int:
    """Trials begun until the best choice is among them; the first one begun is the first one told of."""
    tpe = Tpe(world.seed)
    space = {f"d{place}": size for place, size in enumerate(world.values.shape)}
    best, begun = world.best, set[Choice]()
    told, out = list[tuple[Choice, float]](), list[Choice]()
    while len(begun) < LIMIT:
        while len(out) < at_once:
            choice = tpe.ask(len(begun), space, told, out, begun)
            if choice is None:
                break
            begun.add(choice)
            out.append(choice)
            if choice == best:
                return len(begun)
        ended = out.pop(0)
        told.append((ended, world.told(ended)))
    return LIMIT


def by_chance(world: World) -> int:
    """Trials of a random search that repeats nothing."""
    return 1 + random.Random(f"chance/{world.seed}").randrange(math.prod(world.values.shape))


def row(sizes: Sequence[int], noise: float, seeds: int) -> dict[str, Any]:
    """Medians over the seeds of one space. Of a random search the median is known: half of the space."""
    worlds = [World.of(seed, sizes, noise) for seed in range(seeds)]
    runs: dict[str, Callable[[World], int]] = {
        "sequential": lambda world: by_tpe(world, 1),
        "concurrent": lambda world: by_tpe(world, CONCURRENT),
        "random": by_chance,
    }
    trials = {name: [run(world) for world in worlds] for name, run in runs.items()}
    medians = {name: statistics.median(counts) for name, counts in trials.items()}
    return {
        "space": list(sizes),
        "choices": math.prod(sizes),
        "noise": noise,
        "seeds": seeds,
        "trials": trials,
        "medians": medians,
        "expected_random": (math.prod(sizes) + 1) / 2,
        "concurrent_ratio": medians["concurrent"] / medians["sequential"],
        "random_ratio": (math.prod(sizes) + 1) / 2 / medians["sequential"],
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    head = (
        "space",
        "choices",
        "noise",
        "one at a time",
        "8 at once",
        "random",
        "8 at once / one",
        "random / one",
    )
    lines = [head, ("---",) * len(head)]
    for one in rows:
        medians = one["medians"]
        lines.append(
            (
                " x ".join(map(str, one["space"])),
                f"{one['choices']:,}",
                f"{one['noise']:g}",
                f"{medians['sequential']:g}",
                f"{medians['concurrent']:g}",
                f"{one['expected_random']:g}",
                f"{one['concurrent_ratio']:.2f}",
                f"{one['random_ratio']:.1f}",
            )
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
