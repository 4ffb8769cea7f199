"""The job document: `[prompt_learning]` in a TOML file or a mapping."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from paretune.config.base import Count, Section, Table, read_section
from paretune.config.dialects import ROOT, section_of
from paretune.config.gepa import GEPAConfig
from paretune.config.mipro import POOLS, MIPROConfig
from paretune.config.policy import PromptLearningPolicyConfig
from paretune.config.prompt import PromptPatternConfig
from paretune.config.providers import OwnKeys
from paretune.config.proxy import ProxyModelsConfig
from paretune.config.verifier import Judge, Verifier
from paretune.core.errors import Misconfigured

Role = Literal["policy", "proposer", "verifier"]
"""Whose calls cost money."""


class TerminationConfig(Section):
    """Further caps, each the same as its twin elsewhere; the tighter one holds.

    `allow_unpriced` names whose calls a money cap may let through though nobody knows their price.
    `max_category_costs_usd` caps the money of each of them. `max_trials_without_improvement` ends the search
    after so many steps without a better best.
    """

    max_rollouts: Count | None = None
    max_trials: Count | None = None
    max_cost_usd: float | None = Field(None, ge=0)
    max_total_tokens: Count | None = None
    max_policy_tokens: Count | None = None
    max_proposer_tokens: Count | None = None
    max_verifier_tokens: Count | None = None
    max_seconds: float | None = Field(None, gt=0)
    max_time_seconds: float | None = Field(None, gt=0)
    target_reward: float | None = None
    allow_unpriced: list[Role] = Field(default_factory=list)
    max_trials_without_improvement: Count | None = None
    pessimism_enabled: bool = False
    max_category_costs_usd: dict[Role, Annotated[float, Field(ge=0)]] | None = None


TASK = ("task_app_url", "task_app_api_key", "task_app_id")
"""What `mipro` may say in the place of the job."""


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

    @field_validator("base_url")
    @classmethod
    def _has_no_password(cls, value: str | None) -> str | None:
        return value and without_user("base_url", value, "api_key_env")


def without_user(name: str, address: str, instead: str) -> str:
    """The address, which goes on record as it is. Raises ValueError if it holds a user or password."""
    if "@" in address.partition("//")[2].split("/", 1)[0]:
        raise ValueError(f"{name} must not hold a user or password; use {instead}")
    return address


class ContainerConfig(Section):
    """How the task container is called, and how many failures the run stands.

    A container that nobody can connect to is waited for `breaker_seconds`; then the run stops.
    `rollout_estimated_cost_usd` is the price reserved for a rollout under a money cap.
    """

    timeout_seconds: float = Field(120.0, gt=0)
    attempts: Count = 4
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
    """A job: the task container, the prompt to begin with, the model under it, and the algorithm.

    What this version cannot do yet is read and checked all the same; `not_available` names it.
    """

    NOT_YET: ClassVar[frozenset[str]] = frozenset(
        {
            "artifact",
            "artifact_kind",
            "default_artifact_kind",
            "artifact_schema",
            "artifact_bounds",
            "task_data",
        }
    )
    INSTEAD: ClassVar[dict[str, str]] = {"pipeline": "use [prompt_learning.gepa.pipeline]"}

    algorithm: Literal["gepa", "mipro", "gepa+mipro"]
    task_app_url: str
    task_app_api_key: str | None = None
    task_app_id: str | None = None
    optimization_mode: Literal["prompt", "context", "optimize_anything"] = "prompt"
    initial_prompt: PromptPatternConfig | None = None
    auto_discover_patterns: bool = False
    policy: PromptLearningPolicyConfig | None = None
    gepa: GEPAConfig = GEPAConfig()
    mipro: MIPROConfig | None = None
    judge: Judge = None
    verifier: Verifier = None
    proxy_models: ProxyModelsConfig | None = None
    env_config: Table | None = None
    free_tier: bool = False
    use_byok: OwnKeys = None
    termination_config: TerminationConfig = TerminationConfig()
    proposer: ProposerConfig = ProposerConfig()
    container: ContainerConfig = ContainerConfig()
    task_pools: TaskPoolsConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _takes_the_task_of_mipro(cls, data: Any) -> Any:
        """What the job itself does not say of its task; where it does, `_fits_the_job` compares the two."""
        mipro = data.get("mipro") if isinstance(data, Mapping) else None
        if not isinstance(mipro, Mapping | MIPROConfig) or data.get("algorithm") != "mipro":
            return data
        told = dict(mipro)
        missing = {name: told.get(name) for name in TASK if data.get(name) is None}
        return {**data, **{name: value for name, value in missing.items() if value is not None}}

    @field_validator("task_app_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("task_app_url must start with http:// or https://")
        return without_user("task_app_url", value, "task_app_api_key").rstrip("/")

    @field_validator("initial_prompt")
    @classmethod
    def _has_messages(cls, value: PromptPatternConfig | None) -> PromptPatternConfig | None:
        if value is not None and not value.messages:
            raise ValueError("messages must hold at least one message")
        return value

    @field_validator("mipro")
    @classmethod
    def _fits_the_job(cls, value: MIPROConfig | None, info: ValidationInfo) -> MIPROConfig | None:
        if value is not None and info.data.get("algorithm") == "mipro":
            for name in TASK:
                repeated, own = getattr(value, name), info.data.get(name)
                if name == "task_app_api_key" or repeated is None or own is None:
                    continue  # of two ways to name a key the job's is taken
                if repeated.rstrip("/") != own:
                    raise ValueError(f"{name} differs from the job's; give one of the two")
            pools = value.pools()
            for name in ("bootstrap", "online"):
                if not getattr(pools, name):
                    raise ValueError(f"{POOLS[name]} is missing: MIPRO draws from it")
        return value

    @field_validator("free_tier")
    @classmethod
    def _is_cheap_enough(cls, value: bool, info: ValidationInfo) -> bool:
        for algorithm in ("gepa", "mipro"):
            section = info.data.get(algorithm)
            if value and section is not None and section.proposer_effort == "HIGH":
                raise ValueError(
                    f"the free tier has proposer_effort LOW_CONTEXT, LOW or MEDIUM, not {algorithm}'s HIGH"
                )
        return value

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> PromptLearningConfig:
        """From `{"prompt_learning": {...}}` or the inner mapping. Raises Misconfigured or NotAvailable."""
        return read_section(cls, section_of(data), ROOT)

    @classmethod
    def from_path(cls, path: Path) -> PromptLearningConfig:
        """From a TOML file. Raises Misconfigured if it cannot be read or parsed."""
        return cls.from_mapping(read_toml(path))

    def to_dict(self) -> dict[str, Any]:
        """`{"prompt_learning": {...}}` as it was written; what was left out stays out.

        Reading it gives an equal document that does the same: some keys mean more when they are given.
        """
        return {ROOT: self.model_dump(mode="json", exclude_unset=True)}


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a mapping. Raises Misconfigured if it cannot be read or parsed."""
    try:
        return tomllib.loads(Path(path).read_text("utf-8"))
    except FileNotFoundError as error:
        raise Misconfigured(str(path), "no such file") from error
    except (OSError, ValueError) as error:
        raise Misconfigured(str(path), f"cannot be read as TOML: {error}") from error
