"""What a stranger may send, one row each: a clear refusal, nothing kept, and never a traceback."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from support.foreign_jobs import SEEDS_JOB
from support.served import ANY, OFFLINE, ONLINE, Server, job_document, serving

UNKNOWN = f"{ANY}/pl_0123456789abcdef"
GOOD = job_document(SEEDS_JOB, "http://127.0.0.1:1")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("bad")) as served:
        yield served
        assert "Traceback" not in served.said()


@pytest.fixture(autouse=True)
def _nothing_is_kept(server: Server) -> Iterator[None]:
    yield
    assert server.get(ANY)["items"] == []
    with server.kept() as (workspace, jobs):
        assert jobs.secrets("") == {}
        assert workspace.store.runs() == []


def changed(**inner: Any) -> dict[str, Any]:
    """The good document with other values at the top, or in sections of `gepa` named `gepa__SECTION`."""
    document = json.loads(json.dumps(GOOD))
    for name, value in inner.items():
        at, *path = document["prompt_learning"], *name.split("__")
        for part in path[:-1]:
            at = at.setdefault(part, {})
        at[path[-1]] = value
    return dict(document)


def secret(text: str = "sk-canary") -> dict[str, Any]:
    return changed(task_app_api_key=text)


DOCUMENTS: list[tuple[str, dict[str, Any], str]] = [
    ("a budget that is a text", changed(gepa__rollout__budget="many"), "gepa.rollout.budget"),
    ("a negative budget", changed(gepa__rollout__budget=-1), "gepa.rollout.budget"),
    ("seeds that are a text", changed(gepa__evaluation__seeds="0-40"), "gepa.evaluation.seeds"),
    ("a section that is a list", changed(gepa=[]), "gepa"),
    ("no task app", changed(task_app_url=""), "task_app_url"),
    ("an address of no web", changed(task_app_url="file:///etc/passwd"), "task_app_url"),
    ("a password", changed(proposer={"base_url": "http://me:sk-canary@h/v1"}), "proposer.base_url"),
    ("an address that is a number", changed(task_app_url=5), "task_app_url"),
    ("an unknown algorithm", changed(algorithm="gradient"), "algorithm"),
    ("an unknown key", changed(gepa__rollout__bugdet=5), "budget"),
    ("no section", {"gepa": {}}, "prompt_learning"),
    ("a document that is a text", {"prompt_learning": "x"}, "prompt_learning"),
]


@pytest.mark.parametrize(("_what", "document", "named"), DOCUMENTS, ids=[row[0] for row in DOCUMENTS])
@pytest.mark.parametrize("path", [ONLINE, OFFLINE])
def test_a_document_that_cannot_be(
    server: Server, path: str, _what: str, document: dict[str, Any], named: str
) -> None:
    name = "config" if path == OFFLINE else "config_body"
    told = server.ask("POST", path, 422, json={name: document})
    assert named in told["detail"]
    assert told["error"]["code"] in ("misconfigured", "not_available")


def test_a_misspelt_key_is_told_the_right_one(server: Server) -> None:
    told = server.ask("POST", OFFLINE, 422, json={"config": changed(gepa__rollout__bugdet=5)})
    assert "bugdet" in told["detail"]


NOT_YET: list[tuple[dict[str, Any], str]] = [
    (changed(optimization_mode="context"), "optimization_mode"),
    (
        changed(policy={"model": "m", "provider": "openai", "context_override": {"a": "b"}}),
        "context_override",
    ),
    (changed(gepa__proposer_type="agent"), "gepa.proposer_type"),
]


@pytest.mark.parametrize(("document", "named"), NOT_YET, ids=[row[1] for row in NOT_YET])
def test_what_comes_later_is_refused_by_name(server: Server, document: dict[str, Any], named: str) -> None:
    told = server.ask("POST", ONLINE, 422, json={"config_body": document})
    assert told["detail"].startswith("not available yet: ")
    assert named in told["field"]


@pytest.mark.parametrize("path", ["/api/prompt-learning/online/mipro/sessions", "/api/v1/online/sessions"])
def test_online_sessions_come_later(server: Server, path: str) -> None:
    assert "not available yet: online sessions" in server.ask("POST", path, 422, json={})["detail"]


BODIES: list[tuple[str, bytes, int]] = [
    ("not JSON", b"{'config': 1}", 422),
    ("a list", b"[]", 422),
    ("a number", b"5", 422),
    ("nothing", b"", 422),
    ("no UTF-8", b'{"config": "\xff"}', 422),
    ("too deep", b'{"config":' * 300 + b"1" + b"}" * 300, 422),
    ("absurdly deep", b"[" * 2_000_000, 422),
    ("half a surrogate pair", json.dumps({"config": GOOD, "metadata": {"a": "\ud800"}}).encode(), 422),
    ("NUL", json.dumps({"config": GOOD, "metadata": {"a": "\x00"}}).encode(), 422),
    ("infinity", json.dumps({"config": GOOD, "metadata": {"a": float("inf")}}).encode(), 422),
    ("a number of 5000 digits", b'{"config": ' + b"9" * 5_000 + b"}", 422),
    ("metadata that is a text", json.dumps({"config": GOOD, "metadata": "x"}).encode(), 422),
    ("a system that is unknown", json.dumps({"config": GOOD, "system": {"id": "sys_none"}}).encode(), 404),
    ("a start that is a text", json.dumps({"config": GOOD, "auto_start": "yes"}).encode(), 422),
    ("a kind that is unknown", json.dumps({"config": GOOD, "kind": "x"}).encode(), 422),
    ("a key with a surrogate", json.dumps({"config": secret("\udfff")}).encode(), 422),
    ("17 MiB", b" " * (17 << 20), 413),
]


@pytest.mark.parametrize(("_what", "body", "status"), BODIES, ids=[row[0] for row in BODIES])
def test_a_body_that_cannot_be(server: Server, _what: str, body: bytes, status: int) -> None:
    told = server.ask("POST", OFFLINE, status, content=body)
    assert told["detail"]
    assert "sk-canary" not in json.dumps(told)


def test_an_id_that_a_system_has_already(server: Server) -> None:
    systems = "/api/v1/policy-optimization/systems"
    server.ask("POST", systems, 201, json={"name": "one", "id": "sys_taken"})
    server.ask("POST", systems, 409, json={"name": "another", "id": "sys_taken"})
    assert server.get(f"{systems}/sys_taken")["name"] == "one"


def test_a_body_without_a_length_is_cut_off(server: Server) -> None:
    server.ask("POST", OFFLINE, 413, content=(b" " * (1 << 20) for _ in range(17)))


QUESTIONS: list[tuple[str, int]] = [
    (UNKNOWN, 404),
    *((f"{UNKNOWN}/{what}", 404) for what in ("events", "events/stream", "metrics", "artifacts", "results")),
    (f"{UNKNOWN}/checkpoint", 404),
    (f"{UNKNOWN}/workflow-state", 404),
    (f"/api/v2/offline/jobs{UNKNOWN.removeprefix(ANY)}/candidates", 404),
    (f"{ANY}/nonsense", 422),
    (f"{ANY}/pl_%00", 404),
    (f"{ANY}/pl_%F0%9F%98%80", 422),
    (f"{ANY}/pl_{'a' * 5000}", 422),
    (f"{ANY}?cursor=nonsense", 422),
    (f"{ANY}?cursor=%FF%FE", 422),
    (f"{ANY}?cursor=MjAyNiBwbF8x", 200),
    (f"{ANY}?limit=0", 422),
    (f"{ANY}?limit=-1", 422),
    (f"{ANY}?limit=many", 422),
    (f"{ANY}?limit={10**40}", 422),
    (f"{ANY}?created_after=yesterday", 422),
    (f"{ANY}?created_after=0001-01-01T00:00:00%2B23:00", 422),
    (f"{ANY}?state=asleep", 422),
    (f"{UNKNOWN}/events?since_seq=-1", 422),
    (f"{UNKNOWN}/events?since_seq={10**40}", 404),
    (f"{UNKNOWN}/events?limit=0", 422),
    ("/api/candidates/c_none", 404),
    ("/api/candidates/%FF", 404),
    ("/api/systems/none/candidates?sort=beauty", 422),
    ("/api/systems/none/candidates?include=everything", 422),
    ("/api/systems/none/candidates?limit=9999999", 422),
    ("/api/systems/none/candidates?cursor=AAAA", 422),
    ("/api/systems/none/candidates?job_id=pl_1", 404),
    ("/api/v1/policy-optimization/systems/none", 404),
    ("/nowhere", 404),
]


@pytest.mark.parametrize(("path", "status"), QUESTIONS, ids=[row[0][:60] for row in QUESTIONS])
def test_a_question_that_cannot_be(server: Server, path: str, status: int) -> None:
    told = server.ask("GET", path, status)
    assert status == 200 or told["detail"]


@pytest.mark.parametrize(
    ("name", "sealed"),
    [
        ("PATH", "QUJD"),
        ("A B", "QUJD"),
        ("", ""),
        ("ENVIRONMENT_API_KEY", "not base64"),
        ("ENVIRONMENT_API_KEY", "QUJD"),
        ("X_API_KEY", "A" * 70_000),
        ("LD_PRELOAD_KEY\n", "QUJD"),
    ],
)
def test_a_key_that_cannot_be_opened_is_not_kept(server: Server, name: str, sealed: str) -> None:
    server.ask("POST", "/api/v1/env-keys", 422, json={"name": name, "ciphertext_b64": sealed})
    with server.kept() as (_, jobs):
        assert name not in jobs.secrets("")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": ""}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[abc"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Origin": "http://localhost:3000"}, 200),
        ({"Host": "localhost:1"}, 200),
    ],
)
def test_another_host_or_origin(server: Server, headers: Mapping[str, str], status: int) -> None:
    answer = httpx.get(f"{server.url}{ANY}", headers=headers)
    assert answer.status_code == status
