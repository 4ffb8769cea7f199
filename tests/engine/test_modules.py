"""GEPA's modules, and a validation split of the container's: what they come to in a job."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from paretune.config import PromptLearningConfig
from paretune.core.errors import Misconfigured
from paretune.engine.prepare import Prepared, prepare
from support.engine_view import QuietContainer

POLICY = {"model": "m", "provider": "openai"}


def prepared(gepa: dict[str, Any], **more: Any) -> Prepared:
    given = {"evaluation": {"seeds": {"start": 0, "end": 20}}, **gepa}
    config = PromptLearningConfig.from_mapping(
        {"algorithm": "gepa", "task_app_url": "http://127.0.0.1:1", "gepa": given, **more}
    )
    return asyncio.run(prepare(config, QuietContainer("")))  # type: ignore[arg-type]


def policy(ready: Prepared) -> Any:
    return ready.executor.policy  # type: ignore[union-attr]


def test_each_module_has_its_policy_tools_and_length() -> None:
    modules = [
        {"module_id": "a", "policy": {**POLICY, "config": {"k": 1}}, "allowed_tools": ["search"]},
        {"module_id": "b", "policy": {**POLICY, "model": "n"}, "max_tokens": 40},
    ]
    ready = prepared({"modules": modules}, policy={**POLICY, "model": "top"})
    assert policy(ready)["model"] == "top"
    stages = policy(ready)["stages"]
    assert (stages["a"]["model"], stages["a"]["k"], stages["a"]["allowed_tools"]) == ("m", 1, ["search"])
    assert stages["b"]["model"] == "n"
    assert "allowed_tools" not in stages["b"]
    assert ready.job.surface.component_tokens == {"b": 40}


def test_an_only_module_gives_the_programs_policy() -> None:
    assert policy(prepared({"modules": [{"module_id": "a", "policy": POLICY}]}))["model"] == "m"


def test_a_module_is_a_component() -> None:
    with pytest.raises(Misconfigured, match="no component 'c'; a module_id is one of a, b"):
        prepared({"modules": [{"module_id": "c", "policy": POLICY}]})


def test_a_validation_pool_is_a_split_of_the_containers_tasks() -> None:
    evaluation: dict[str, Any] = {"seeds": {"start": 0, "end": 20}, "validation_pool": "validation"}
    whole = prepared({"evaluation": evaluation}).job.splits.select
    assert [example.id for example in whole] == [f"validation-{seed}" for seed in range(300, 310)]
    assert whole[0].data["task"] == {"id": "validation-300", "split": "validation", "seed": 300}
    part = prepared({"evaluation": {**evaluation, "validation_seeds": [305, 301]}}).job.splits.select
    assert [example.id for example in part] == ["validation-301", "validation-305"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"validation_pool": "heldout"},
            "no tasks of a split 'heldout'; its splits: train, valid",
        ),
        ({"validation_pool": "train"}, "'train' has seed 0, which trains or tests"),
        ({"validation_seeds": [300, 7000]}, "names 7000, which is not in 'validation'"),
    ],
)
def test_what_a_validation_pool_cannot_be(changes: dict[str, Any], said: str) -> None:
    evaluation = {"seeds": {"start": 0, "end": 20}, "validation_pool": "validation", **changes}
    with pytest.raises(Misconfigured, match=said):
        prepared({"evaluation": evaluation})
