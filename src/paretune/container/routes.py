"""The HTTP routes of a container, the same for both dialects."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from paretune.container.body import NotJson, parse_json, storable
from paretune.container.desk import Desk, Record
from paretune.container.documents import (
    About,
    health_document,
    info_document,
    rollout_document,
    state_document,
    task_info_document,
    taskset_document,
)
from paretune.container.examples import Row
from paretune.container.gate import Gate, error_body
from paretune.container.messages import ROLLOUT_ID
from paretune.container.program import program_layout
from paretune.container.prompt import BadRequest, Prompt, Result, read_prompt
from paretune.core.canonical import JsonValue

log = logging.getLogger("paretune.container")
MAX_REQUEST = 16 * 1024 * 1024
SECRET_NAME = re.compile(r"key|token|secret|password|credential", re.IGNORECASE)

Task = Callable[[Prompt, int | Row], Awaitable[Result]]


def build_app(about: About, task: Task, keys: frozenset[str]) -> FastAPI:
    """The ASGI application of a container; `keys` open it, see Gate."""
    app = FastAPI(title=about.name, version=about.version, docs_url=None, redoc_url=None)
    app.add_middleware(Gate, keys=keys)
    app.add_exception_handler(BadRequest, _refused)
    _add_documents(app, about, auth=bool(keys))
    _add_rollouts(app, about, Rollouts(about, task, keys))
    return app


def _add_documents(app: FastAPI, about: About, *, auth: bool) -> None:
    @app.api_route("/", methods=["GET", "HEAD"])
    async def root() -> JSONResponse:
        return JSONResponse({"status": "ok", "service": about.name})

    @app.get("/health")
    async def health() -> JSONResponse:
        return JSONResponse(health_document(auth))

    @app.get("/metadata")
    @app.get("/info")
    async def info() -> JSONResponse:
        return JSONResponse(info_document(about))

    @app.get("/task_info")
    async def task_info(request: Request) -> JSONResponse:
        seeds = asked_seeds([*request.query_params.getlist("seed"), *request.query_params.getlist("seeds")])
        found = [task_info_document(about, seed) for seed in seeds] or [task_info_document(about)]
        return JSONResponse(storable(found[0] if len(found) == 1 else found))

    @app.get("/taskset")
    async def taskset() -> JSONResponse:
        return JSONResponse(taskset_document(about))

    @app.post("/taskset/tasks")
    async def tasks(request: Request) -> JSONResponse:
        asked = await read_object(request)
        ids = asked.get("task_ids") or []
        if not isinstance(ids, list):
            raise BadRequest("bad_task_ids", "task_ids must be a list")
        rows = about.examples.listed(str(asked.get("split") or ""), [str(one) for one in ids])
        return JSONResponse({"tasks": storable(rows), "metadata": {"version": about.version}})

    @app.get("/program")
    async def program() -> JSONResponse:
        if about.program is None:
            raise BadRequest("no_program", "this container has no program", 404)
        return JSONResponse(about.program)

    @app.post("/done")
    async def done() -> JSONResponse:
        return JSONResponse({"ok": True, "service": about.name})


def _add_rollouts(app: FastAPI, about: About, rollouts: Rollouts) -> None:
    @app.post("/rollout")
    @app.post("/rollouts")
    async def rollout(request: Request) -> JSONResponse:
        return await rollouts.post(await read_object(request))

    @app.get("/rollouts/{rollout_id}")
    async def record(rollout_id: str) -> JSONResponse:
        return rollouts.show(rollout_id, whole=True)

    @app.get("/rollouts/{rollout_id}/state")
    async def state(rollout_id: str) -> JSONResponse:
        return rollouts.show(rollout_id, whole=False)

    @app.post("/rollouts/{rollout_id}/terminate")
    async def terminate(rollout_id: str) -> JSONResponse:
        return rollouts.terminate(rollout_id)


class Rollouts:
    """Answers the rollout routes."""

    def __init__(self, about: About, task: Task, keys: frozenset[str]) -> None:
        self._about = about
        self._task = task
        self._keys = keys
        self._layout = program_layout(about.program)
        self._desk = Desk(self._run)

    async def post(self, request: Mapping[str, JsonValue]) -> JSONResponse:
        rollout_id = asked_id(request)
        read_prompt(request, self._layout)
        self._about.examples.of_request(request)
        task = self._desk.submit(rollout_id, request)
        if request.get("submission_mode") == "async":
            return JSONResponse(self._state(rollout_id, task))
        await asyncio.wait([task])
        return self._finished(rollout_id, task)

    def show(self, rollout_id: str, *, whole: bool) -> JSONResponse:
        task = self._desk.find(rollout_id)
        if task is None:
            raise BadRequest("unknown_rollout", f"there is no rollout {rollout_id[:128]!r}", 404)
        if whole and task.done() and not task.cancelled() and task.exception() is None:
            return JSONResponse(task.result())
        return JSONResponse(self._state(rollout_id, task))

    def terminate(self, rollout_id: str) -> JSONResponse:
        task = self._desk.find(rollout_id)
        if task is not None:
            task.cancel()
        return self.show(rollout_id, whole=False)

    async def _run(self, rollout_id: str, request: Mapping[str, JsonValue]) -> Record:
        began = datetime.now(UTC)
        prompt = read_prompt(request, self._layout)
        name, example = self._about.examples.of_request(request)
        result = await self._task(prompt, example)
        document = rollout_document(self._about, rollout_id, name, result, began)
        return {**document, "trace_correlation_id": request.get("trace_correlation_id") or rollout_id}

    def _finished(self, rollout_id: str, task: asyncio.Task[Record]) -> JSONResponse:
        if task.cancelled():
            return JSONResponse(
                error_body("terminated", "the rollout was terminated", rollout_id=rollout_id), 409
            )
        error = task.exception()
        if error is None:
            return JSONResponse(task.result())
        if isinstance(error, BadRequest):
            raise error
        log.error("rollout %s failed", rollout_id, exc_info=error)
        body = error_body("rollout_failed", self._told(error), rollout_id=rollout_id)
        return JSONResponse(body, 500)

    def _state(self, rollout_id: str, task: asyncio.Task[Record]) -> Record:
        if not task.done():
            return state_document(rollout_id, "running")
        if task.cancelled():
            return state_document(rollout_id, "terminated")
        error = task.exception()
        if error is not None:
            return state_document(rollout_id, "failed", detail=self._told(error))
        return state_document(rollout_id, "completed", began=task.result()["created_at"])

    def _told(self, error: BaseException) -> str:
        """The error in a line, without keys of this container or of its environment."""
        text = f"{type(error).__name__}: {error}"[:500]
        secret = [value for name, value in os.environ.items() if SECRET_NAME.search(name) and len(value) >= 8]
        for value in (*self._keys, *secret):
            text = text.replace(value, "[hidden]")
        return text


def asked_id(request: Mapping[str, JsonValue]) -> str:
    """The id of a rollout request, a new one if it has none. Raises BadRequest."""
    value = request.get("rollout_id") or request.get("trace_correlation_id")
    if value is None:
        return "ro_" + uuid.uuid4().hex
    if not isinstance(value, str) or not ROLLOUT_ID.fullmatch(value):
        raise BadRequest("bad_rollout_id", "rollout_id must be 1 to 128 URL-safe characters")
    return value


def asked_seeds(values: list[str]) -> list[int]:
    """The seeds in `seed=1&seed=2` or `seeds=1,2`. Raises BadRequest."""
    try:
        return [int(part) for value in values for part in value.split(",") if part.strip()]
    except ValueError:
        raise BadRequest("bad_seed", "seeds must be whole numbers") from None


async def read_object(request: Request) -> Mapping[str, JsonValue]:
    """The JSON object in the body. Raises BadRequest(400, 413)."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_REQUEST:
            raise BadRequest("too_large", f"the request is larger than {MAX_REQUEST:,} bytes", 413)
    try:
        body = storable(parse_json(bytes(data)))
    except NotJson as error:
        raise BadRequest("not_json", str(error), 400) from None
    if not isinstance(body, dict):
        raise BadRequest("not_an_object", "the body must be a JSON object", 400)
    return body


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, BadRequest)
    return JSONResponse(error_body(error.code, str(error)), error.status)
