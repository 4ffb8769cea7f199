"""What a GEPA search can be told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from paretune.core.example import ExampleId
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


class ProxyRule(StrEnum):
    """How a cheap model's rewards are used."""

    CONTROL_VARIATE = "control_variate"
    R2 = "r2"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A cheap policy (LO) screens children before the job's own (HI) evaluates them in full.

    `CONTROL_VARIATE`: HI on a random part, LO on all; on while the correlation of the two is worth LO's
    price. `R2`, as documented: LO alone, once a regression on `n_min_hi` examples has `r2_thresh`, until it
    has less than `r2_stop`. Every `verify_every`-th child that would be stopped is not (0: none). Off for
    good once what was saved is below `patience_usd`. `lo_usd` and `hi_usd` are the prices of a rollout where
    answers do not tell; without these LO is taken to cost `ASSUMED_PRICE` of HI. `verdict_usd` is what a
    verifier takes for a rollout by either.
    """

    rule: ProxyRule = ProxyRule.CONTROL_VARIATE
    n_min_hi: int = 5
    r2_thresh: float = 0.5
    r2_stop: float = 0.2
    sigma_max: float = 1e6
    sigma_stop: float = 1e9
    verify_every: int = 0
    patience_usd: float = -100.0
    lo_usd: float | None = None
    hi_usd: float | None = None
    verdict_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """The documented fields of `adaptive_pool`, shortened. Sizes of None are all examples, or the anchors.

    An iteration is a generation of GEPA or an iteration of MIPRO, a trial one candidate measured on the pool.
    """

    anchors: int = 30
    first: int | None = None
    least: int | None = None
    warmup: int = 5
    stop: int = 20
    period: int = 3
    evaluations: int = 3
    prompts: int = 10
    buffer: float = 0.9
    epsilon: float = 1e-6
    anchoring: Literal["random", "clustering"] = "clustering"
    exploration: Literal["random", "diversity"] = "diversity"
    reserve: tuple[ExampleId, ...] = ()
    trigger: Literal["after_min_size", "immediate", "every_N_trials_after_min"] = "after_min_size"
    heat: int = 20
    cooldown: int = 50
    schedule: Literal["repeat", "once"] = "repeat"


@dataclass(frozen=True, slots=True)
class GepaSettings:
    """Defaults are those of the job document (`[prompt_learning.gepa]`); `classic()` is the paper.

    `initial_size`: the seed and up to so many - 1 proposals from it form generation 0.
    `generations` x `children_per_generation` proposals follow. `crossover_rate` is the share of
    children made by merging, `mutation_rate` the chance of each further component to be edited in the
    same proposal. `pressure` is the exponent on frontier frequencies. `patience`: generations
    without a better best (0: never), `barren_steps` the same in steps. `finalists` go to the selection split.
    `target`: stop at this mean. `perfect`: a reward that leaves nothing to learn. `pool`: children are
    measured on some of the
    pareto examples first (None: on all). `least_gain`: of the mean reward, which a gate asks for beyond
    `acceptance`. `selection`: parents by the cells that they hold, or any of the archive.
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
    barren_steps: int = 0
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
    proxy: Proxy | None = None
    pool: PoolSettings | None = None
    least_gain: float = 0.0
    selection: Literal["coverage", "random"] = "coverage"

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
