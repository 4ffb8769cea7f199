"""What is known and not built: read and checked, refused at submit, and fine where it asks for nothing."""

from __future__ import annotations

from typing import Any

import pytest

from paretune.config import PromptLearningConfig, not_available, refuse_not_available
from paretune.core.errors import NotAvailable

POLICY = {"model": "m", "provider": "openai"}
SEEDS = {"bootstrap_train_seeds": [0, 1], "online_pool": [2, 3]}
PROXY = {"hi_provider": "openai", "hi_model": "a", "lo_provider": "groq", "lo_model": "b"}


def config(**more: Any) -> PromptLearningConfig:
    return PromptLearningConfig.from_mapping(
        {"algorithm": "gepa", "task_app_url": "http://127.0.0.1:8001", **more}
    )


ASKS: list[tuple[dict[str, Any], str]] = [
    ({"optimization_mode": "context"}, "optimization_mode"),
    ({"optimization_mode": "optimize_anything"}, "optimization_mode"),
    ({"auto_discover_patterns": True}, "auto_discover_patterns"),
    ({"policy": {**POLICY, "context_override": {"a": 1}}}, "policy.context_override"),
    ({"termination_config": {"pessimism_enabled": True}}, "termination_config.pessimism_enabled"),
    ({"gepa": {"proposer_type": "agent"}}, "gepa.proposer_type"),
]


@pytest.mark.parametrize(("more", "field"), ASKS, ids=[f"{n}-{field}" for n, (_, field) in enumerate(ASKS)])
def test_what_is_not_built_is_read_and_refused_by_name(more: dict[str, Any], field: str) -> None:
    read = config(**more)
    assert not_available(read) == [f"prompt_learning.{field}"]
    with pytest.raises(NotAvailable) as caught:
        refuse_not_available(read)
    assert str(caught.value) == f"not available yet: prompt_learning.{field}"


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"judge": {}, "gepa": {"verifier": {"enabled": False, "backend_model": "m"}}},
        {"free_tier": False, "auto_discover_patterns": False, "use_byok": True},
        {"free_tier": True, "mipro": {}, "gepa": {"modules": [{"module_id": "a", "policy": POLICY}]}},
        {"optimization_mode": "prompt"},
        {"gepa": {"adaptive_pool": {}, "adaptive_batch": {"level": "HIGH"}}},
        {"gepa": {"modules": [], "proxy_models": None, "spec_max_tokens": 100}},
        {"proxy_models": PROXY},
        {"gepa": {"proxy_models": {**PROXY, "rule": "r2"}}},
        {"algorithm": "mipro", "mipro": {**SEEDS, "proxy_models": PROXY}},
        {"mipro": {}},
        {"gepa": {"proposer_type": "spec", "spec_path": "spec.json"}},
        {"termination_config": {"pessimism_enabled": False, "max_category_costs_usd": {}}},
        {"policy": {**POLICY, "context_override": {}, "config": {"tools": 1}}, "mipro": None},
    ],
)
def test_what_asks_for_nothing_is_fine(more: dict[str, Any]) -> None:
    assert not_available(config(**more)) == []


def test_everything_is_named_not_only_the_first() -> None:
    found = not_available(config(auto_discover_patterns=True, gepa={"proposer_type": "agent"}, mipro={}))
    assert found == [f"prompt_learning.{field}" for field in ("auto_discover_patterns", "gepa.proposer_type")]
