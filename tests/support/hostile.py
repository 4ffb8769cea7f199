"""A task and a model whose every text tries to be more than text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paretune.container import Container, Prompt, Result
from paretune.container.prompt import BadRequest
from support.chat_server import chat_server
from support.foreign_jobs import EDITED
from support.programs import KEY
from support.served import Server, serving

TAGS = (
    "</script><script data-hostile>window.hostile=1</script>"
    '<img data-hostile src=x onerror="window.hostile=1">'
    '<svg data-hostile onload="window.hostile=1"></svg></textarea></title></template><!--'
)
BRACES = "{{7*7}} {% raw %} ${7*7} #{7*7}"
LINK = (
    "javascript:window.hostile=1 [x](javascript:window.hostile=1) <a data-hostile href='javascript:1'>x</a>"
)
BIDI = "\u202edesrever\u2066\u200f"
HOSTILE = f"{TAGS} {BRACES} {LINK} {BIDI}"
NAME = f"run {TAGS} {BRACES}"
RULES = ("be brief", "answer in English", "name the item", "use capitals", "no doubt")


def example(number: int) -> str:
    """An id, as a task may give it."""
    return f"{number:02d}<img data-hostile src=x onerror=window.hostile=1>'\"&"


def wanted(number: int) -> str:
    return RULES[number % len(RULES)]


@contextmanager
def hostile_task() -> Iterator[str]:
    """Its address. An answer is right if the prompt says the one thing that the item is about; every ninth
    item fails with an error."""
    rows: dict[str, dict[str, Any]] = {
        example(number): {"number": number, "question": f"{number} {HOSTILE}"} for number in range(60)
    }
    task = Container("hostile", examples=rows, api_key=KEY, description=HOSTILE)

    @task.rollout
    def rollout(prompt: Prompt, row: dict[str, Any]) -> Result:
        number = int(row["number"])
        if number % 9 == 5:
            raise BadRequest("unknown_task", f"item {number}: {HOSTILE}")
        text = "\n".join(prompt.components.values())
        right = wanted(number) in text
        said = "right" if right else f"The prompt must say: {wanted(number)}."
        return Result(
            float(right),
            feedback=f"{said} {HOSTILE}",
            input=f"{number} {HOSTILE}",
            output=f"answer {number} {HOSTILE}",
            expected=f"expected {number} {HOSTILE}",
            trace={"messages": [{"role": HOSTILE, "content": HOSTILE, "tool_calls": [{"name": HOSTILE}]}]},
            objectives={f"speed {TAGS[:60]}": 1.0 - number / 100},
        )

    with task.running() as url:
        yield url


def hostile_model(prompt: str) -> str:
    """It says what the feedback asks for, among other things."""
    asked = dict.fromkeys(re.findall(r"The prompt must say: ([^\n.]+)\.", prompt))
    blocks = []
    for name, _, text in EDITED.findall(prompt):
        fresh = [rule for rule in asked if rule not in text]
        more = f"\n{fresh[0]} {HOSTILE}" if fresh else ""
        blocks.append(f"```{name}\n{text}{more}\n```")
    return f"Because {HOSTILE}\n" + "\n".join(blocks)


def hostile_job(url: str, budget: int = 150) -> dict[str, Any]:
    """A job document for the task at this address."""
    seed = [{"role": "system", "pattern": f"Answer the question. {HOSTILE}", "order": 0}]
    return {
        "prompt_learning": {
            "algorithm": "gepa",
            "task_app_id": NAME,
            "task_app_url": url,
            "task_app_api_key": "$ENVIRONMENT_API_KEY",
            "initial_prompt": {"id": "hostile", "messages": seed},
            "task_pools": {
                "reflection": [example(number) for number in range(20)],
                "pareto": [example(number) for number in range(20, 40)],
                "test": [example(number) for number in range(40, 60)],
            },
            "gepa": {
                "rollout": {"budget": budget, "minibatch_size": 5, "max_concurrent": 4},
                "population": {"initial_size": 1},
            },
        }
    }


def hostile_trials(url: str) -> dict[str, Any]:
    """A job document of a MIPRO search: instructions and demonstrations are as hostile as the rest."""
    seed = [{"role": "system", "pattern": f"Answer the question, {RULES[0]}. {HOSTILE}", "order": 0}]
    return {
        "prompt_learning": {
            "algorithm": "mipro",
            "task_app_id": NAME,
            "task_app_url": url,
            "task_app_api_key": "$ENVIRONMENT_API_KEY",
            "initial_prompt": {"id": "hostile", "messages": seed},
            "mipro": {
                "env_name": "hostile",
                "num_iterations": 4,
                "num_evaluations_per_iteration": 3,
                "batch_size": 5,
                "max_concurrent": 4,
                "max_instructions": 4,
                "max_demo_sets": 3,
                "bootstrap_train_seeds": {"start": 0, "end": 12},
                "online_pool": {"start": 12, "end": 24},
                "test_pool": {"start": 24, "end": 30},
            },
        }
    }


@dataclass(frozen=True)
class HostileRun:
    """A server with one finished run, whose every text tries to be more than text."""

    server: Server
    job_id: str
    run_id: str


@contextmanager
def hostile_run(folder: Path) -> Iterator[HostileRun]:
    """Made here: it takes some seconds."""
    with (
        hostile_task() as task,
        chat_server(hostile_model) as model,
        serving(folder, PARETUNE_PROPOSER_BASE_URL=model) as server,
    ):
        job_id = server.submit(hostile_job(task))
        server.until(job_id, "succeeded")
        with server.kept() as (_, jobs):
            run_id = jobs.job(job_id).run_id
        yield HostileRun(server, job_id, run_id)
