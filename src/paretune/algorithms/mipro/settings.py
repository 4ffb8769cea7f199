"""What a MIPRO search can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from paretune.algorithms.settings import GepaSettings, Pipeline
from paretune.algorithms.stops import closing_rollouts
from paretune.core.example import Splits

FIRST_SHARE = 8
"""The initial prompt may take one of so many rollouts before the search; a comparison is not the search."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One prompt of the program: `components` hold its instruction, `demonstrations` names the component with
    its solved examples (empty: it shows none).

    `instructions` and `demo_sets` are how many of each are searched, the initial one and the empty one
    included; later rounds may add to the instructions, up to `most_instructions`. `module` says in words what
    the stage does.
    """

    name: str
    components: tuple[str, ...]
    demonstrations: str = ""
    instructions: int = 6
    demo_sets: int = 6
    most_instructions: int = 128
    module: str = ""


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Demonstrations: a rollout of the initial prompt qualifies from the reward `threshold` on.

    A set has at most `bootstrapped` of those, and is filled up to `labelled` with expected answers. With
    fewer than `least` that qualify the run fails if it is `strict`, and goes on with what there is otherwise.
    """

    threshold: float = 0.8
    bootstrapped: int = 4
    labelled: int = 4
    least: int = 0
    strict: bool = False


@dataclass(frozen=True, slots=True)
class MiproSettings:
    """There are `evaluations` trials in each of so many `iterations`. `batch` examples are asked in a
    trial; after `full_every` trials the best one is evaluated in full. `at_once` trials overlap. Before
    each trial of `rounds` so many (`per_round`) further instructions of each stage are written, by what
    was measured until then. `startup` random trials come before TPE decides, which draws `candidates`
    for each choice. `rows` (texts; those of the bootstrap examples where it is empty, none at all where
    it is None) and `program` are told whoever writes instructions; `history`: so are the best and worst
    texts so far, in later rounds. `tips` vary what is asked for. `parameters` are further components
    with the texts to choose from, the initial one first.
    """

    stages: tuple[Stage, ...]
    bootstrap: Bootstrap = Bootstrap()
    iterations: int = 20
    evaluations: int = 5
    batch: int = 32
    full_every: int = 5
    at_once: int = 8
    rounds: tuple[int, ...] = ()
    per_round: int = 2
    startup: int = 10
    candidates: int = 24
    rows: tuple[str, ...] | None = ()
    program: str = ""
    history: bool = True
    tips: bool = True
    parameters: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def first(self, splits: Splits, cap: int | None) -> int:
        """How many pareto examples the initial prompt is asked before the search: all, or a batch where all
        would take more than a `FIRST_SHARE`th of the rollouts that there are (`cap`) beside the end."""
        known = {example.id for example in splits.reflect}
        new = sum(example.id not in known for example in splits.pareto)
        if cap is None or FIRST_SHARE * new <= cap - closing_rollouts(splits):
            return len(splits.pareto)
        return min(self.batch, len(splits.pareto))

    def shared(self, gepa: GepaSettings) -> GepaSettings:
        """What this search has in common with GEPA's: an iteration is a generation."""
        return replace(
            gepa,
            minibatch_size=self.batch,
            initial_size=1,
            generations=self.iterations,
            children_per_generation=self.evaluations,
            patience=0,
            pipeline=Pipeline(lanes=self.at_once, panel=0),
        )

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> MiproSettings:
        """The settings that a run's record describes, in the JSON form of `dataclasses.asdict`."""
        stages = [{**stage, "components": tuple(stage["components"])} for stage in record["stages"]]
        return cls(
            **{
                **record,
                "stages": tuple(Stage(**stage) for stage in stages),
                "bootstrap": Bootstrap(**record["bootstrap"]),
                "rounds": tuple(record["rounds"]),
                "rows": None if record["rows"] is None else tuple(record["rows"]),
                "parameters": tuple((name, tuple(texts)) for name, texts in record["parameters"]),
            }
        )
