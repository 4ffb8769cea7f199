"""`[prompt_learning.mipro]` and its sections, under the names and defaults of the job document."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    Field,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

from paretune.config import adaptive
from paretune.config.adaptive import AdaptivePoolConfig
from paretune.config.base import Count, Natural, Section, Table
from paretune.config.efforts import Effort, OutputTokens, ProposerType, refuse_no_spec, refuse_rapid
from paretune.config.mipro_layout import baseline_instruction, plain_messages, seed_layout, trial_layout
from paretune.config.mipro_parts import TPE, Demo, Grounding, MetaUpdate, Parameters
from paretune.config.policy import ModulePolicy, PromptLearningPolicyConfig, checked_policy
from paretune.config.proxy import ProxyModelsConfig
from paretune.config.seeds import Seeds
from paretune.config.verifier import Judge, Verifier
from paretune.core.errors import Misconfigured

_META = (
    "deprecated; the proposer's model follows from proposer_effort (LOW_CONTEXT, LOW, MEDIUM, HIGH) and "
    "proposer_output_tokens (RAPID, FAST, SLOW)"
)


class MIPROMetaConfig(Section):
    """Deprecated: the proposer's model is chosen by `proposer_effort` and `proposer_output_tokens`."""

    model: str | None = None
    provider: str | None = None
    inference_url: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None

    @model_validator(mode="after")
    def _warn(self) -> MIPROMetaConfig:
        warnings.warn(f"MIPROMetaConfig is {_META}", DeprecationWarning, stacklevel=2)
        return self


class MIPROStageConfig(Section):
    """One prompt of a module, with a policy of its own."""

    stage_id: str = Field(min_length=1)
    baseline_instruction: str
    baseline_messages: list[dict[str, str]] = Field(default_factory=list)
    max_instruction_slots: Count | None = None
    max_demo_slots: Natural | None = None
    policy: ModulePolicy


class MIPROModuleConfig(Section):
    """Stages that belong together; `edges` say which stage feeds which, as pairs or as {from, to}."""

    module_id: str = Field(min_length=1)
    stages: list[MIPROStageConfig] = Field(default_factory=list)
    edges: list[list[str] | dict[str, str]] | None = None

    @field_validator("edges")
    @classmethod
    def _join_known_stages(cls, value: Any, info: ValidationInfo) -> Any:
        known = {stage.stage_id for stage in info.data.get("stages", [])}
        for edge in value or []:
            ends = _ends(edge)
            if len(ends) != 2:
                raise ValueError("an edge is a pair of stages, or a table with 'from' and 'to'")
            for end in ends:
                if end not in known:
                    raise ValueError(f"an edge names the unknown stage {end!r}")
        return value


def _ends(edge: Sequence[str] | Mapping[str, str]) -> list[str]:
    if not isinstance(edge, Mapping):
        return list(edge)
    ends = [edge.get("from") or edge.get("source"), edge.get("to") or edge.get("target")]
    return [end for end in ends if end]


class MIPROSeedConfig(Section):
    """Seeds for bootstrapping demonstrations, optimizing, testing, and as a reference for the proposer."""

    bootstrap: Seeds = Field(default_factory=list)
    online: Seeds = Field(default_factory=list)
    test: Seeds = Field(default_factory=list)
    reference: Seeds = Field(default_factory=list)


POOLS = {
    "bootstrap": "bootstrap_train_seeds",
    "online": "online_pool",
    "test": "test_pool",
    "reference": "reference_pool",
}
"""Where a pool of `seeds` stands when it is given beside it."""

_PRESET_EFFORT: dict[str, Effort] = {"fast": "LOW", "balanced": "LOW", "high_quality": "MEDIUM"}


