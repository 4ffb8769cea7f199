"""Every route of the OpenAPI document, with parameters and bodies that nobody thought of: never a 5xx."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from paretune.engine.workspace import Workspace
from paretune.server.app import Settings, opened
from support.foreign_jobs import SEEDS_JOB
from support.served import OFFLINE, job_document

GOOD = job_document(SEEDS_JOB, "http://127.0.0.1:1")
FIELDS = (
    *("config", "config_body", "state", "reason", "metadata", "system", "name", "ciphertext_b64", "id"),
    *("kind", "technique", "auto_start", "config_mode", "reuse", "algorithm"),
)
WORDS = (
    "",
    "0",
    "-1",
    "gepa",
    "rank",
    "paused",
    "cancelled",
    "succeeded",
    "pl_",
    "\x00",
    "é",
    "🙂",
    "../x",
    "2026-01-02T03:04:05Z",
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.sampled_from(WORDS)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
BODIES = st.one_of(
    VALUES,
    st.dictionaries(st.sampled_from(FIELDS), st.one_of(VALUES, st.just(GOOD)), max_size=5),
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4).map(lambda more: {"config": GOOD, **more}),
)


class Asked:
    """The application without its workers, called in this process; a loop of its own."""

    def __init__(self, app: Any, runner: asyncio.Runner) -> None:
        self._runner = runner
        # What an application raises is what uvicorn would answer with 500.
        transport = httpx.ASGITransport(app)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://localhost")
        self.job = self.ask("POST", OFFLINE, json={"config": GOOD}).json()["job_id"]
        self.routes = [
            (method.upper(), path, [p["name"] for p in route.get("parameters", []) if p["in"] == "query"])
            for path, routes in self.ask("GET", "/openapi.json").json()["paths"].items()
            for method, route in routes.items()
            if not path.endswith("/stream")  # a job that nobody runs streams for ever
        ]

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self._runner.run(self._client.request(method, path, **more))


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    place: Path = tmp_path_factory.mktemp("fuzz") / "jobs.sqlite"
    with (
        Workspace.open(str(place), new=True) as workspace,
        opened(workspace, Settings(waiting=100_000)) as (app, _),
        asyncio.Runner() as runner,
    ):
        yield Asked(app, runner)


@settings(
    max_examples=400,
    deadline=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
@pytest.mark.timeout(240)
def test_no_route_answers_with_a_server_error(asked: Asked, data: st.DataObject) -> None:
    method, path, names = data.draw(st.sampled_from(asked.routes))
    ids = st.one_of(st.just(asked.job), st.sampled_from(WORDS), st.text(max_size=12))
    path = re.sub(r"\{[^}]*\}", lambda _: _quoted(data.draw(ids)), path)
    names = sorted({*names, "limit", "cursor", "sort", "status", "include", "job_id"})
    values = st.one_of(st.sampled_from(WORDS), st.integers().map(str), st.text(max_size=12))
    query = data.draw(st.dictionaries(st.sampled_from(names), values, max_size=4))
    body = data.draw(BODIES) if method in ("POST", "PATCH") else None
    content = None if body is None else _json(body)
    answer = asked.ask(method, path, params={k: _sendable(v) for k, v in query.items()}, content=content)
    assert answer.status_code < 500, answer.text


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _sendable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _quoted(text: str) -> str:
    return quote(_sendable(text), safe="") or "-"
