"""A job, ready to run: everything the engine needs to know, resolved and validated."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from paretune.algorithms.settings import GepaSettings
from paretune.algorithms.stops import closing_rollouts
from paretune.core.budget import Limits
from paretune.core.candidate import Candidate
from paretune.core.canonical import JsonValue, digest
from paretune.core.errors import Misconfigured
from paretune.core.example import Example, Splits
from paretune.core.rollout import Identity
from paretune.evaluate.evaluator import QueueSettings
from paretune.propose.base import Surface


@dataclass(frozen=True, slots=True)
class Prices:
    """Money reserved before a call, in USD; None where nobody knows. A money cap needs both, but for roles in
    `unknown_allowed`: their calls count as far as they say themselves what they cost.

    `rollout_tokens` are the most tokens of a rollout, `answer_tokens` those of a proposer's answer. Where
    nobody knows, a run with a cap on tokens learns it from its first call, and no other of its kind goes out
    beside that one.
    """

    rollout: float | None = None
    proposal: float | None = None
    unknown_allowed: frozenset[str] = frozenset()
    rollout_tokens: int | None = None
    answer_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """What is optimized, on what, within which limits.

    `document` is the resolved job document without secrets, for people and for `resume`.
    """

    name: str
    seed: Candidate
    splits: Splits
    identity: Identity
    settings: GepaSettings = GepaSettings()
    surface: Surface = Surface()
    limits: Limits = Limits()
    queue: QueueSettings = QueueSettings()
    tolerance: float = 0.25
    noise_replicates: int = 0
    prices: Prices = Prices()
    document: Mapping[str, JsonValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._refuse_small_budget()
        if self.limits.cost_usd is not None:
            for role, usd in (("rollout", self.prices.rollout), ("proposal", self.prices.proposal)):
                if usd is None and role not in self.prices.unknown_allowed:
                    raise Misconfigured(
                        "token.max_spend_usd",
                        f"a money cap needs a price for each {role}, and nobody knows it: set "
                        f"{_PRICE_FIELD[role]}, or allow it by name: "
                        f"termination_config.allow_unpriced = [{_DOCUMENTED_ROLE[role]!r}]",
                    )

    def _refuse_small_budget(self) -> None:
        cap = self.limits.rollouts
        least = len(self.splits.pareto) + closing_rollouts(self.splits)
        if cap is not None and cap < least:
            raise Misconfigured(
                "rollout.budget",
                f"{cap} does not hold one evaluation of the initial prompt ({len(self.splits.pareto)} pareto "
                f"seeds) and the end of the run ({least - len(self.splits.pareto)}); give at least {least}, "
                "or fewer seeds",
            )

    @property
    def digest(self) -> str:
        """Names everything that decides how the run goes.

        Concurrency and deadlines do not. Nor do caps on money, tokens and time: stops by them are recorded
        when they are met, so that a run can go on with a larger one.
        """
        return digest(
            {
                "seed": dict(self.seed.components),
                "splits": {name: [e.id for e in getattr(self.splits, name)] for name in SPLIT_NAMES},
                "identity": dataclasses.asdict(self.identity),
                "settings": dataclasses.asdict(self.settings),
                "surface": dataclasses.asdict(self.surface),
                "limits": {"rollouts": self.limits.rollouts, "steps": self.limits.steps},
                "noise_replicates": self.noise_replicates,
            }
        )

    def record(self) -> dict[str, JsonValue]:
        """What the store keeps beside the run: the document, and what it was resolved to."""
        return {
            "digest": self.digest,
            "document": dict(self.document),
            "seed": dict(self.seed.components),
            "components": list(self.seed.components),  # their order, which decides whose turn it is
            "splits": {name: [e.id for e in getattr(self.splits, name)] for name in SPLIT_NAMES},
            "settings": dataclasses.asdict(self.settings),
            "limits": dataclasses.asdict(self.limits),
            "identity": dataclasses.asdict(self.identity),
            "surface": dataclasses.asdict(self.surface),
            "noise_replicates": self.noise_replicates,
        }


SPLIT_NAMES = ("reflect", "pareto", "select", "test")

_DOCUMENTED_ROLE = {"rollout": "policy", "proposal": "proposer"}

_PRICE_FIELD = {
    "rollout": "container.rollout_estimated_cost_usd",
    "proposal": "proposer.prompt_usd_per_million and proposer.completion_usd_per_million",
}


def split_digests(splits: Splits) -> dict[str, str]:
    """Split name -> digest of its example ids, in order."""
    return {name: digest([example.id for example in getattr(splits, name)], 16) for name in SPLIT_NAMES}


def examples_by_id(splits: Splits) -> dict[str, Example]:
    """Example id -> example, over all splits."""
    return {example.id: example for example in splits.all()}
