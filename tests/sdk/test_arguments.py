"""Names, arguments and defaults of the three documents that scripts are written from: a row for each.

000: results of a job by `SynthClient`. 001: `PromptLearningJob`. 002: `PolicyOptimizationJob`.
"""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from paretune import sdk
from paretune.sdk import (
    Algorithm,
    OfflineJob,
    PolicyOptimizationJob,
    PolicyOptimizationJobConfig,
    PromptLearningJob,
    PromptLearningJobPoller,
    SynthClient,
)

NONE = inspect.Parameter.empty
"""An argument without a default."""

# ---------------------------------------------------------------- classes

CLASSES = [
    ("000", "SynthClient"),
    ("000", "PolicyCandidate"),
    ("001", "PromptLearningJob"),
    ("001", "PromptLearningJobConfig"),
    ("001", "PromptLearningJobPoller"),
    ("001", "PollOutcome"),
    ("002", "Algorithm"),
    ("002", "PolicyOptimizationJob"),
    ("002", "PolicyOptimizationJobConfig"),
    ("002", "PolicyOptimizationResult"),
    ("002", "StreamHandler"),
]


@pytest.mark.parametrize(("seed", "name"), CLASSES)
def test_class(seed: str, name: str) -> None:
    assert inspect.isclass(getattr(sdk, name)), seed
    assert inspect.getdoc(getattr(sdk, name))


# ---------------------------------------------------------------- arguments and their defaults

ARGUMENTS: list[tuple[str, Any, str, Any]] = [
    ("000", SynthClient.__init__, "api_key", None),
    ("000", SynthClient.__init__, "base_url", None),
    ("000", sdk.Offline.get, "job_id", NONE),
    ("000", OfflineJob.events, "limit", 500),
    ("000", OfflineJob.list_candidates_typed, "include", None),
    ("001", PromptLearningJobPoller.poll_job, "job_id", NONE),
    ("001", PromptLearningJob.from_config, "config_path", NONE),
    ("001", PromptLearningJob.from_config, "backend_url", None),
    ("001", PromptLearningJob.from_config, "api_key", None),
    ("001", PromptLearningJob.from_config, "task_app_api_key", None),
    ("001", PromptLearningJob.from_config, "allow_experimental", None),
    ("001", PromptLearningJob.from_config, "overrides", None),
    ("001", PromptLearningJob.from_job_id, "job_id", NONE),
    ("001", PromptLearningJob.from_job_id, "backend_url", None),
    ("001", PromptLearningJob.from_job_id, "api_key", None),
    ("001", PromptLearningJob.__init__, "skip_health_check", False),
    ("001", PromptLearningJob.poll_until_complete, "timeout", 3600.0),
    ("001", PromptLearningJob.poll_until_complete, "interval", 5.0),
    ("001", PromptLearningJob.poll_until_complete, "on_status", None),
    ("001", PromptLearningJob.get_best_prompt_text, "rank", 1),
    ("002", Algorithm.from_string, "value", NONE),
    ("002", PolicyOptimizationJobConfig, "config_path", None),
    ("002", PolicyOptimizationJobConfig, "config_dict", None),
    ("002", PolicyOptimizationJobConfig, "backend_url", None),
    ("002", PolicyOptimizationJobConfig, "api_key", None),
    ("002", PolicyOptimizationJobConfig, "localapi_api_key", None),
    ("002", PolicyOptimizationJobConfig, "algorithm", Algorithm.GEPA),
    ("002", PolicyOptimizationJobConfig, "allow_experimental", None),
    ("002", PolicyOptimizationJobConfig, "overrides", None),
    ("002", PolicyOptimizationJob.from_config, "config_path", NONE),
    ("002", PolicyOptimizationJob.from_config, "backend_url", None),
    ("002", PolicyOptimizationJob.from_config, "api_key", None),
    ("002", PolicyOptimizationJob.from_config, "localapi_api_key", None),
    ("002", PolicyOptimizationJob.from_config, "algorithm", Algorithm.GEPA),
    ("002", PolicyOptimizationJob.from_config, "allow_experimental", None),
    ("002", PolicyOptimizationJob.from_config, "overrides", None),
    ("002", PolicyOptimizationJob.from_dict, "config_dict", NONE),
    ("002", PolicyOptimizationJob.from_dict, "backend_url", None),
    ("002", PolicyOptimizationJob.from_dict, "api_key", None),
    ("002", PolicyOptimizationJob.from_dict, "localapi_api_key", None),
    ("002", PolicyOptimizationJob.from_dict, "algorithm", Algorithm.GEPA),
    ("002", PolicyOptimizationJob.from_dict, "allow_experimental", None),
    ("002", PolicyOptimizationJob.from_dict, "overrides", None),
    ("002", PolicyOptimizationJob.from_dict, "skip_health_check", False),
    ("002", PolicyOptimizationJob.from_job_id, "job_id", NONE),
    ("002", PolicyOptimizationJob.from_job_id, "backend_url", None),
    ("002", PolicyOptimizationJob.from_job_id, "api_key", None),
    ("002", PolicyOptimizationJob.poll_until_complete, "timeout", 3600.0),
    ("002", PolicyOptimizationJob.poll_until_complete, "interval", 15.0),
    ("002", PolicyOptimizationJob.poll_until_complete, "progress", False),
    ("002", PolicyOptimizationJob.poll_until_complete, "on_status", None),
    ("002", PolicyOptimizationJob.poll_until_complete, "request_timeout", 180.0),
    ("002", PolicyOptimizationJob.stream_until_complete, "timeout", 3600.0),
    ("002", PolicyOptimizationJob.stream_until_complete, "interval", 15.0),
    ("002", PolicyOptimizationJob.stream_until_complete, "handlers", None),
    ("002", PolicyOptimizationJob.stream_until_complete, "on_event", None),
    ("002", PolicyOptimizationJob.get_best_prompt_text, "rank", 1),
    ("002", PolicyOptimizationJob.cancel, "reason", None),
]


