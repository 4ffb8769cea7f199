"""What a document says about budget, queue and prices."""

from __future__ import annotations

from typing import Any

from paretune.config import MIPROConfig, PromptLearningConfig
from paretune.core.budget import Limits
from paretune.core.retry import RetryPolicy
from paretune.engine.handed_on import ASSUMED_PROMPT_TOKENS, usual
from paretune.engine.job import Prices
from paretune.engine.proposing import answer_tokens, proposal_price
from paretune.engine.tiers import hi_model
from paretune.evaluate.evaluator import QueueSettings
from paretune.llm.prices import cost

GRACE_SECONDS = 5.0
"""The client gives up first, so that its own words are the ones on record."""


def limits_of(config: PromptLearningConfig) -> Limits:
    """Of two caps on the same thing the tighter one holds."""
    end = config.termination_config
    alone = config.algorithm == "mipro"
    gepa, mipro = config.gepa, (config.mipro or MIPROConfig()) if "mipro" in config.algorithm else None
    seconds = _tighter(end.max_seconds, end.max_time_seconds)
    usd = end.max_category_costs_usd or {}
    return Limits(
        rollouts=end.max_rollouts if alone else _tighter(gepa.rollout.budget, end.max_rollouts),
        steps=end.max_trials,
        tokens=_tighter(end.max_total_tokens, mipro and mipro.max_total_tokens),
        rollout_tokens=end.max_policy_tokens,
        proposal_tokens=end.max_proposer_tokens,
        verdict_tokens=end.max_verifier_tokens,
        cost_usd=_tighter(
            _tighter(None if alone else gepa.token.max_spend_usd, end.max_cost_usd),
            mipro and mipro.max_spend_usd,
        ),
        rollout_usd=usd.get("policy"),
        proposal_usd=usd.get("proposer"),
        verdict_usd=usd.get("verifier"),
        seconds=_tighter(seconds, mipro and mipro.max_wall_clock_seconds),
    )


def concurrency_of(config: PromptLearningConfig) -> int:
    """Rollouts in flight at most."""
    if config.algorithm == "mipro":
        return (config.mipro or MIPROConfig()).max_concurrent
    return config.gepa.rollout.max_concurrent


def _tighter(one: Any, other: Any) -> Any:
    return min((cap for cap in (one, other) if cap is not None), default=None)


def queue_of(config: PromptLearningConfig) -> QueueSettings:
    return QueueSettings(
        concurrency=concurrency_of(config),
        deadline=config.container.timeout_seconds + GRACE_SECONDS,
        retry=RetryPolicy(attempts=config.container.attempts),
        breaker=config.container.breaker_seconds,
    )


def prices_of(config: PromptLearningConfig, proposer_model: str) -> Prices:
    """What is reserved before a call: as given, else from the price table, else unknown; tokens as given."""
    rollout, policy, tokens = config.container.rollout_estimated_cost_usd, config.policy, None
    if rollout is None:
        rollout = cost(hi_model(config), usual(config))
    if policy and "max_completion_tokens" in policy.model_fields_set:
        tokens = ASSUMED_PROMPT_TOKENS + policy.max_completion_tokens
    roles = {"policy": "rollout", "proposer": "proposal", "verifier": "verdict"}
    allowed = frozenset(roles[name] for name in config.termination_config.allow_unpriced)
    price = proposal_price(config, proposer_model)
    return Prices(
        rollout,
        price,
        unknown_allowed=allowed,
        rollout_tokens=tokens,
        answer_tokens=answer_tokens(config),
    )
