"""Every documented class of the job document: fields, defaults, what it refuses. One row for each.

Expected values are the documents', written out; none is taken from the code.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from paretune.config import (
    AdaptiveBatchLevel,
    AdaptiveCurriculumLevel,
    AdaptivePoolConfig,
    GEPAAdaptiveBatchConfig,
    GEPAArchiveConfig,
    GEPAConfig,
    GEPAEvaluationConfig,
    GEPAModuleConfig,
    GEPAMutationConfig,
    GEPAPopulationConfig,
    GEPARolloutConfig,
    GEPATokenConfig,
    InferenceMode,
    MessagePatternConfig,
    MIPROConfig,
    MIPROMetaConfig,
    MIPROModuleConfig,
    MIPROSeedConfig,
    MIPROStageConfig,
    PromptLearningConfig,
    PromptLearningJudgeConfig,
    PromptLearningPolicyConfig,
    PromptLearningVerifierConfig,
    PromptPatternConfig,
    ProviderName,
    ProxyModelsConfig,
    SeedRange,
)
from paretune.core.errors import Misconfigured

POLICY = {"model": "gpt-4o-mini", "provider": "openai"}
PROXY = {"hi_provider": "openai", "hi_model": "gpt-4o", "lo_provider": "groq", "lo_model": "gpt-oss-20b"}
JOB = {"algorithm": "gepa", "task_app_url": "https://task.example"}
STAGE = {"stage_id": "s", "baseline_instruction": "Answer.", "policy": POLICY}

_VERIFIER = {
    "enabled": False,
    "reward_source": "task_app",
    "backend_base": "",
    "backend_api_key_env": "SYNTH_API_KEY",
    "backend_provider": "",
    "backend_model": "",
    "synth_verifier_id": "",
    "backend_rubric_id": "",
    "backend_event_enabled": True,
    "backend_outcome_enabled": True,
    "backend_options": {},
    "concurrency": 8,
    "timeout": 60.0,
    "weight_env": 1.0,
    "weight_event": 0.0,
    "weight_outcome": 0.0,
    "spec_path": None,
    "spec_max_tokens": 5000,
    "spec_context": None,
}

# Class, what must be given, and what the rest is by default. `pareto_set_size` and `minibatch_size` follow
# from the seeds and lanes when they are not given; the first says so by None.
DEFAULTS: list[tuple[type[BaseModel], dict[str, Any], dict[str, Any]]] = [
    (SeedRange, {"start": 0, "end": 10}, {"step": 1}),
    (
        PromptLearningPolicyConfig,
        POLICY,
        {
            "inference_url": None,
            "inference_mode": InferenceMode.synth_hosted,
            "temperature": 0.0,
            "max_completion_tokens": 512,
            "policy_name": None,
        },
    ),
    (MessagePatternConfig, {"role": "user", "pattern": "{query}"}, {"order": 0}),
    (PromptPatternConfig, {}, {"id": None, "name": None, "messages": [], "wildcards": {}}),
    (
        MIPROStageConfig,
        STAGE,
        {"baseline_messages": [], "max_instruction_slots": None, "max_demo_slots": None},
    ),
    (MIPROModuleConfig, {"module_id": "m"}, {"stages": []}),
    (MIPROSeedConfig, {}, {"bootstrap": [], "online": [], "test": [], "reference": []}),
    (PromptLearningJudgeConfig, {}, _VERIFIER),
    (PromptLearningVerifierConfig, {}, _VERIFIER),
    (
        ProxyModelsConfig,
        PROXY,
        {
            "n_min_hi": 5,
            "r2_thresh": 0.5,
            "r2_stop": 0.2,
            "sigma_max": 1e6,
            "sigma_stop": 1e9,
            "verify_every": 0,
            "proxy_patience_usd": -100.0,
        },
    ),
    (
        AdaptivePoolConfig,
        {},
        {
            "level": AdaptiveCurriculumLevel.LOW,
            "anchor_size": 30,
            "pool_init_size": None,
            "pool_min_size": None,
            "warmup_iters": 5,
            "anneal_stop_iter": 20,
            "pool_update_period": 3,
            "min_evals_per_example": 3,
            "k_info_prompts": 10,
            "info_buffer_factor": 0.9,
            "info_epsilon": 1e-6,
            "anchor_selection_method": "clustering",
            "exploration_strategy": "diversity",
            "heatup_reserve_pool": None,
            "heatup_trigger": "after_min_size",
            "heatup_size": 20,
            "heatup_cooldown_trials": 50,
            "heatup_schedule": "repeat",
            "enabled": True,
        },
    ),
    (
        GEPAAdaptiveBatchConfig,
        {},
        {
            "level": AdaptiveBatchLevel.MODERATE,
            "reflection_minibatch_size": 3,
            "min_local_improvement": 0.0,
            "val_evaluation_mode": "subsample",
            "val_subsample_size": 64,
            "candidate_selection_strategy": "coverage",
            "enabled": True,
        },
    ),
    (
        MIPROConfig,
        {},
        {
            "task_app_url": None,
            "task_app_api_key": None,
            "task_app_id": None,
            "num_iterations": 20,
            "num_evaluations_per_iteration": 5,
            "batch_size": 32,
            "max_concurrent": 20,
            "env_name": "banking77",
            "env_config": None,
            "few_shot_score_threshold": 0.8,
            "results_file": None,
            "max_wall_clock_seconds": None,
            "max_total_tokens": None,
            "policy_config": None,
            "meta": None,
            "modules": None,
            "seeds": None,
            "proposer_effort": "LOW",
            "proposer_output_tokens": "FAST",
            "max_token_limit": None,
            "max_spend_usd": None,
            "token_counting_model": "gpt-4",
            "enforce_token_limit": True,
            "tpe": None,
            "demo": None,
            "grounding": None,
            "meta_update": None,
            "judge": None,
            "proxy_models": None,
            "adaptive_pool": None,
            "spec_path": None,
            "spec_max_tokens": 5000,
            "spec_include_examples": True,
            "spec_priority_threshold": None,
            "metaprompt": None,
            "bootstrap_train_seeds": None,
            "online_pool": None,
            "test_pool": None,
            "reference_pool": None,
            "min_bootstrap_demos": None,
            "strict_bootstrap": False,
        },
    ),
    (GEPARolloutConfig, {}, {"budget": None, "max_concurrent": 20, "minibatch_size": 8}),
    (
        GEPAEvaluationConfig,
        {},
        dict.fromkeys(("seeds", "validation_seeds", "test_pool", "validation_pool", "validation_top_k")),
    ),
    (GEPAMutationConfig, {}, {"rate": 0.3, "prompt": None}),
    (
        GEPAPopulationConfig,
        {},
        {
            "initial_size": 20,
            "num_generations": 10,
            "children_per_generation": 5,
            "crossover_rate": 0.5,
            "selection_pressure": 1.0,
            "patience_generations": 3,
        },
    ),
    (
        GEPAArchiveConfig,
        {},
        {"size": 64, "pareto_set_size": None, "pareto_eps": 1e-6, "feedback_fraction": 0.5},
    ),
    (
        GEPATokenConfig,
        {},
        {"max_limit": None, "counting_model": "gpt-4", "enforce_pattern_limit": True, "max_spend_usd": None},
    ),
    (
        GEPAModuleConfig,
        {"module_id": "m", "policy": POLICY},
        {"max_instruction_slots": 3, "allowed_tools": None, "max_tokens": None},
    ),
    (
        GEPAConfig,
        {},
        {
            "env_name": "banking77",
            "env_config": None,
            "rng_seed": None,
            "proposer_type": "dspy",
            "proposer_effort": "LOW",
            "proposer_output_tokens": "FAST",
            "metaprompt": None,
            "modules": None,
            "judge": None,
            "proxy_models": None,
            "adaptive_pool": None,
            "adaptive_batch": None,
        },
    ),
    (
        PromptLearningConfig,
        JOB,
        {
            "task_app_api_key": None,
            "task_app_id": None,
            "initial_prompt": None,
            "policy": None,
            "mipro": None,
            "judge": None,
            "proxy_models": None,
            "env_config": None,
            "free_tier": False,
        },
    ),
]


def _fields() -> Iterator[Any]:
    for section, given, defaults in DEFAULTS:
        for name, value in defaults.items():
            yield pytest.param(section, given, name, value, id=f"{section.__name__}.{name}")


@pytest.mark.parametrize(("section", "given", "name", "value"), list(_fields()))
def test_a_documented_default(section: type[BaseModel], given: dict[str, Any], name: str, value: Any) -> None:
    assert getattr(section(**given), name) == value


REQUIRED = {
    SeedRange: ["start", "end"],
    PromptLearningPolicyConfig: ["model", "provider"],
    MessagePatternConfig: ["role", "pattern"],
    MIPROStageConfig: ["stage_id", "baseline_instruction", "policy"],
    MIPROModuleConfig: ["module_id"],
    ProxyModelsConfig: ["hi_provider", "hi_model", "lo_provider", "lo_model"],
    GEPAModuleConfig: ["module_id", "policy"],
    PromptLearningConfig: ["algorithm", "task_app_url"],
}


@pytest.mark.parametrize(
    ("section", "given", "name"),
    [
        pytest.param(section, given, name, id=f"{section.__name__}.{name}")
        for section, given, _ in DEFAULTS
        for name in REQUIRED.get(section, [])
    ],
)
def test_a_documented_field_must_be_given(section: type[BaseModel], given: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        section(**{key: value for key, value in given.items() if key != name})


def test_nothing_else_must_be_given() -> None:
    for section, given, _ in DEFAULTS:
        required = [name for name, field in section.model_fields.items() if field.is_required()]
        assert required == REQUIRED.get(section, []), section.__name__
        assert given.keys() >= set(required)


REFUSED: list[tuple[type[BaseModel], dict[str, Any], str]] = [
    (SeedRange, {"start": 0, "end": 5, "step": 0}, "zero"),
    (SeedRange, {"start": 0, "end": 10**9}, "at most"),
    (PromptLearningPolicyConfig, {**POLICY, "provider": "anthropic"}, "inference_url"),
    (PromptLearningPolicyConfig, {**POLICY, "model": ""}, "model"),
    (PromptLearningPolicyConfig, {**POLICY, "inference_mode": "hosted"}, "synth_hosted"),
    (PromptLearningPolicyConfig, {**POLICY, "inference_url": ""}, "must start with http:// or https://"),
    (PromptLearningPolicyConfig, {**POLICY, "inference_url": "ftp://x"}, "must start with http"),
    (PromptLearningPolicyConfig, {**POLICY, "inference_url": "http://u:p@x/v1"}, "no user, password"),
    (PromptLearningPolicyConfig, {**POLICY, "temperature": -0.1}, "temperature"),
    (PromptLearningPolicyConfig, {**POLICY, "api_base": "http://x"}, "use inference_url"),
    (PromptLearningPolicyConfig, {**POLICY, "config": {"model": "another"}}, "config.model differs"),
    (MIPROStageConfig, {**STAGE, "policy": None}, "policy is required for each module/stage"),
    (MIPROStageConfig, {**STAGE, "policy": {"provider": "openai"}}, "policy must include 'model' field"),
    (MIPROStageConfig, {**STAGE, "policy": {"model": "m"}}, "policy must include 'provider' field"),
    (MIPROStageConfig, {**STAGE, "max_instruction_slots": 0}, "max_instruction_slots"),
    (MIPROStageConfig, {**STAGE, "max_demo_slots": -1}, "max_demo_slots"),
    (MIPROModuleConfig, {"module_id": "m", "edges": [["a", "b"]]}, "unknown stage 'a'"),
    (MIPROModuleConfig, {"module_id": "m", "stages": [STAGE], "edges": [{"from": "s"}]}, "a pair of stages"),
    (PromptLearningJudgeConfig, {"reward_source": "env"}, "reward_source"),
    (
        PromptLearningJudgeConfig,
        {"enabled": True, "reward_source": "fused"},
        "weight_event or weight_outcome",
    ),
    (PromptLearningJudgeConfig, {"synth_verifier_id": "a", "backend_rubric_id": "b"}, "differs"),
    (PromptLearningJudgeConfig, {"enabled": True, "backend_provider": "mine"}, "backend_base"),
    (PromptLearningJudgeConfig, {"concurrency": 0}, "concurrency"),
    (PromptLearningJudgeConfig, {"weight_env": -1}, "weight_env"),
    (ProxyModelsConfig, {**PROXY, "r2_thresh": 1.1}, "r2_thresh"),
    (ProxyModelsConfig, {**PROXY, "r2_stop": -0.1}, "r2_stop"),
    (ProxyModelsConfig, {**PROXY, "sigma_max": -1}, "sigma_max"),
    (ProxyModelsConfig, {**PROXY, "sigma_stop": -1}, "sigma_stop"),
    (ProxyModelsConfig, {**PROXY, "n_min_hi": -1}, "n_min_hi"),
    (ProxyModelsConfig, {**PROXY, "verify_every": -1}, "verify_every"),
    (ProxyModelsConfig, {**PROXY, "hi_model": ""}, "hi_model"),
    (ProxyModelsConfig, {**PROXY, "lo_provider": "mine"}, "give the URL .* as lo_inference_url"),
    (AdaptivePoolConfig, {"level": "EXTREME"}, "level"),
    (AdaptivePoolConfig, {"anchor_size": 30, "pool_min_size": 20}, "anchor_size .* pool_min_size"),
    (AdaptivePoolConfig, {"pool_init_size": 40, "pool_min_size": 50}, "pool_min_size .* pool_init_size"),
    (AdaptivePoolConfig, {"warmup_iters": 20}, "anneal_stop_iter must be later than warmup_iters"),
    (AdaptivePoolConfig, {"pool_update_period": 0}, "pool_update_period"),
    (AdaptivePoolConfig, {"info_buffer_factor": 1.1}, "info_buffer_factor"),
    (AdaptivePoolConfig, {"info_epsilon": 0}, "info_epsilon"),
    (AdaptivePoolConfig, {"anchor_selection_method": "first"}, "anchor_selection_method"),
    (AdaptivePoolConfig, {"exploration_strategy": "greedy"}, "exploration_strategy"),
    (AdaptivePoolConfig, {"heatup_trigger": "never"}, "heatup_trigger"),
    (AdaptivePoolConfig, {"heatup_schedule": "twice"}, "heatup_schedule"),
    (AdaptivePoolConfig, {"heatup_size": 0}, "heatup_size"),
    (AdaptivePoolConfig, {"heatup_cooldown_trials": -1}, "heatup_cooldown_trials"),
    (GEPAAdaptiveBatchConfig, {"val_evaluation_mode": "some"}, "val_evaluation_mode"),
    (GEPAAdaptiveBatchConfig, {"candidate_selection_strategy": "best"}, "candidate_selection_strategy"),
    (GEPAAdaptiveBatchConfig, {"reflection_minibatch_size": 0}, "reflection_minibatch_size"),
    *(
        (MIPROConfig, {name: 0}, name)
        for name in (
            "num_iterations",
            "num_evaluations_per_iteration",
            "batch_size",
            "max_concurrent",
            "max_demo_set_size",
            "max_demo_sets",
            "max_instruction_sets",
            "full_eval_every_k",
            "instructions_per_batch",
            "max_instructions",
            "duplicate_retry_limit",
            "spec_max_tokens",
        )
    ),
    (MIPROConfig, {"generate_at_iterations": [0, -1]}, "generate_at_iterations"),
    (MIPROConfig, {"few_shot_score_threshold": 1.5}, "few_shot_score_threshold"),
    (MIPROConfig, {"min_bootstrap_demos": 3, "bootstrap_train_seeds": [1, 2]}, "more than the 2 bootstrap"),
    (
        MIPROConfig,
        {"seeds": {"online": [3]}, "reference_pool": [3]},
        "reference_pool and online_pool share seed 3",
    ),
    (MIPROConfig, {"seeds": {"online": [3]}, "online_pool": [4]}, "seeds.online differs from online_pool"),
    (MIPROConfig, {"modules": [{"module_id": "a"}, {"module_id": "a"}]}, "module_id 'a' is used twice"),
    (MIPROConfig, {"modules": [{"module_id": "a", "stages": [STAGE, STAGE]}]}, "stage_id 's' is used twice"),
    (
        MIPROConfig,
        {"max_demo_sets": 2, "modules": [{"module_id": "a", "stages": [{**STAGE, "max_demo_slots": 3}]}]},
        "above max_demo_sets",
    ),
    (MIPROConfig, {"proposer_effort": "low"}, "proposer_effort"),
    (MIPROConfig, {"proposer_output_tokens": "RAPID"}, "LOW_CONTEXT"),
    (MIPROConfig, {"policy_config": {"model": "m"}}, "provider"),
    *(
        (MIPROConfig, {f"meta_model{what}": 1}, "deprecated.*proposer_effort")
        for what in ("", "_provider", "_inference_url", "_temperature", "_max_tokens")
    ),
    *((MIPROConfig, {"meta": {what: "x"}}, "deprecated.*proposer_effort") for what in ("model", "provider")),
    (GEPAMutationConfig, {"llm_model": "m"}, "deprecated"),
    (GEPAMutationConfig, {"llm_provider": "m"}, "deprecated"),
    (GEPAMutationConfig, {"llm_inference_url": "m"}, "deprecated"),
    (GEPAModuleConfig, {"module_id": " ", "policy": POLICY}, "module_id cannot be empty"),
    (GEPAModuleConfig, {"module_id": "m", "policy": None}, "policy is required for each module/stage"),
    (GEPAModuleConfig, {"module_id": "m", "policy": {"provider": "openai"}}, "must include 'model' field"),
    (GEPAModuleConfig, {"module_id": "m", "policy": {"model": "m"}}, "must include 'provider' field"),
    (
        GEPAModuleConfig,
        {"module_id": "m", "policy": POLICY, "max_instruction_slots": 0},
        "max_instruction_slots",
    ),
    (GEPAConfig, {"proposer_output_tokens": "RAPID"}, "LOW_CONTEXT"),
    (GEPAConfig, {"proposer_effort": "GEMINI"}, "proposer_effort"),
    (GEPAConfig, {"proposer_type": "magic"}, "proposer_type"),
    (GEPAConfig, {"proposer_type": "spec"}, "spec_path"),
    (GEPAConfig, {"rollout_budget": 5}, "Deprecated flat GEPA format field 'rollout_budget'"),
    (GEPAConfig, {"modules": [{"module_id": "m", "policy": POLICY}] * 2}, "module_id 'm' is used twice"),
    (GEPAConfig, {"use_byok": False}, "keys are always your own"),
    (GEPAPopulationConfig, {"crossover_rate": 1.1}, "crossover_rate"),
    (GEPAPopulationConfig, {"patience_generations": -1}, "patience_generations"),
    (
        PromptLearningConfig,
        {**JOB, "free_tier": True, "gepa": {"proposer_effort": "HIGH"}},
        "proposer_effort",
    ),
    (PromptLearningConfig, {**JOB, "initial_prompt": {"messages": []}}, "at least one message"),
    (
        PromptLearningConfig,
        {**JOB, "algorithm": "mipro", "mipro": {"online_pool": [1]}},
        "bootstrap_train_seeds",
    ),
    (PromptLearningConfig, {**JOB, "algorithm": "weird"}, "algorithm"),
    (
        PromptLearningConfig,
        {**JOB, "judge": {"enabled": True}, "verifier": {"enabled": False}},
        "verifier differs from judge",
    ),
]


@pytest.mark.parametrize(
    ("section", "given", "said"), REFUSED, ids=[f"{s.__name__}-{n}" for n, (s, _, _) in enumerate(REFUSED)]
)
def test_what_a_class_refuses(section: type[BaseModel], given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        section(**given)


def test_names_of_the_documents() -> None:
    assert list(ProviderName) == ["openai", "groq", "google"]
    assert list(InferenceMode) == ["synth_hosted"]
    for levels in (AdaptiveCurriculumLevel, AdaptiveBatchLevel):
        assert [level.value for level in levels] == ["NONE", "LOW", "MODERATE", "HIGH"]


def test_ranges() -> None:
    assert SeedRange(start=0, end=10).to_list() == list(range(10))
    assert SeedRange(start=0, end=100, step=2).to_list() == list(range(0, 100, 2))


def test_any_provider_with_an_address_and_any_model_is_fine() -> None:
    for model in ("gpt-5-pro", "my/model", "qwen3"):
        mine = PromptLearningPolicyConfig(model=model, provider="mine", inference_url=" http://10.0.0.2/v1 ")
        assert (mine.provider, mine.inference_url) == ("mine", "http://10.0.0.2/v1")
    assert PromptLearningPolicyConfig(model="m", provider="groq").provider is ProviderName.groq


def test_a_verifier_is_a_judge_and_either_spelling_means_the_same() -> None:
    assert issubclass(PromptLearningVerifierConfig, PromptLearningJudgeConfig)
    for newer, documented in (("verifier", "judge"), ("container", "task_app")):
        spelt: dict[str, Any] = {"reward_source": newer}
        assert PromptLearningVerifierConfig(**spelt).reward_source == documented
    for name in ("synth_verifier_id", "backend_rubric_id"):
        spelt = {name: "v1"}
        both = PromptLearningJudgeConfig(**spelt)
        assert both.synth_verifier_id == both.backend_rubric_id == "v1"
    for place in ("judge", "verifier"):
        for kind in (PromptLearningJudgeConfig, PromptLearningVerifierConfig):
            config = GEPAConfig.model_validate({place: kind(backend_model="m")})
            written = config.model_dump(mode="json", exclude_unset=True)
            assert written == {place: {"backend_model": "m"}}
            assert GEPAConfig.from_mapping(written) == config


def test_the_deprecated_meta_section_warns() -> None:
    with pytest.warns(DeprecationWarning, match="proposer_effort"):
        meta = MIPROMetaConfig(model="gpt-4o-mini", temperature=0.7)
    with pytest.raises(ValidationError, match="deprecated"):
        MIPROConfig(meta=meta)
    assert MIPROConfig.model_validate({"meta": {}}).meta is None


def test_gepa_from_a_mapping() -> None:
    data = {"env_name": "e", "rollout": {"budget": 9}, "adaptive_pool": {"level": "HIGH"}, "token": None}
    config = GEPAConfig.from_mapping(data)
    assert (config.env_name, config.rollout.budget) == ("e", 9)
    assert config.adaptive_pool is not None
    assert config.adaptive_pool.anchor_size == 20
    with pytest.raises(Misconfigured, match=r"gepa\.rollout\.budgt: unknown key; did you mean 'budget'"):
        GEPAConfig.from_mapping({"rollout": {"budgt": 9}})
    with pytest.raises(ValueError, match="Deprecated flat GEPA format field 'mutation_rate'"):
        GEPAConfig.from_mapping({"mutation_rate": 0.2})
