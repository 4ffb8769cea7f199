"""Choices among finitely many options, by Optuna's tree-structured Parzen estimator (TPE).

Nothing is kept between two questions: what is known is told anew each time, to a sampler whose randomness
comes from the number of the question. So the same record always gets the same answers, a figure may be
corrected after it was told, and options may join while the search goes on.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paretune.core.canonical import stream

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial

Choice = tuple[int, ...]
"""The number of the option chosen, dimension by dimension."""

Space = Mapping[str, int]
"""Dimension -> how many options it has, in a fixed order."""

NEIGHBOURS = 8
"""So many choices that differ in one dimension from an answer given before are tried, then in two, ..."""
LISTED = 100_000
"""A space of at most so many choices is listed to find one that was not given before."""


@dataclass(frozen=True, slots=True)
class Tpe:
    """The first `startup` choices take each option of a dimension about equally often; after them each choice
    is the likeliest to be good of `candidates` drawn."""

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

        `told` are choices and their values, higher is better, oldest first; those of `out` are under way,
        and taken to be bad until they are told (a constant liar). `number` names the question.
        """
        rng = stream(self.seed, "tpe", number)
        if len(told) + len(out) < self.startup or not told:
            choice = self._spread(number, space)
        else:
            choice = self._ask(space, told, out, rng)
        return choice if choice not in avoid else _near(choice, space, avoid, rng)

    def _ask(
        self, space: Space, told: Sequence[tuple[Choice, float]], out: Sequence[Choice], rng: random.Random
    ) -> Choice:
        study = self._study(rng.randrange(2**32))
        study.add_trials(trials(space, told, out))
        trial = study.ask(_distributions(space))
        return tuple(trial.params[name] for name in space)

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
