"""A job's whole life over HTTP: a real server, real workers, a real task, a scripted model."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from nacl.public import PublicKey, SealedBox

from paretune.engine.verify import check_record
from paretune.views.run_view import read
from support.foreign_jobs import SEEDS_JOB
from support.paced_task import PacedTask, paced_task
from support.programs import KEY
from support.served import ANY, OFFLINE, ONLINE, POLICY, Server, job_document, named_job, serving, until

pytestmark = pytest.mark.timeout(240)
CANARY = "sk-canary-of-the-task"
V2 = "/api/v2/offline/jobs"


@pytest.fixture(scope="module")
def server(model: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server"), "--jobs", "3", **model) as served:
        yield served


@pytest.fixture(scope="module")
def words() -> Iterator[PacedTask]:
    """The task that finished jobs were done on."""
    with paced_task(key=KEY) as served:
        yield served


@pytest.fixture(scope="module")
def done(server: Server, words: PacedTask) -> dict[str, str]:
    """Path -> the job that was submitted there, finished. They ask for the same rollouts."""
    document = job_document(SEEDS_JOB, words.url)
    system = {"name": "words", "reuse": True}
    first = server.submit(document, OFFLINE, metadata={"owner": "me"}, system=system)
    server.until(first, "succeeded")
    jobs = {path: server.submit(document, path) for path in (ONLINE, POLICY, V2)}
    for job in jobs.values():
        server.until(job, "succeeded")
    return {OFFLINE: first, **jobs}


def test_every_dialect_gives_a_job_that_every_prefix_knows(
    server: Server, done: dict[str, str], words: PacedTask
) -> None:
    scores = set()
    for job_id in done.values():
        told = [server.get(f"{prefix}/{job_id}") for prefix in (ONLINE, POLICY, OFFLINE, V2, ANY)]
        assert all(each == told[0] for each in told)
        assert (told[0]["status"], told[0]["error"]) == ("succeeded", None)
        assert job_id.startswith("pl_")
        scores.add(told[0]["best_score"])
    assert len(scores) == 1
    assert words.repeated == []


def test_what_is_told_is_what_the_store_has(server: Server, done: dict[str, str], words: PacedTask) -> None:
    job_id = done[OFFLINE]
    told, results = server.job(job_id), server.get(f"{ANY}/{job_id}/results")
    page = server.get(f"{V2}/{job_id}/candidates", limit=1000)["items"]
    with server.kept() as (workspace, jobs):
        run_id = jobs.job(job_id).run_id
        view = read(workspace.store, run_id)
        assert check_record(workspace.store, run_id) == []
    best = view.best
    assert best is not None
    assert told["best_train_score"] == results["best_train_score"] == best.mean
    assert told["rollouts_completed"] == len(view.ledger.drawn) == words.total
    assert told["total_tokens"] == sum(spent.tokens for spent in view.ledger.by_role.values())
    assert told["best_candidate_id"] == best.id
    assert told["best_prompt"]["sections"][0]["content"] in best.components.values()
    assert {item["candidate_id"] for item in page} == set(view.rows)
    assert told["baseline_score"] == view.seed.mean < told["best_train_score"]
    assert told["metadata"]["owner"] == "me"


def test_events_come_in_pages_without_gaps(server: Server, done: dict[str, str]) -> None:
    job_id = done[OFFLINE]
    whole, paged = server.events(job_id), list[dict[str, Any]]()
    while page := server.events(job_id, since_seq=len(paged), limit=40):
        assert len(page) <= 40
        paged += page
    assert paged == whole
    assert [event["seq"] for event in whole] == list(range(1, len(whole) + 1))
    assert [event["type"].rpartition(".")[2] for event in whole[-2:]] == ["complete", "completed"]
    points = server.get(f"{ANY}/{job_id}/metrics")["points"]
    assert max(point["value"] for point in points) == server.job(job_id)["best_score"]


def test_a_stream_replays_and_ends(server: Server, done: dict[str, str]) -> None:
    job_id = done[OFFLINE]
    whole = server.events(job_id)
    assert list(server.stream(job_id)) == whole
    assert list(server.stream(job_id, since=100)) == whole[100:]
    assert list(server.stream(job_id, last_event_id="120")) == whole[120:]
    assert list(server.stream(job_id, since=len(whole))) == []


def test_candidates_page_by_page(server: Server, done: dict[str, str]) -> None:
    path = f"{V2}/{done[OFFLINE]}/candidates"
    whole = server.get(path)["items"]
    for sort in ("rank", "-created", "reward"):
        paged, cursor = list[str](), ""
        while cursor is not None:
            query = {"cursor": cursor} if cursor else {}
            page = server.get(path, limit=2, sort=sort, **query)
            paged += [item["candidate_id"] for item in page["items"]]
            cursor = page["next_cursor"]
        assert sorted(paged) == sorted(item["candidate_id"] for item in whole)
    best = server.get(f"{path}/{whole[0]['candidate_id']}")
    assert best == server.get(f"/api/candidates/{whole[0]['candidate_id']}") | {"job_id": best["job_id"]}
    assert best["artifact_payload"]["messages"]
    assert "artifact_payload" not in whole[0]


def test_artifacts_are_what_they_say(server: Server, done: dict[str, str]) -> None:
    path = f"{ANY}/{done[OFFLINE]}/artifacts"
    listed = server.get(path)["artifacts"]
    assert {"prompt.txt", "prompt.json"} <= {each["name"] for each in listed}
    for each in listed[:4]:
        one = server.get(f"{path}/{each['name']}")
        assert len(one["content"].encode()) == each["size_bytes"]
        assert one["sha256"] == each["sha256"]
    server.ask("GET", f"{path}/..%2f..%2fserver.key", 404)


def test_jobs_are_listed_by_page_and_filter(server: Server, done: dict[str, str]) -> None:
    found, cursor = list[str](), ""
    while cursor is not None:
        page = server.get(ANY, limit=2, **({"cursor": cursor} if cursor else {}))
        found += [item["job_id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert set(done.values()) <= set(found)
    assert len(found) == len(set(found))
    named = server.get(OFFLINE, system_name="words")["items"]
    assert named[-1]["job_id"] == done[OFFLINE]
    assert {item["system"]["name"] for item in named} == {"words"}
    system = named[-1]["system_id"]
    assert server.get(f"/api/v1/policy-optimization/systems/{system}")["name"] == "words"
    assert server.get(f"/api/systems/{system}/candidates")["items"]
    born = server.job(done[OFFLINE])["created_at"]
    older = server.get(ANY, created_before=born)["items"]
    assert not set(done.values()) & {item["job_id"] for item in older}


def test_a_restart_asks_for_nothing_that_its_parent_paid(
    server: Server, done: dict[str, str], words: PacedTask
) -> None:
    parent, asked = done[OFFLINE], words.total
    assert server.get(f"{ANY}/{parent}/checkpoint")["decisions"] > 10
    child = server.ask("POST", f"{ANY}/{parent}/restart-from-checkpoint")["child_job_id"]
    told = server.until(child, "succeeded")
    assert told["parent_job_id"] == parent
    assert told["best_score"] == server.job(parent)["best_score"]
    assert words.total == asked
    with server.kept() as (workspace, jobs):
        assert check_record(workspace.store, jobs.job(child).run_id) == []


def test_pause_and_resume_both_ways(server: Server, task: PacedTask) -> None:
    task.pace = 0.05
    job = server.submit(named_job(task.url, "rests"))
    server.at_step(job, 1)
    server.ask("POST", f"{ANY}/{job}/pause")
    rested = server.until(job, "paused")
    asked = task.total
    assert rested["rollouts_completed"] == asked  # those too that came home after the last decision
    child = server.ask("POST", f"{ANY}/{job}/restart_from_checkpoint")["child_job_id"]
    server.ask("PATCH", f"{ANY}/{job}", json={"state": "running"})
    server.ask("PATCH", f"{ANY}/{job}", json={"state": "paused"})
    server.ask("POST", f"{ANY}/{job}/resume")  # while it is coming to rest
    taken = server.until(job, "succeeded")["rollouts_completed"]
    assert server.until(child)["rollouts_completed"] == taken
    assert asked < task.total <= taken + (taken - asked)
    kinds = [event["type"].rpartition(".")[2] for event in server.events(job)]
    assert kinds.count("paused") == kinds.count("resumed")
    assert len(task.repeated) == 0


def test_cancel_wherever_a_job_is(server: Server, task: PacedTask, done: dict[str, str]) -> None:
    task.pace = 0.2
    document = named_job(task.url, "ends", max_concurrent=2)
    with paced_task(slow=60.0, key=KEY) as asleep:
        preparing = server.submit(named_job(asleep.url, "prepares"))
        running, paused, never = (server.submit(document) for _ in range(3))
        server.ask("POST", f"{ANY}/{never}/pause")
        server.until(preparing, "running")
        for job in (running, paused):
            until(partial(_has_begun, server, job), "the job to begin")
        queued = server.submit(document)
        assert server.job(queued)["state"] == "queued"
        assert server.ask("POST", f"{ANY}/{queued}/cancel")["status"] == "succeeded"
        server.ask("POST", f"{ANY}/{paused}/pause")
        server.until(paused, "paused")
        assert (
            server.ask("POST", f"{ANY}/{paused}/cancel", json={"reason": "no more"})["status"] == "succeeded"
        )
        for job in (preparing, running):
            assert server.ask("POST", f"{ANY}/{job}/cancel")["status"] in ("partial", "succeeded")
        for job in (preparing, running, paused, queued):
            assert server.until(job, "cancelled")["finished_at"]
            assert server.events(job)[-1]["type"].endswith(".job.cancelled")
            assert list(server.stream(job, since=10_000)) == []
            server.ask("POST", f"{ANY}/{job}/resume", 409)
        server.ask("DELETE", f"{ANY}/{queued}", 405)
    server.ask("POST", f"{ANY}/{never}/cancel")
    over = server.ask("POST", f"{ANY}/{done[OFFLINE]}/cancel")
    assert (over["status"], over["state"]) == ("failed", "succeeded")


def _has_begun(server: Server, job_id: str) -> bool:
    return bool(server.job(job_id)["phase"] == "bootstrap")


def test_a_sealed_key_reaches_the_task_and_nothing_else(
    model: Mapping[str, str], tmp_path: Path, task: PacedTask
) -> None:
    task.key, task.pace = CANARY, 0.0
    inline = "sk-canary-written-out"
    with serving(tmp_path, **model) as server:
        box = SealedBox(PublicKey(base64.b64decode(server.get("/api/v1/crypto/public-key")["public_key"])))
        sealed = base64.b64encode(box.encrypt(CANARY.encode())).decode()
        upload = {"name": "ENVIRONMENT_API_KEY", "ciphertext_b64": sealed}
        server.ask("POST", "/api/v1/env-keys", 201, json=upload)
        good = server.submit(job_document(SEEDS_JOB, task.url))
        document = job_document(SEEDS_JOB, task.url)
        document["prompt_learning"]["task_app_api_key"] = inline
        refused = server.submit(document)
        assert server.until(good, "succeeded")["best_score"]
        assert "401" in server.until(refused, "failed")["error"]
        assert task.keys == {CANARY, inline}
        paths = [
            f"{ANY}/{job}{rest}"
            for job in (good, refused)
            for rest in ("", "/events", "/results", "/artifacts")
        ]
        seen = [httpx.get(f"{server.url}{path}").content for path in (*paths, ANY)]
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 10
    for data in seen + written:
        for secret in (CANARY, inline, model["PARETUNE_PROPOSER_API_KEY"]):
            assert secret.encode() not in data
            assert base64.b64encode(secret.encode()) not in data


def test_a_quiet_stream_says_that_it_is_still_there(server: Server, task: PacedTask) -> None:
    job = server.submit(job_document(SEEDS_JOB, task.url), auto_start=False)
    with httpx.stream("GET", f"{server.url}{ANY}/{job}/events/stream", timeout=15) as answer:
        lines = answer.iter_lines()
        assert next(line for line in lines if line.startswith(": still"))
    server.ask("POST", f"{ANY}/{job}/cancel")
