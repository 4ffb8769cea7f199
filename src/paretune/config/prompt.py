"""The prompt that a job starts from, and the model that is being prompted."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from pydantic import Field, field_validator, model_validator

from paretune.config.base import Section


class MessagePatternConfig(Section):
    """One message. `{placeholders}` in the pattern are filled per example by the container."""

    role: str
    pattern: str
    order: int = 0
    name: str = ""


class PromptPatternConfig(Section):
    """The initial prompt. `wildcards` are fixed values put into the patterns at load."""

    id: str = ""
    name: str = ""
    messages: list[MessagePatternConfig] = Field(default_factory=list)
    wildcards: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_messages(self) -> PromptPatternConfig:
        if not self.messages:
            raise ValueError("messages must hold at least one message")
        return self

    def ordered(self) -> list[tuple[str, MessagePatternConfig]]:
        """(component name, message) in order: `name` if given, else the role, numbered when it repeats."""
        messages = sorted(self.messages, key=lambda m: m.order)
        seen: Counter[str] = Counter()
        named = []
        for message in messages:
            base = message.name or message.role
            seen[base] += 1
            component = base if seen[base] == 1 else f"{base}_{seen[base]}"
            named.append((component, message.model_copy(update={"pattern": self._filled(message.pattern)})))
        return named

    def _filled(self, pattern: str) -> str:
        for name, value in self.wildcards.items():
            pattern = pattern.replace("{" + name + "}", value)
        return pattern


class PromptLearningPolicyConfig(Section):
    """The model under the prompt; passed on to the container, which does the calling."""

    model: str
    provider: str
    inference_url: str | None = None
    inference_mode: Literal["synth_hosted"] = "synth_hosted"
    temperature: float = 0.0
    max_completion_tokens: int = Field(512, gt=0)
    policy_name: str | None = None

    @field_validator("inference_url")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        if value is not None and not value.strip().startswith(("http://", "https://")):
            raise ValueError("inference_url must start with http:// or https://")
        if value is not None and ("@" in value.split("//", 1)[1].split("/", 1)[0] or "?" in value):
            raise ValueError("inference_url must hold no user, password or query: keys stay with the task")
        return value.strip() if value else None
