"""What a MIPRO search chooses among: dimensions with their options, and the candidate that a choice makes."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from paretune.algorithms.mipro.settings import MiproSettings, Stage
from paretune.algorithms.tpe import Choice, Space
from paretune.core.candidate import Candidate

Texts = Mapping[str, str]

INSTRUCTION, DEMONSTRATIONS, PARAMETER = "instruction", "demonstrations", "parameter"


@dataclass(slots=True)
class Dimension:
    """One thing to choose: the texts of some components, as they are in each of its options."""

    name: str
    kind: str
    stage: str = ""
    options: list[Texts] = field(default_factory=list)

    def add(self, texts: Texts) -> int | None:
        """The new option's number; None if there is one with these texts."""
        if dict(texts) in self.options:
            return None
        self.options.append(dict(texts))
        return len(self.options) - 1

    def find(self, texts: Texts) -> int | None:
        """The number of the option with these texts."""
        return self.options.index(dict(texts)) if dict(texts) in self.options else None


@dataclass(slots=True)
class Options:
    """All dimensions of a program, in a fixed order. Option 0 of each is what the initial candidate has."""

    seed: Candidate
    dimensions: dict[str, Dimension] = field(default_factory=dict)

    @classmethod
    def of(cls, seed: Candidate, settings: MiproSettings) -> Options:
        options = cls(seed)
        for stage in settings.stages:
            options._begin(instruction_of(stage), INSTRUCTION, stage.components, stage.name)
            if stage.demonstrations:
                options._begin(demonstrations_of(stage), DEMONSTRATIONS, [stage.demonstrations], stage.name)
        for component, texts in settings.parameters:
            dimension = options._begin(component, PARAMETER, [component])
            for text in texts:
                dimension.add({component: text})
        return options

    def _begin(self, name: str, kind: str, components: Sequence[str], stage: str = "") -> Dimension:
        texts = {component: self.seed.components[component] for component in components}
        self.dimensions[name] = dimension = Dimension(name, kind, stage, [texts])
        return dimension

    @property
    def space(self) -> Space:
        return {name: len(dimension.options) for name, dimension in self.dimensions.items()}

    def listed(self, most: int, rng: random.Random) -> list[Choice]:
        """All choices that there are; of more than `most` of them so many random ones, some of them twice."""
        sizes = [range(len(dimension.options)) for dimension in self.dimensions.values()]
        if math.prod(map(len, sizes)) <= most:
            return list(itertools.product(*sizes))
        return [tuple(map(rng.choice, sizes)) for _ in range(most)]

    @property
    def first(self) -> Choice:
        """The choice that makes the initial candidate."""
        return (0,) * len(self.dimensions)

    def choice(self, candidate: Candidate) -> Choice | None:
        """The choice that makes this candidate; None if none does."""
        found = []
        for dimension in self.dimensions.values():
            option = dimension.find({name: candidate.components[name] for name in dimension.options[0]})
            if option is None:
                return None
            found.append(option)
        made = self.candidate(tuple(found), 0)
        return tuple(found) if made.id == candidate.id else None

    def candidate(self, choice: Choice, generation: int) -> Candidate:
        """What this choice makes: the initial candidate with the texts of the options chosen."""
        texts = dict(self.seed.components)
        for dimension, option in zip(self.dimensions.values(), choice, strict=True):
            texts |= dimension.options[option]
        if texts == dict(self.seed.components):
            return self.seed
        return Candidate(texts, (self.seed.id,), generation, "trial")


def instruction_of(stage: Stage) -> str:
    """The name of the dimension of this stage's instructions."""
    return f"{stage.name}.{INSTRUCTION}" if stage.name else INSTRUCTION


def demonstrations_of(stage: Stage) -> str:
    """The name of the dimension of this stage's demonstration sets."""
    return f"{stage.name}.{DEMONSTRATIONS}" if stage.name else DEMONSTRATIONS
