"""What a GEPA search can be told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from paretune.core.frontier import FrontierType
from paretune.core.gate import Acceptance


class Staleness(StrEnum):
    """What becomes of a proposal whose parent is no longer the head."""

    ACCEPT = "accept"
    DROP = "drop_older_than"
    REPAIR = "repair"


@dataclass(frozen=True, slots=True)
class Pipeline:
    """`lanes` 0: one thing at a time (`sync`). Otherwise so many lanes share one head (`async`).

    `staleness`: a late child is gated against its own parent and may replace the head (`accept`), is dropped
    when the head moved more than `oldest` times (`drop_older_than`), or is carried onto the head (`repair`).
    `guards`: examples that the parent passes, added to each gate. A head is validated after `validate_every`
    accepted steps, if validations took no more than `validation_share` of the rollouts, on all pareto
    examples and a panel of at most `panel` reflect examples; after `plateau` validations without a new
    incumbent parents come from the frontier. `replicates` 1: a child that passes by a single answer is
    asked once more there, unless answers are known to repeat. `ablation`: once a validation brought
    nothing better, the incumbent is tried without some of its lines.
    """

    lanes: int = 0
    staleness: Staleness = Staleness.REPAIR
    oldest: int = 0
    guards: int = 0
    validate_every: int = 4
    validation_share: float = 0.2
    panel: int = 56
    plateau: int = 3
    replicates: int = 1
    ablation: bool = True


@dataclass(frozen=True, slots=True)
class Rungs:
    """A full evaluation is looked at after `first` examples, then after twice as many (0: only at the end).

    It is stopped when, at error `level`, the child can no longer be chosen, and fewer than `cells` (a share
    of the pareto examples), or none, will be its own.
    """

    first: int = 16
    level: float = 0.2
    cells: float = 0.03


@dataclass(frozen=True, slots=True)
class GepaSettings:
    """Defaults are those of the job document (`[prompt_learning.gepa]`); `classic()` is the paper.

    `initial_size`: the seed and up to so many - 1 proposals from it form generation 0.
    `generations` x `children_per_generation` proposals follow. `crossover_rate` is the share of
    children made by merging, `mutation_rate` the chance of each further component to be edited in the
    same proposal. `pressure` is the exponent on frontier frequencies. `patience`: generations
    without a better best (0: never). `finalists` go to the selection split. `target`: stop at this
    mean. `perfect`: a reward that leaves nothing to learn.
    """

    seed: int = 0
    minibatch_size: int = 8
    initial_size: int = 20
    generations: int = 10
    children_per_generation: int = 5
    crossover_rate: float = 0.5
    mutation_rate: float = 0.3
    pressure: float = 1.0
    patience: int = 3
    archive_size: int = 64
    epsilon: float = 1e-6
    frontier: FrontierType = FrontierType.INSTANCE
    acceptance: Acceptance = Acceptance.STRICT
    perfect: float = 1.0
    skip_perfect: bool = True
    target: float | None = None
    finalists: int = 3
    merge_gate_size: int = 5
    merge_overlap_floor: int = 5
    pipeline: Pipeline = Pipeline()
    rungs: Rungs = Rungs()

    @property
    def known_failures(self) -> int:
        """In lanes at most so many examples that the parent is known to fail join a minibatch."""
        return self.minibatch_size if self.pipeline.lanes else 0

    @property
    def step_rollouts(self) -> int:
        """Of a step at most: the parent's on its minibatch, the child's in its gate; guards and gates against
        a head that moved aside."""
        return 2 * self.minibatch_size + self.known_failures

    @classmethod
    def classic(cls, *, seed: int = 0, minibatch_size: int = 3) -> GepaSettings:
        """GEPA as in the paper (arXiv 2507.19457, algorithm 1) and gepa's own defaults.

        One proposal a step from the seed on, one component at a time, minibatch of 3, strict
        improvement of the sum, every accepted child evaluated to the last example, no merges, no end but
        the budget.
        """
        return cls(
            seed=seed,
            minibatch_size=minibatch_size,
            initial_size=1,
            generations=1_000_000,
            children_per_generation=1,
            crossover_rate=0.0,
            mutation_rate=0.0,
            patience=0,
            archive_size=1_000_000,
            epsilon=0.0,
            rungs=Rungs(first=0),
        )
