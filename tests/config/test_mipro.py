"""`MIPROConfig.simple`, and MIPRO's seeds wherever they stand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from paretune.config import MessagePatternConfig, MIPROConfig, PromptLearningConfig

MESSAGES = [
    {"role": "user", "content": "{query}"},
    {"role": "system", "pattern": " Classify the flower. "},
]


def simple(**more: Any) -> MIPROConfig:
    given = {
        "task_app_url": "http://127.0.0.1:8001",
        "task_app_api_key": "$ENVIRONMENT_API_KEY",
        "env_name": "iris",
        "rollout_budget": 100,
        "initial_prompt_messages": MESSAGES,
    }
    return MIPROConfig.simple(**{**given, **more})


def test_one_stage_with_the_policy_it_was_given() -> None:
    config = simple(policy_model="gpt-4o-mini", policy_provider="openai", policy_name="p")
    assert config.modules is not None
    (module,) = config.modules
    (stage,) = module.stages
    assert (module.module_id, stage.stage_id) == ("default", "default_stage_0")
    assert stage.baseline_instruction == "Classify the flower."
    assert stage.baseline_messages[0] == {"role": "user", "content": "{query}"}
    assert (stage.policy.model, stage.policy.provider, stage.policy.temperature) == (
        "gpt-4o-mini",
        "openai",
        1.0,
    )
    assert config.policy_config == {
        "model": "gpt-4o-mini",
        "provider": "openai",
        "temperature": 1.0,
        "max_completion_tokens": 512,
        "policy_name": "p",
    }
    assert (config.task_app_id, config.env_name, config.max_concurrent) == ("iris", "iris", 10)
    assert (simple().policy_config or {})["model"] == "openai/gpt-oss-20b"


@pytest.mark.parametrize(
    ("budget", "bootstrap", "online", "reference", "iterations", "evaluations", "batch"),
    [
        (1, 3, 5, 5, 5, 3, 5),
        (50, 5, 16, 10, 5, 3, 16),
        (100, 10, 33, 20, 5, 3, 32),
        (300, 10, 50, 30, 5, 3, 32),
        (6000, 10, 50, 30, 12, 6, 32),
        (10**6, 10, 50, 30, 20, 10, 32),
    ],
)
def test_what_a_budget_lays_out(
    budget: int, bootstrap: int, online: int, reference: int, iterations: int, evaluations: int, batch: int
) -> None:
    config = simple(rollout_budget=budget)
    pools = config.pools()
    assert pools.bootstrap == list(range(bootstrap))
    assert pools.online == list(range(10, 10 + online))
    assert len(pools.reference) == reference
    assert not set(pools.reference) & {*pools.bootstrap, *pools.online, *pools.test}
    assert (config.num_iterations, config.num_evaluations_per_iteration) == (iterations, evaluations)
    assert config.batch_size == batch


def test_what_is_given_goes_before_what_follows() -> None:
    config = simple(
        bootstrap_seeds=[1],
        online_seeds=[2, 3],
        test_seeds=[90],
        reference_pool=[4],
        num_iterations=7,
        num_evaluations_per_iteration=8,
        batch_size=1,
        max_concurrent=2,
        task_app_id="t",
    )
    pools = config.pools()
    assert (pools.bootstrap, pools.online, pools.test, pools.reference) == ([1], [2, 3], [90], [4])
    assert (config.num_iterations, config.num_evaluations_per_iteration) == (7, 8)
    assert (config.batch_size, config.max_concurrent, config.task_app_id) == (1, 2, "t")


@pytest.mark.parametrize(
    ("preset", "effort"), [("fast", "LOW"), ("balanced", "LOW"), ("high_quality", "MEDIUM")]
)
def test_presets_name_an_effort(preset: str, effort: str) -> None:
    assert simple(meta_preset=preset).proposer_effort == effort


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"rollout_budget": 0}, "rollout_budget must be positive"),
        ({"initial_prompt_messages": []}, "must contain at least one message"),
        ({"initial_prompt_messages": [5]}, "role and content"),
        ({"meta_preset": "best"}, "meta_preset"),
        ({"meta_model": "gpt-4o"}, "proposer_effort"),
        ({"policy_provider": "mine"}, "inference_url"),
    ],
)
def test_what_simple_refuses(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        simple(**more)


def test_messages_may_be_objects_and_need_no_system_text() -> None:
    def instruction(*messages: Any) -> str:
        (module,) = simple(initial_prompt_messages=messages).modules or []
        return module.stages[0].baseline_instruction

    assert instruction(MessagePatternConfig(role="user", pattern="Sort {x}")) == "Sort {x}"
    assert instruction(SimpleNamespace(role="system", content="A"), {"content": "B"}) == "A"
    assert instruction({"role": "assistant", "content": "A"}) == "Complete the task."


def test_it_fits_into_a_job() -> None:
    job = PromptLearningConfig(algorithm="mipro", task_app_url="http://127.0.0.1:8001", mipro=simple())
    assert PromptLearningConfig.from_mapping(job.to_dict()) == job


def test_seeds_are_found_wherever_they_stand() -> None:
    config = MIPROConfig.model_validate(
        {"seeds": {"bootstrap": [1]}, "online_pool": {"start": 2, "end": 4}, "test_pool": [9]}
    )
    pools = config.pools()
    assert (pools.bootstrap, pools.online, pools.test, pools.reference) == ([1], [2, 3], [9], [])