class MIPROConfig(Section):
    """MIPRO's settings. Seeds are given as `seeds` or as pools of their own, in part or in whole.

    `auto` sets how many options and trials there are, as DSPy's presets do; what is given beside it counts.
    `parameters` are further components of the program, each with the texts to choose from.
    """

    INSTEAD: ClassVar[dict[str, str]] = dict.fromkeys(
        (
            "meta_model",
            "meta_model_provider",
            "meta_model_inference_url",
            "meta_model_temperature",
            "meta_model_max_tokens",
        ),
        _META,
    )
    NOT_YET: ClassVar[frozenset[str]] = frozenset(
        {
            "base_case_gating",
            "counterfactual_credit",
            "horizon_generalization",
            "long_horizon_mode",
            "multi_agent_mode",
            "online_proposer_max_candidates",
            "online_proposer_min_rewards",
            "online_proposer_min_rollouts",
            "online_proposer_mode",
            "paired_eval",
            "proposer",
            "waypoint_planner",
        }
    )

    task_app_url: str | None = None
    task_app_api_key: str | None = None
    task_app_id: str | None = None
    num_iterations: Count = 20
    num_evaluations_per_iteration: Count = 5
    batch_size: Count = 32
    max_concurrent: Count = 20
    env_name: str = "banking77"
    env_config: Table | None = None
    few_shot_score_threshold: float = Field(0.8, ge=0, le=1)
    results_file: str | None = None
    max_wall_clock_seconds: float | None = Field(None, gt=0)
    max_total_tokens: Count | None = None
    policy_config: Annotated[Table | None, AfterValidator(checked_policy)] = None
    meta: MIPROMetaConfig | None = None
    modules: list[MIPROModuleConfig] | None = None
    seeds: MIPROSeedConfig | None = None
    bootstrap_train_seeds: Seeds | None = None
    online_pool: Seeds | None = None
    test_pool: Seeds | None = None
    reference_pool: Seeds | None = None
    proposer_type: ProposerType = "dspy"
    proposer_effort: Effort = "LOW"
    proposer_output_tokens: OutputTokens = "FAST"
    max_token_limit: Count | None = None
    max_spend_usd: float | None = Field(None, ge=0)
    token_counting_model: str = "gpt-4"
    enforce_token_limit: bool = True
    auto: Literal["light", "medium", "heavy"] | None = None
    rng_seed: int | None = None
    tpe: TPE = None
    demo: Demo = None
    grounding: Grounding = None
    meta_update: MetaUpdate = None
    parameters: Parameters = Field(default_factory=dict)
    judge: Judge = None
    verifier: Verifier = None
    proxy_models: ProxyModelsConfig | None = None
    adaptive_pool: AdaptivePoolConfig | None = None
    spec_path: str | None = None
    spec_max_tokens: Count = 5000
    spec_include_examples: bool = True
    spec_priority_threshold: Natural | None = None
    metaprompt: str | None = None
    min_bootstrap_demos: Natural | None = None
    strict_bootstrap: bool = False
    max_demo_set_size: Count | None = None
    max_demo_sets: Count = 128
    max_instruction_sets: Count = 128
    full_eval_every_k: Count | None = None
    instructions_per_batch: Count | None = None
    max_instructions: Count | None = None
    duplicate_retry_limit: Count | None = None
    generate_at_iterations: list[Natural] | None = None

    @field_validator("meta", mode="before")
    @classmethod
    def _meta_is_gone(cls, value: Any) -> None:
        given = value.model_dump() if isinstance(value, MIPROMetaConfig) else value
        if not isinstance(given, Mapping | None) or any(part is not None for part in (given or {}).values()):
            raise ValueError(_META)

    @field_validator("adaptive_pool", mode="before")
    @classmethod
    def _pool_of_its_level(cls, value: Any, info: ValidationInfo) -> Any:
        seeds = info.data.get("seeds")
        online = info.data.get("online_pool") or (seeds.online if seeds else None)
        return adaptive.read_pool(value, len(online) if online else None)

    @field_serializer("adaptive_pool")
    def _as_written(self, value: AdaptivePoolConfig | None) -> Any:
        return adaptive.written(value)

    @model_validator(mode="after")
    def _fits_together(self) -> MIPROConfig:
        refuse_rapid(self.proposer_effort, self.proposer_output_tokens)
        refuse_no_spec(self.proposer_type, self.spec_path)
        pools = self.pools()
        if self.min_bootstrap_demos and pools.bootstrap and self.min_bootstrap_demos > len(pools.bootstrap):
            raise ValueError(f"min_bootstrap_demos is more than the {len(pools.bootstrap)} bootstrap seeds")
        for name in ("bootstrap", "online", "test"):
            if shared := sorted(set(pools.reference) & set(getattr(pools, name))):
                raise ValueError(f"reference_pool and {POOLS[name]} share seed {shared[0]}")
        self._refuse_unfit_modules()
        return self

    def _refuse_unfit_modules(self) -> None:
        modules = self.modules or []
        stages = [stage for module in modules for stage in module.stages]
        _refuse_twice("module_id", [module.module_id for module in modules])
        _refuse_twice("stage_id", [stage.stage_id for stage in stages])
        for stage in stages:
            for slots, sets in (
                ("max_instruction_slots", self.max_instruction_sets),
                ("max_demo_slots", self.max_demo_sets),
            ):
                wanted = getattr(stage, slots)
                if wanted is not None and wanted > sets:
                    name = slots.replace("slots", "sets")
                    raise ValueError(f"{slots} of stage {stage.stage_id!r} is above {name} ({sets})")

    def pools(self) -> MIPROSeedConfig:
        """The seeds of each use, wherever they are given. Raises ValueError if two places differ."""
        named = self.seeds or MIPROSeedConfig()
        found = {}
        for name, beside in POOLS.items():
            one, other = getattr(named, name), getattr(self, beside)
            if one and other and one != other:
                raise ValueError(f"seeds.{name} differs from {beside}; give one of the two")
            found[name] = one or other or []
        return MIPROSeedConfig(**found)

    @classmethod
    def simple(
        cls,
        *,
        task_app_url: str,
        task_app_api_key: str,
        env_name: str,
        rollout_budget: int,
        initial_prompt_messages: Sequence[Any],
        task_app_id: str | None = None,
        bootstrap_seeds: list[int] | None = None,
        online_seeds: list[int] | None = None,
        test_seeds: list[int] | None = None,
        reference_pool: list[int] | None = None,
        env_config: dict[str, Any] | None = None,
        num_iterations: int | None = None,
        num_evaluations_per_iteration: int | None = None,
        batch_size: int | None = None,
        max_concurrent: int | None = None,
        meta_preset: Literal["fast", "balanced", "high_quality"] = "balanced",
        policy_model: str = "openai/gpt-oss-20b",
        policy_provider: str = "groq",
        policy_inference_url: str | None = None,
        policy_temperature: float = 1.0,
        policy_max_completion_tokens: int = 512,
        policy_name: str | None = None,
        meta_model: str | None = None,
        meta_provider: str | None = None,
        meta_inference_url: str | None = None,
    ) -> MIPROConfig:
        """One stage, with seeds, iterations and layout that follow from the rollout budget.

        Messages are mappings or objects with `role` and `content` or `pattern`. Raises Misconfigured, a
        ValueError, for a budget or messages that hold nothing, and for the deprecated `meta_*`.
        """
        for name, value in (
            ("meta_model", meta_model),
            ("meta_provider", meta_provider),
            ("meta_inference_url", meta_inference_url),
        ):
            if value is not None:
                raise Misconfigured(name, _META)
        if meta_preset not in _PRESET_EFFORT:
            raise Misconfigured("meta_preset", f"{meta_preset!r} is none of {', '.join(_PRESET_EFFORT)}")
        messages = plain_messages(initial_prompt_messages)
        trials = trial_layout(rollout_budget)
        seeds = MIPROSeedConfig(
            **seed_layout(
                rollout_budget,
                bootstrap=bootstrap_seeds,
                online=online_seeds,
                test=test_seeds,
                reference=reference_pool,
            )
        )
        policy = PromptLearningPolicyConfig(
            model=policy_model,
            provider=policy_provider,
            inference_url=policy_inference_url,
            temperature=policy_temperature,
            max_completion_tokens=policy_max_completion_tokens,
            policy_name=policy_name,
        )
        stage = MIPROStageConfig(
            stage_id="default_stage_0",
            baseline_instruction=baseline_instruction(messages),
            baseline_messages=messages,
            policy=policy,
        )
        return cls(
            task_app_url=task_app_url,
            task_app_api_key=task_app_api_key,
            task_app_id=task_app_id or env_name,
            env_name=env_name,
            env_config=env_config,
            num_iterations=num_iterations or trials.iterations,
            num_evaluations_per_iteration=num_evaluations_per_iteration or trials.evaluations,
            batch_size=batch_size or max(1, min(len(seeds.online), 32)),
            max_concurrent=max_concurrent or 10,
            policy_config=policy.model_dump(mode="json", exclude_unset=True, exclude_none=True),
            modules=[MIPROModuleConfig(module_id="default", stages=[stage])],
            seeds=seeds,
            proposer_effort=_PRESET_EFFORT[meta_preset],
        )


def _refuse_twice(what: str, names: list[str]) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"modules: {what} {twice[0]!r} is used twice")
