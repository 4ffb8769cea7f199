"""Rewards from a model that reads the rollout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from paretune.config.base import Count, Section, Table
from paretune.config.providers import address
from paretune.config.rubrics import GraphConfig, RubricConfig

_SPELT = {"verifier": "judge", "container": "task_app"}
"""Newer words for sources of the reward."""

UNSAID_KEY = "SYNTH_API_KEY"
"""The documents' default variable, which clients write out: it says nothing about where the key is."""


class BackendOptions(BaseModel):
    """How the judges' model is asked. `response_format` `none` is for endpoints without structured output.
    Other options (`top_p`, `seed`, ...) go out with each request as they are."""

    model_config = ConfigDict(extra="allow", frozen=True)

    temperature: float | None = Field(0.0, ge=0)
    max_completion_tokens: Count = 2_000
    response_format: Literal["json_schema", "none"] = "json_schema"


class PromptLearningJudgeConfig(Section):
    """Verifier settings that GEPA and MIPRO share.

    `reward_source` is where the final reward comes from: the task (`task_app`, also `container`), the
    verifier (`judge`, also `verifier`), or both, weighted (`fused`). `synth_verifier_id` names a registered
    verifier; `backend_rubric_id` is its older name. `rubric` or `graph` give it on the spot; beside an id
    with a version they are that verifier's. `repeat_share` of all verdicts are asked twice, for the
    judge's noise.
    """

    enabled: bool = False
    reward_source: Literal["task_app", "judge", "fused"] = "task_app"
    backend_base: str = ""
    backend_api_key_env: str = UNSAID_KEY
    backend_provider: str = ""
    backend_model: str = ""
    synth_verifier_id: str = ""
    backend_rubric_id: str = ""
    backend_event_enabled: bool = True
    backend_outcome_enabled: bool = True
    backend_options: Table = Field(default_factory=dict)
    concurrency: Count = 8
    attempts: Count = 6
    timeout: float = Field(60.0, gt=0)
    weight_env: float = Field(1.0, ge=0)
    weight_event: float = Field(0.0, ge=0)
    weight_outcome: float = Field(0.0, ge=0)
    spec_path: str | None = None
    spec_max_tokens: Count = 5000
    spec_context: str | None = None
    rubric: RubricConfig | None = None
    graph: GraphConfig | None = None
    repeat_share: float = Field(0.05, ge=0, le=1)
    prompt_usd_per_million: float | None = Field(None, ge=0)
    completion_usd_per_million: float | None = Field(None, ge=0)

    @field_validator("reward_source", mode="before")
    @classmethod
    def _of_either_spelling(cls, value: Any) -> Any:
        return _SPELT.get(value, value) if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _either_id(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        new, old = data.get("synth_verifier_id"), data.get("backend_rubric_id")
        if new and old and new != old:
            raise ValueError("backend_rubric_id differs from synth_verifier_id; give one of the two")
        return (
            {**data, "synth_verifier_id": new or old, "backend_rubric_id": new or old} if new or old else data
        )

    @model_validator(mode="after")
    def _fits_together(self) -> PromptLearningJudgeConfig:
        if not self.enabled:
            return self
        if self.reward_source == "fused" and not (self.weight_event or self.weight_outcome):
            raise ValueError("reward_source 'fused' needs weight_event or weight_outcome above 0")
        BackendOptions.model_validate(self.backend_options)
        if self.rubric is not None and self.graph is not None:
            raise ValueError("rubric stands beside graph; give one of the two")
        if (self.rubric or self.graph) and self.synth_verifier_id and "@" not in self.synth_verifier_id:
            raise ValueError("synth_verifier_id stands beside a rubric or graph; give one of the two")
        address(self.backend_provider or "openai", self.backend_base or None, "backend_base")
        return self


class PromptLearningVerifierConfig(PromptLearningJudgeConfig):
    """The same under the verifier's name."""


def _of_the_class(value: Any) -> Any:
    """What is given as an object of either class becomes the field's own."""
    return value.model_dump(exclude_unset=True) if isinstance(value, PromptLearningJudgeConfig) else value


def _one_of_two(
    value: PromptLearningVerifierConfig | None, info: ValidationInfo
) -> PromptLearningVerifierConfig | None:
    judge = info.data.get("judge")
    if value is not None and judge is not None and value.model_dump() != judge.model_dump():
        raise ValueError("verifier differs from judge, which is the same section; give one of the two")
    return value


Judge = Annotated[PromptLearningJudgeConfig | None, BeforeValidator(_of_the_class)]
Verifier = Annotated[
    PromptLearningVerifierConfig | None, BeforeValidator(_of_the_class), AfterValidator(_one_of_two)
]
"""The section `judge`, and its newer name; in a section that has both, `judge` stands before `verifier`."""
