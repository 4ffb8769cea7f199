"""The model that is being prompted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator, model_validator

from paretune.config.base import Count, Section, Table
from paretune.config.providers import InferenceMode, Provider, address

_ADDRESS = "use inference_url, the address of an OpenAI-compatible endpoint"


class PromptLearningPolicyConfig(Section):
    """The model under the prompt; passed on to the container, which does the calling.

    A provider that is not documented needs `inference_url`. `config` are further settings that the
    container gets as they are. `model` None leaves the model to the container.
    """

    INSTEAD: ClassVar[dict[str, str]] = {"api_base": _ADDRESS, "base_url": _ADDRESS}

    model: Annotated[str, Field(min_length=1)] | None
    provider: Provider
    inference_url: str | None = None
    inference_mode: InferenceMode = InferenceMode.synth_hosted
    temperature: float = Field(0.0, ge=0)
    max_completion_tokens: Count = 512
    policy_name: str | None = None
    config: Table = Field(default_factory=dict)
    context_override: Table | None = None

    @field_validator("inference_url")
    @classmethod
    def _has_an_address(cls, value: str | None, info: ValidationInfo) -> str | None:
        return address(info.data.get("provider"), value, "inference_url")

    @model_validator(mode="after")
    def _says_a_thing_once(self) -> PromptLearningPolicyConfig:
        for name in sorted(self.config.keys() & type(self).model_fields.keys()):
            if name in self.model_fields_set and getattr(self, name) not in (None, self.config[name]):
                raise ValueError(f"config.{name} differs from {name}; give one of the two")
        return self


def _whole(value: Any) -> Any:
    if value is None:
        raise ValueError("policy is required for each module/stage")
    if isinstance(value, Mapping):
        for name in ("model", "provider"):
            if not value.get(name):
                raise ValueError(f"policy must include '{name}' field")
    return value


ModulePolicy = Annotated[PromptLearningPolicyConfig, BeforeValidator(_whole)]
"""A policy of one's own: model and provider are named."""


def checked_policy(value: dict[str, Any] | None) -> dict[str, Any] | None:
    """The mapping as it is, if it holds a policy. Raises ValueError in one line."""
    if value is not None:
        try:
            PromptLearningPolicyConfig.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None
    return value
