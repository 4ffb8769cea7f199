"""The prompt that a document begins with, wherever it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paretune.config import MIPROConfig, PromptLearningConfig
from paretune.config.gepa import GEPAModuleConfig
from paretune.config.mipro import MIPROStageConfig
from paretune.config.prompt import MessagePatternConfig, PromptPatternConfig
from paretune.container.messages import Message
from paretune.core.candidate import Candidate
from paretune.core.errors import Misconfigured
from paretune.core.placeholders import placeholders
from paretune.propose.base import Surface


def stages_of(config: PromptLearningConfig) -> list[MIPROStageConfig]:
    """The stages that MIPRO's modules name; none where the prompt is one stage that nobody named."""
    mipro = config.mipro if "mipro" in config.algorithm else None
    return [stage for module in (mipro and mipro.modules) or [] for stage in module.stages]


def modules_of(config: PromptLearningConfig) -> list[GEPAModuleConfig]:
    """The modules that GEPA's section names; each is a component."""
    return list(config.gepa.modules or []) if "gepa" in config.algorithm else []


def prompt_of(config: PromptLearningConfig) -> PromptPatternConfig | None:
    """The messages to begin with: the document's, or those of MIPRO's only stage."""
    stages = stages_of(config)
    if config.initial_prompt is not None or len(stages) != 1:
        return config.initial_prompt
    messages = stages[0].baseline_messages or [{"role": "system", "content": stages[0].baseline_instruction}]
    return PromptPatternConfig(
        messages=[
            MessagePatternConfig(role=message["role"], pattern=message["content"], order=order)
            for order, message in enumerate(messages)
        ]
    )


def messages_of(config: PromptLearningConfig) -> tuple[Message, ...]:
    """Which component is which message; empty when the program is the container's own."""
    prompt = prompt_of(config)
    if prompt is None:
        return ()
    return tuple(
        Message(component, message.role, order) for order, (component, message) in enumerate(prompt.ordered())
    )


def seed_of(config: PromptLearningConfig, program: Mapping[str, Any] | None) -> Candidate:
    """The initial texts: of messages, of stages, or of the container's own program. Raises Misconfigured."""
    texts = _initial_texts(config, program)
    for module in modules_of(config):
        if module.module_id not in texts:
            raise Misconfigured(
                "gepa.modules",
                f"there is no component {module.module_id!r}; a module_id is one of {', '.join(texts)}",
            )
    return Candidate(texts)


def _initial_texts(config: PromptLearningConfig, program: Mapping[str, Any] | None) -> dict[str, str]:
    prompt, stages = prompt_of(config), stages_of(config)
    if prompt is not None:
        return {name: message.pattern for name, message in prompt.ordered()}
    texts = (program or {}).get("seed_candidate") or {}
    texts = {**texts, **{stage.stage_id: stage.baseline_instruction for stage in stages}}
    if not texts:
        raise Misconfigured(
            "prompt_learning.initial_prompt",
            "missing, and the container's GET /program gives no seed_candidate either",
        )
    if not all(isinstance(text, str) for text in texts.values()):
        raise Misconfigured("GET /program", "seed_candidate must map names to texts")
    return texts


def surface_of(config: PromptLearningConfig, seed: Candidate) -> Surface:
    """Placeholders of the initial texts must survive; the length limit holds if it is enforced."""
    return Surface(
        placeholders={name: placeholders(text) for name, text in seed.components.items()},
        roles={message.component: message.role for message in messages_of(config)},
        max_tokens=_most_tokens(config),
        component_tokens={m.module_id: m.max_tokens for m in modules_of(config) if m.max_tokens is not None},
        description=(config.initial_prompt.name if config.initial_prompt else "") or config.task_app_id or "",
    )


def _most_tokens(config: PromptLearningConfig) -> int | None:
    if config.algorithm == "mipro":
        mipro = config.mipro or MIPROConfig()
        return mipro.max_token_limit if mipro.enforce_token_limit else None
    token = config.gepa.token
    return token.max_limit if token.enforce_pattern_limit else None
