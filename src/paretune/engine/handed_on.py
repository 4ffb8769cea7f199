"""What a document says about the policy and the task, as it travels with each rollout."""

from __future__ import annotations

from paretune.config import PromptLearningConfig, PromptLearningPolicyConfig
from paretune.core.canonical import JsonValue
from paretune.core.rollout import Usage
from paretune.engine.resolve.prompt import modules_of, stages_of
from paretune.engine.section import section_of

ASSUMED_PROMPT_TOKENS, ASSUMED_ANSWER_TOKENS = 4_000, 512
"""Tokens of a rollout when its price or its tokens are estimated."""


def public_policy(config: PromptLearningConfig) -> dict[str, JsonValue]:
    """The policy settings that travel with each rollout: the documented ones, and the task's own.

    A program of several stages or modules has a policy for each, under `stages`, and a module its tools.
    """
    policy, mipro = _policy(config), config.mipro if "mipro" in config.algorithm else None
    found: dict[str, JsonValue] = {}
    if policy is not None:
        found = {**_public(policy), **policy.config}
    elif mipro is not None and mipro.policy_config:
        found = dict(mipro.policy_config)
    if own := _own_policies(config):
        found["stages"] = own
    return found


def _own_policies(config: PromptLearningConfig) -> dict[str, JsonValue]:
    """By stage or module; that of MIPRO's only stage is the whole program's."""
    stages, modules = stages_of(config), modules_of(config)
    found: dict[str, JsonValue] = {}
    for module in modules:
        found[module.module_id] = {**_public(module.policy), **module.policy.config}
        if module.allowed_tools is not None:
            found[module.module_id] |= {"allowed_tools": list(module.allowed_tools)}
    if len(stages) > 1:
        found |= {s.stage_id: {**_public(s.policy), **s.policy.config} for s in stages}
    return found


def _policy(config: PromptLearningConfig) -> PromptLearningPolicyConfig | None:
    """The document's policy, or that of its only stage or module."""
    policies = [*(s.policy for s in stages_of(config)), *(m.policy for m in modules_of(config))]
    return policies[0] if config.policy is None and len(policies) == 1 else config.policy


def _public(policy: PromptLearningPolicyConfig) -> dict[str, JsonValue]:
    return policy.model_dump(mode="json", exclude_none=True, exclude={"config", "context_override"})


def policy_model(config: PromptLearningConfig) -> str:
    """The model under the prompt; empty where the container decides."""
    policy = _policy(config)
    if policy is None:
        return ""
    return policy.model or str(policy.config.get("model") or "")


def usual(config: PromptLearningConfig) -> Usage:
    """Tokens of a rollout, at most, as far as anybody knows."""
    policy = _policy(config)
    return Usage(ASSUMED_PROMPT_TOKENS, policy.max_completion_tokens if policy else ASSUMED_ANSWER_TOKENS)


def env_config(config: PromptLearningConfig) -> dict[str, JsonValue]:
    """Settings for the task itself, handed through."""
    return {**(config.env_config or {}), **(section_of(config).env_config or {})}


def env_name(config: PromptLearningConfig) -> str:
    """The environment's name if the document gives one; the documented default names nobody's task."""
    section = section_of(config)
    return section.env_name if "env_name" in section.model_fields_set else ""
