"""The demo on the real embedded model: it improves, and what was paid for is not asked again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paretune.cli.demo import ANSWER_TOKENS, SLOTS
from paretune.demo import TASKS
from paretune.demo.container import demo_container
from paretune.demo.job import demo_document
from paretune.llm.chat import ChatModel
from paretune.llm.local import LocalModel
from paretune.views.lift import lift_table
from paretune.views.run_view import read
from support.chat_server import chat_server
from support.foreign_jobs import EDITED
from support.programs import json_lines, paretune
from support.served import OVER, serving, until

pytestmark = [pytest.mark.model, pytest.mark.timeout(900)]

BUDGET = "640"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


def demo(folder: Path, *options: str, **variables: str) -> dict[str, Any]:
    done = paretune("demo", "--json", "--budget", BUDGET, *options, cwd=folder, timeout=800, **variables)
    assert done.returncode == 0, done.stderr
    return json_lines(done.stdout)[-1]


def test_operators_improve_it_and_a_second_run_asks_for_nothing(workspace: Path) -> None:
    first = demo(workspace)
    test = next(lift for lift in first["result"]["lift"] if lift["split"] == "test")
    assert test["comparison"]["difference"]["n"] >= 120
    assert test["comparison"]["difference"]["low"] > 0
    second = demo(workspace)
    assert second["usage"]["by_role"]["rollout"]["calls"] == 0
    for key in ("best", "test", "rollouts", "stopped"):
        assert second["result"][key] == first["result"][key]


def test_a_reflective_proposer_over_http_improves_it_too(workspace: Path) -> None:
    def reflect(prompt: str) -> str:
        texts = {
            "system": "How much money is this message about? "
            "Answer with the number only, digits only, no words.",
            "user": "Text: {text}\nAnswer:",
        }
        blocks = [f"```{name}\n{texts[name]}\n```" for name, _, _ in EDITED.findall(prompt)]
        return "The answers are buried in sentences.\n" + "\n".join(blocks)

    with chat_server(reflect) as url:
        told = demo(workspace, "--proposer", "reflect", PARETUNE_PROPOSER_BASE_URL=url)
    test = next(lift for lift in told["result"]["lift"] if lift["split"] == "test")
    assert test["after"] > test["before"]


def test_without_proposals_there_is_no_gain(workspace: Path) -> None:
    told = demo(workspace, "--proposer", "none")
    assert told["result"]["best"]["id"] == told["result"]["seed"]["id"]
    assert not [lift for lift in told["result"]["lift"] if lift["role"] == "best"]


def test_a_job_through_a_server_ends_with_its_lift(tmp_path: Path) -> None:
    task = TASKS["money"]
    with LocalModel(slots=SLOTS) as local, serving(tmp_path) as server:
        model = ChatModel(local.base_url, local.model, None, temperature=0.0, max_tokens=ANSWER_TOKENS)
        with demo_container(task, model).running() as url:
            document = demo_document(task, url, seed=0, budget=int(BUDGET), proposer="operators", slots=SLOTS)
            job_id = server.submit(document)
            until(lambda: server.job(job_id)["state"] in OVER, "the job to end", patience=800)
    with server.kept() as (workspace, jobs):
        job = jobs.job(job_id)
        assert (job.state, job.detail) == ("succeeded", "")
        lifts = lift_table(read(workspace.store, job.run_id))
    test = next(lift for lift in lifts if lift.role == "best" and lift.split == "test")
    assert test.comparison.is_gain
    assert job.standing["best_score"] > job.standing["baseline_score"]
