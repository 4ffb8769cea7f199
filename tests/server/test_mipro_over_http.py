"""A MIPRO job from the SDK's `MIPROConfig.simple` to its best prompt, against a live server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from paretune.config import MIPROConfig, PromptLearningConfig
from paretune.container import Container, Prompt, Result
from paretune.sdk import PolicyOptimizationJob
from support.chat_server import chat_server
from support.foreign_jobs import EDITED
from support.programs import KEY
from support.served import Server, serving

pytestmark = pytest.mark.timeout(240)
RULE = "Use capitals."
MESSAGES = [
    {"role": "system", "content": "Name the colour of the box."},
    {"role": "user", "content": "Box {box}:"},
]


def boxes() -> Container:
    """A third of the boxes is easy, a third wants a rule, a third wants solved examples first."""
    task = Container("boxes", seeds=range(120), api_key=KEY)

    @task.rollout
    def rollout(prompt: Prompt, seed: int) -> Result:
        messages = prompt.messages(box=f"box {seed}")
        assert messages[-1]["content"].startswith(f"Box box {seed}:")
        shown = any(message["role"] == "assistant" for message in messages)
        right = (True, RULE in messages[0]["content"], shown)[seed % 3]
        feedback = "" if right else f"The prompt must say: {RULE}"
        said = f"COLOUR {seed % 7}" if right else "grey"
        return Result(
            float(right), input=f"box {seed}", output=said, expected=f"COLOUR {seed % 7}", feedback=feedback
        )

    return task


def writer(prompt: str) -> str:
    """Adds the rule; it is asked several times, and says so in other words."""
    number = len(re.findall("[aeiou]", prompt)) % 90
    blocks = [f"```{name}\n{text} {RULE} Note {number}.\n```" for name, _, text in EDITED.findall(prompt)]
    return "Rule added.\n" + "\n".join(blocks)


def document(url: str) -> dict[str, Any]:
    mipro = MIPROConfig.simple(
        task_app_url=url,
        task_app_api_key="$ENVIRONMENT_API_KEY",
        env_name="boxes",
        rollout_budget=200,
        initial_prompt_messages=MESSAGES,
        bootstrap_seeds=list(range(12)),
        online_seeds=list(range(12, 36)),
        test_seeds=list(range(36, 54)),
        num_iterations=4,
        num_evaluations_per_iteration=3,
        batch_size=9,
    )
    config = PromptLearningConfig(
        algorithm="mipro", task_app_url=url, task_app_api_key="$ENVIRONMENT_API_KEY", mipro=mipro
    )
    return config.to_dict()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    with (
        boxes().running() as task,
        chat_server(writer) as model,
        serving(tmp_path_factory.mktemp("mipro"), PARETUNE_PROPOSER_BASE_URL=model) as server,
    ):
        yield server, task


def test_from_the_sdk_to_the_best_prompt(served: tuple[Server, str]) -> None:
    server, task = served
    job = PolicyOptimizationJob.from_dict(
        document(task), algorithm="mipro", backend_url=server.url, api_key="none", localapi_api_key=KEY
    )
    job_id = job.submit()
    status = job.poll_until_complete(timeout=60, interval=0.2)
    assert status.succeeded, status
    found = job.get_results()
    assert found["best_score"] == 1.0
    text = job.get_best_prompt_text(1)
    assert text is not None
    assert RULE in text
    turns = [line for line in text.splitlines() if line.startswith("[")]
    assert turns[0].startswith("[system")
    assert turns[-1].startswith("[user")
    assert any(turn.startswith("[assistant") for turn in turns)
    held = [one for one in found["validation_results"] if not one["is_baseline"]]
    assert [one["accuracy"] for one in held] == [1.0]

    told = server.events(job_id, limit=10_000)
    kinds = {event["type"] for event in told}
    assert {"mipro.trial.complete", "learning.policy.mipro.trial.completed", "mipro.job.completed"} <= kinds
    assert told[-1]["type"] == "learning.policy.mipro.job.completed"
    page = server.get(f"/api/v1/offline/jobs/{job_id}/candidates", algorithm="mipro")
    assert page["items"][0]["is_best"]
    assert {item["candidate_type"] for item in page["items"]} == {"initial", "tpe_selected"}
    assert server.job(job_id)["best_score"] == 1.0


def test_both_algorithms_in_one_job(served: tuple[Server, str]) -> None:
    server, task = served
    made = document(task)
    inner = made["prompt_learning"]
    inner["algorithm"] = "gepa+mipro"
    inner["gepa"] = {
        "rollout": {"budget": 320, "minibatch_size": 4, "max_concurrent": 4},
        "evaluation": {"train_seeds": list(range(36)), "test_pool": list(range(36, 54))},
        "population": {"initial_size": 1},
    }
    inner["initial_prompt"] = {"messages": [{"role": m["role"], "pattern": m["content"]} for m in MESSAGES]}
    job_id = server.submit(made)
    server.until(job_id, "succeeded")
    told = [event["type"] for event in server.events(job_id, limit=10_000)]
    assert told[-1] == "learning.policy.gepa.job.completed"
    assert told.count("prompt.learning.termination.triggered") == 1
    assert "mipro.trial.complete" in told
    assert server.job(job_id)["best_score"] == 1.0
