"""What a document says about the policy and the task, as it travels with each rollout."""

from __future__ import annotations

from paretune.config import PromptLearningConfig
from paretune.core.canonical import JsonValue


def public_policy(config: PromptLearningConfig) -> dict[str, JsonValue]:
    """The policy settings that travel with each rollout: the documented ones, and the task's own."""
    if config.policy is None:
        return {}
    documented = config.policy.model_dump(
        mode="json", exclude_none=True, exclude={"config", "context_override"}
    )
    return {**documented, **config.policy.config}


def policy_model(config: PromptLearningConfig) -> str:
    """The model under the prompt; empty where the container decides."""
    if config.policy is None:
        return ""
    return config.policy.model or str(config.policy.config.get("model") or "")


def env_config(config: PromptLearningConfig) -> dict[str, JsonValue]:
    """Settings for the task itself, handed through."""
    return {**(config.env_config or {}), **(config.gepa.env_config or {})}


def env_name(config: PromptLearningConfig) -> str:
    """The environment's name if the document gives one; the documented default names nobody's task."""
    return config.gepa.env_name if "env_name" in config.gepa.model_fields_set else ""
