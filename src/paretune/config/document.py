"""The job document: `[prompt_learning]` in a TOML file or a mapping."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from paretune.config.base import Section, read_section
from paretune.config.gepa import GEPAConfig
from paretune.config.prompt import PromptLearningPolicyConfig, PromptPatternConfig
from paretune.core.errors import Misconfigured

CLIENT_KEYS = frozenset({"display", "results_folder", "env_file_path"})
"""Top-level keys that clients put beside the job; not part of it."""


class TerminationConfig(Section):
    """Further caps, each the same as its twin elsewhere; the tighter one holds.

    `allow_unpriced` names whose calls a money cap may let through though nobody knows their price.
    """

    NOT_YET: ClassVar[frozenset[str]] = frozenset(
        {"max_trials_without_improvement", "pessimism_enabled", "max_category_costs_usd"}
    )

    max_rollouts: int | None = Field(None, gt=0)
    max_trials: int | None = Field(None, gt=0)
    max_cost_usd: float | None = Field(None, ge=0)
    max_total_tokens: int | None = Field(None, gt=0)
    max_policy_tokens: int | None = Field(None, gt=0)
    max_proposer_tokens: int | None = Field(None, gt=0)
    max_seconds: float | None = Field(None, gt=0)
    max_time_seconds: float | None = Field(None, gt=0)
    target_reward: float | None = None
    allow_unpriced: list[Literal["policy", "proposer"]] = Field(default_factory=list)


class ProposerConfig(Section):
    """The endpoint that writes proposals: any OpenAI-compatible URL. It serves every effort.

    `api_key_env` names the environment variable that holds the key; the key itself is never written.
    """

    base_url: str | None = None
    model: str | None = None
    api_key_env: str | None = None
    temperature: float = 1.0
    timeout_seconds: float = Field(300.0, gt=0)
    prompt_usd_per_million: float | None = Field(None, ge=0)
    completion_usd_per_million: float | None = Field(None, ge=0)


class ContainerConfig(Section):
    """How the task container is called, and how many failures the run stands.

    A container that nobody can connect to is waited for `breaker_seconds`; then the run stops.
    `rollout_estimated_cost_usd` is the price reserved for a rollout under a money cap.
    """

    timeout_seconds: float = Field(120.0, gt=0)
    attempts: int = Field(4, gt=0)
    breaker_seconds: float = Field(60.0, gt=0)
    rollout_failure_rate_tolerance: float = Field(0.25, ge=0, le=1)
    rollout_estimated_cost_usd: float | None = Field(None, ge=0)


class TaskPoolsConfig(Section):
    """Task ids of a container with a task set, by use. `minibatch` is the part of `reflection` drawn from."""

    split: str = "train"
    reflection: list[str]
    pareto: list[str]
    minibatch: list[str] | None = None
    heldout_split: str = "test"
    heldout: list[str] = Field(default_factory=list)
    test_split: str = "test"
    test: list[str] = Field(default_factory=list)


class PromptLearningConfig(Section):
    """A job: the task container, the prompt to begin with, the model under it, and the algorithm."""

    NOT_YET: ClassVar[frozenset[str]] = frozenset({"mipro", "judge", "verifier", "proxy_models", "free_tier"})
    INSTEAD: ClassVar[dict[str, str]] = {"pipeline": "use [prompt_learning.gepa.pipeline]"}

    algorithm: Literal["gepa"]
    task_app_url: str
    task_app_api_key: str | None = None
    task_app_id: str | None = None
    initial_prompt: PromptPatternConfig | None = None
    policy: PromptLearningPolicyConfig | None = None
    gepa: GEPAConfig = GEPAConfig()
    env_config: dict[str, Any] | None = None
    termination_config: TerminationConfig = TerminationConfig()
    proposer: ProposerConfig = ProposerConfig()
    container: ContainerConfig = ContainerConfig()
    task_pools: TaskPoolsConfig | None = None

    @field_validator("task_app_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("task_app_url must start with http:// or https://")
        if "@" in value.split("//", 1)[1].split("/", 1)[0]:
            raise ValueError("task_app_url must not hold a user or password; use task_app_api_key")
        return value.rstrip("/")

    @field_validator("algorithm", mode="before")
    @classmethod
    def _is_known(cls, value: Any) -> Any:
        if value in ("mipro", "gepa+mipro"):
            raise ValueError(f"not available yet: algorithm {value!r}")
        return value

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> PromptLearningConfig:
        """From `{"prompt_learning": {...}}` or the inner mapping. Raises Misconfigured or NotAvailable."""
        if "prompt_learning" in data:
            beside = [key for key in data if key not in CLIENT_KEYS | {"prompt_learning"}]
            if beside:
                raise Misconfigured(beside[0], "unknown section beside [prompt_learning]")
            inner = data["prompt_learning"]
        else:
            inner = {key: value for key, value in data.items() if key not in CLIENT_KEYS}
        if not isinstance(inner, Mapping) or not inner:
            raise Misconfigured("prompt_learning", "the document has no [prompt_learning] section")
        return read_section(cls, dict(inner), "prompt_learning")

    @classmethod
    def from_path(cls, path: Path) -> PromptLearningConfig:
        """From a TOML file. Raises Misconfigured if it cannot be read or parsed."""
        try:
            data = tomllib.loads(Path(path).read_text("utf-8"))
        except FileNotFoundError as error:
            raise Misconfigured(str(path), "no such file") from error
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise Misconfigured(str(path), f"cannot be read as TOML: {error}") from error
        return cls.from_mapping(data)

    def to_dict(self) -> dict[str, Any]:
        """`{"prompt_learning": {...}}`, with what was left out filled in and without empty fields."""
        return {"prompt_learning": self.model_dump(mode="json", exclude_none=True)}
