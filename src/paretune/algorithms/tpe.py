"""Choices among finitely many options: Optuna's tree-structured Parzen estimator (TPE) proposes some, and the
most promising one in reach of these is taken.

Nothing is kept between two questions: what is known is told anew each time, to a sampler whose randomness
comes from the number of the question. So the same record always gets the same answers, a figure may be
corrected after it was told, and options may join while the search goes on.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paretune.algorithms.surrogate import Surrogate
from paretune.core.canonical import stream

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial

Choice = tuple[int, ...]
"""The number of the option chosen, dimension by dimension."""

Space = Mapping[str, int]
"""Dimension -> how many options it has, in a fixed order."""

STARTS = 2
"""So many proposals of TPE are climbed from."""
NEIGHBOURS = 8
"""So many choices that differ in one dimension from an answer given before are tried, then in two, ..."""
LISTED = 100_000
"""A space of at most so many choices is listed to find one that was not given before."""


@dataclass(frozen=True, slots=True)
class Tpe:
    """The first `startup` choices, or as many as give each option one turn if those are fewer, take the
    options of a dimension about equally often. Each later one is the most promising that is found from
    proposals of TPE, each the likeliest to be good of `candidates` drawn, by changing one dimension after the
    other."""

    seed: int = 0
    startup: int = 10
    candidates: int = 24

    def ask(
        self,
        number: int,
        space: Space,
        told: Sequence[tuple[Choice, float]],
        out: Sequence[Choice] = (),
        avoid: Collection[Choice] = (),
    ) -> Choice | None:
        """The next choice, one that is not to be avoided; None if there is no other.

        `told` are choices and their values, higher is better, oldest first; those of `out` are under way:
        what will be known by them needs no second asking. `number` names the question.
        """
        rng = stream(self.seed, "tpe", number)
        startup = min(self.startup, max(space.values(), default=0))
        if len(told) + len(out) < startup or not told:
            choice = self._spread(number, space)
            return choice if choice not in avoid else _near(choice, space, avoid, rng)
        seen = _climbed(self._proposed(space, told, out, rng), space, Surrogate(told, out))
        left = [(promise, rng.random(), choice) for choice, promise in seen.items() if choice not in avoid]
        return max(left)[-1] if left else _any_other(space, avoid, rng)

    def _proposed(
        self, space: Space, told: Sequence[tuple[Choice, float]], out: Sequence[Choice], rng: random.Random
    ) -> list[Choice]:
        """Several of TPE's choices, the ones before taken to be bad each time (a constant liar)."""
        study = self._study(rng.randrange(2**32))
        study.add_trials(trials(space, told, out))
        asked = [study.ask(_distributions(space)) for _ in range(STARTS)]
        return [tuple(trial.params[name] for name in space) for trial in asked]

    def _spread(self, number: int, space: Space) -> Choice:
        """A row of a random design in which every option has its turn."""
        choice = []
        for place, options in enumerate(space.values()):
            turn, at = divmod(number, options)
            order = stream(self.seed, f"tpe/spread/{place}", turn).sample(range(options), options)
            choice.append(order[at])
        return tuple(choice)

    def _study(self, seed: int) -> Study:
        from optuna.samplers import TPESampler
        from optuna.storages import InMemoryStorage
        from optuna.study import Study, StudyDirection

        # Each dimension is modelled by itself, so that what an option adds is learned from all choices alike.
        storage = InMemoryStorage()
        logging.getLogger("optuna.storages").setLevel(logging.WARNING)  # it tells of each study
        storage.create_new_study([StudyDirection.MAXIMIZE], "paretune")
        sampler = TPESampler(
            seed=seed,
            n_startup_trials=0,
            n_ei_candidates=self.candidates,
            multivariate=False,
            constant_liar=True,
        )
        return Study("paretune", storage, sampler=sampler)


def trials(
    space: Space, told: Sequence[tuple[Choice, float]], out: Sequence[Choice] = ()
) -> list[FrozenTrial]:
    """These choices as Optuna's trials, the ones that are out still running."""
    from optuna.trial import TrialState, create_trial

    kinds = _distributions(space)
    made = [
        create_trial(params=_params(space, choice), distributions=kinds, value=value)
        for choice, value in told
    ]
    running = [
        create_trial(state=TrialState.RUNNING, params=_params(space, choice), distributions=kinds)
        for choice in out
    ]
    return made + running


def _params(space: Space, choice: Choice) -> dict[str, Any]:
    return dict(zip(space, choice, strict=True))


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    from optuna.distributions import CategoricalDistribution

    return {name: CategoricalDistribution(tuple(range(options))) for name, options in space.items()}


def _climbed(starts: Sequence[Choice], space: Space, surrogate: Surrogate) -> dict[Choice, float]:
    """Choice -> what it promises: those on the way up from each start, and all that differ from one of these
    in one dimension."""
    seen: dict[Choice, float] = {}
    for at in starts:
        top, reached = at, -math.inf
        while True:
            around = [top, *_beside(top, space)]
            new = [choice for choice in around if choice not in seen]
            if new:
                seen |= zip(new, map(float, surrogate.promise(new)), strict=True)
            top = max(around, key=seen.__getitem__)
            if seen[top] <= reached:
                break
            reached = seen[top]
    return seen


def _beside(choice: Choice, space: Space) -> list[Choice]:
    """All that differ in one dimension."""
    return [
        (*choice[:place], other, *choice[place + 1 :])
        for place, options in enumerate(space.values())
        for other in range(options)
        if other != choice[place]
    ]


def _near(choice: Choice, space: Space, avoid: Collection[Choice], rng: random.Random) -> Choice | None:
    """A choice that is not to be avoided, in as few dimensions another one as a few draws find."""
    free = [place for place, options in enumerate(space.values()) if options > 1]
    sizes = list(space.values())
    for distance in range(1, len(free) + 1):
        for _ in range(NEIGHBOURS):
            places = rng.sample(free, distance)
            other = list(choice)
            for place in places:
                other[place] = (other[place] + rng.randrange(1, sizes[place])) % sizes[place]
            if tuple(other) not in avoid:
                return tuple(other)
    return _any_other(space, avoid, rng)


def _any_other(space: Space, avoid: Collection[Choice], rng: random.Random) -> Choice | None:
    """A random choice that is not to be avoided."""
    sizes = list(space.values())
    count = 1
    for size in sizes:
        count *= size
    if count <= LISTED:
        avoided = set(avoid)
        left = [place for place in range(count) if _at(place, sizes) not in avoided]
        return _at(rng.choice(left), sizes) if left else None
    while (choice := tuple(map(rng.randrange, sizes))) in avoid:
        pass  # of so many, few were given before
    return choice


def _at(place: int, sizes: Sequence[int]) -> Choice:
    choice = []
    for size in reversed(sizes):
        place, option = divmod(place, size)
        choice.append(option)
    return tuple(reversed(choice))
