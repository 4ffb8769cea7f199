"""A job, ready to run: everything the engine needs to know, resolved and validated."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from paretune.algorithms.mipro.settings import MiproSettings
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
    """Money reserved before a call, in USD; None where nobody knows. A money cap needs all that are asked,
    but for roles in `unknown_allowed`: their calls count as far as they say themselves what they cost.
    `proxy` is that of a rollout by the cheap policy.

    `rollout_tokens` are the most tokens of a rollout, `answer_tokens` those of a proposer's answer. Where
    nobody knows, a run with a cap on tokens learns it from its first call, and no other of its kind goes out
    beside that one. `judges` are asked for a verdict on each rollout, `verdict` is the money for one of them.
    """

    rollout: float | None = None
    proposal: float | None = None
    proxy: float | None = None
    unknown_allowed: frozenset[str] = frozenset()
    rollout_tokens: int | None = None
    answer_tokens: int | None = None
    judges: int = 0
    verdict: float | None = None

    def unknown(self, *, proxy: bool) -> list[str]:
        """Roles whose price nobody knows, and that may not go without one; `proxy` if that is asked."""
        prices = {"rollout": self.rollout, "proposal": self.proposal}
        prices |= {"proxy": self.proxy} if proxy else {}
        prices |= {"verdict": self.verdict} if self.judges else {}
        allowed = self.unknown_allowed
        return [
            role for role, usd in prices.items() if usd is None and _ALLOWED_AS.get(role, role) not in allowed
        ]


@dataclass(frozen=True, slots=True)
class Job:
    """What is optimized, on what, within which limits.

    `lo` is the identity of the cheap policy's rollouts, if `settings.proxy` has one screen. `document` is the
    resolved job document without secrets, for people and for `resume`.
    """

    name: str
    seed: Candidate
    splits: Splits
    identity: Identity
    settings: GepaSettings = GepaSettings()
    mipro: MiproSettings | None = None
    algorithm: str = "gepa"
    surface: Surface = Surface()
    limits: Limits = Limits()
    queue: QueueSettings = QueueSettings()
    tolerance: float = 0.25
    noise_replicates: int = 0
    prices: Prices = Prices()
    lo: Identity | None = None
    document: Mapping[str, JsonValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._refuse_small_budget()
        for role in self.prices.unknown(proxy=self.lo is not None):
            if self.limits.cost_usd is not None or self.limits.usd_of(role) is not None:
                raise Misconfigured(
                    "token.max_spend_usd"
                    if self.limits.cost_usd is not None
                    else "termination_config.max_category_costs_usd",
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
        other = {"algorithm": self.algorithm, "mipro": self._mipro} if self.mipro else {}
        return digest(
            {
                **other,
                "seed": dict(self.seed.components),
                "splits": {name: [e.id for e in getattr(self.splits, name)] for name in SPLIT_NAMES},
                "identity": dataclasses.asdict(self.identity),
                **self._screened(),
                "surface": dataclasses.asdict(self.surface),
                "limits": {"rollouts": self.limits.rollouts, "steps": self.limits.steps},
                "noise_replicates": self.noise_replicates,
            }
        )

    @property
    def _mipro(self) -> dict[str, JsonValue] | None:
        return dataclasses.asdict(self.mipro) if self.mipro else None

    def _screened(self) -> dict[str, JsonValue]:
        """The settings, and the cheap policy's identity; neither it nor its settings where there is none."""
        settings = dataclasses.asdict(self.settings)
        if self.lo is None:
            del settings["proxy"]
            return {"settings": settings}
        return {"settings": settings, "lo": dataclasses.asdict(self.lo)}

    def record(self) -> dict[str, JsonValue]:
        """What the store keeps beside the run: the document, and what it was resolved to."""
        return {
            "digest": self.digest,
            "document": dict(self.document),
            "seed": dict(self.seed.components),
            "components": list(self.seed.components),  # their order, which decides whose turn it is
            "splits": {name: [e.id for e in getattr(self.splits, name)] for name in SPLIT_NAMES},
            **self._screened(),
            "algorithm": self.algorithm,
            "mipro": self._mipro,
            "limits": dataclasses.asdict(self.limits),
            "identity": dataclasses.asdict(self.identity),
            "surface": dataclasses.asdict(self.surface),
            "noise_replicates": self.noise_replicates,
        }


SPLIT_NAMES = ("reflect", "pareto", "select", "test")

_DOCUMENTED_ROLE = {"rollout": "policy", "proposal": "proposer", "proxy": "policy", "verdict": "verifier"}
_ALLOWED_AS = {"proxy": "rollout"}

_PRICE_FIELD = {
    "rollout": "container.rollout_estimated_cost_usd",
    "proxy": "proxy_models.lo_estimated_cost_usd",
    "proposal": "proposer.prompt_usd_per_million and proposer.completion_usd_per_million",
    "verdict": "judge.prompt_usd_per_million and judge.completion_usd_per_million",
}


def split_digests(splits: Splits) -> dict[str, str]:
    """Split name -> digest of its example ids, in order."""
    return {name: digest([example.id for example in getattr(splits, name)], 16) for name in SPLIT_NAMES}


def examples_by_id(splits: Splits) -> dict[str, Example]:
    """Example id -> example, over all splits."""
    return {example.id: example for example in splits.all()}
