"""Task apps that are down, slow, strange or closed: the job fails, and says why and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.paced_task import PacedTask, garbage, paced_task
from support.programs import KEY, free_port
from support.served import ANY, Server, named_job, serving

SECRET = "sk-canary-of-the-task"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Its proposals come from operators: no model is asked."""
    with serving(tmp_path_factory.mktemp("tasks"), "--jobs", "2") as served:
        yield served
        assert "Traceback" not in served.said()


def failed(server: Server, url: str, **inner: Any) -> str:
    """How the job on the task at this address failed."""
    document = named_job(url, "bad")
    document["prompt_learning"] |= {"task_app_api_key": SECRET, **inner}
    document["prompt_learning"]["gepa"]["proposer_type"] = "operators"
    job = server.submit(document)
    error: str = server.until(job, "failed")["error"]
    whole = str(server.events(job)) + str(server.get(f"{ANY}/{job}/results")) + error
    assert SECRET not in whole
    assert "Traceback" not in whole
    assert server.events(job)[-1]["data"]["error"] == error
    return error


def test_a_task_that_is_down(server: Server) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    error = failed(server, url)
    assert url in error
    assert "refused" in error.lower() or "connect" in error.lower()


def test_a_task_that_wants_another_key(server: Server) -> None:
    with paced_task(key=KEY) as task:
        error = failed(server, task.url)
    assert "401" in error
    assert "key" in error.lower()


def test_a_task_that_does_not_answer_in_time(server: Server) -> None:
    with paced_task(slow=8.0) as task:
        error = failed(server, task.url, container={"timeout_seconds": 1})
    assert "1 s" in error


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b"<html>hello", "text/html"),
        (200, b"[" * 100_000, "application/json"),
        (200, b"\xff\xfe", "application/json"),
        (200, b'{"ok": true}', "application/json"),
        (200, f'{{"error": "bad key {SECRET}"}}'.encode(), "application/json"),
        (500, f"it broke: key={SECRET}".encode(), "text/plain"),
        (302, b"", "text/plain"),
        (404, b"", "text/plain"),
    ],
)
def test_a_task_that_answers_garbage(server: Server, status: int, body: bytes, kind: str) -> None:
    with garbage(status, body, kind) as url:
        assert len(failed(server, url)) > 20


def test_other_jobs_go_on_beside_a_strange_document(server: Server, task: PacedTask) -> None:
    document = named_job(task.url, "null")
    document["prompt_learning"]["gepa"] |= {"rollout": None, "proposer_type": "operators"}
    document["prompt_learning"]["gepa"]["population"] = {"num_generations": 1, "children_per_generation": 1}
    task.pace = 0.0
    assert server.until(server.submit(document), "succeeded")