@pytest.mark.parametrize(
    ("seed", "method", "argument", "default"),
    ARGUMENTS,
    ids=[f"{seed}-{method.__qualname__}-{argument}" for seed, method, argument, _ in ARGUMENTS],
)
def test_argument(seed: str, method: Any, argument: str, default: Any) -> None:
    parameter = inspect.signature(method).parameters[argument]
    if default is NONE:
        assert parameter.default is NONE
    else:
        assert parameter.default == default
        assert type(parameter.default) is type(default)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        (
            PromptLearningJob.from_config,
            "config_path backend_url api_key task_app_api_key allow_experimental overrides",
        ),
        (PromptLearningJob.from_job_id, "job_id backend_url api_key"),
        (PromptLearningJob.get_best_prompt_text, "self rank"),
        (
            PolicyOptimizationJob.from_config,
            "config_path backend_url api_key localapi_api_key algorithm allow_experimental overrides",
        ),
        (
            PolicyOptimizationJob.from_dict,
            (
                "config_dict backend_url api_key localapi_api_key algorithm allow_experimental overrides "
                "skip_health_check"
            ),
        ),
        (PolicyOptimizationJob.from_job_id, "job_id backend_url api_key"),
    ],
)
def test_arguments_by_place_come_in_the_documented_order(method: Any, arguments: str) -> None:
    parameters = inspect.signature(method).parameters.values()
    by_place = [one.name for one in parameters if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert by_place == arguments.split()


def test_twins_have_the_same_arguments() -> None:
    found = 0
    for owner in (PromptLearningJob, PolicyOptimizationJob, PromptLearningJobPoller, OfflineJob, sdk.Offline):
        for name in [name for name in dir(owner) if name.endswith("_async")]:
            one, other = getattr(owner, name.removesuffix("_async")), getattr(owner, name)
            assert inspect.signature(one) == inspect.signature(other)
            assert (one.__name__ + "_async", one.__doc__) == (other.__name__, other.__doc__)
            assert inspect.iscoroutinefunction(other)
            assert not inspect.iscoroutinefunction(one)
            found += 1
    assert found == 29
