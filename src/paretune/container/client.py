"""A client for task containers of either dialect. One attempt per call: who retries stands elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from paretune.container.answers import check_id, has_failed, is_active, read_answer
from paretune.container.body import json_text, storable
from paretune.container.deadline import Deadline
from paretune.container.messages import RolloutCall, build_request
from paretune.container.wire import DEFAULT_MAX_BYTES, Reply, Timeouts, Wire
from paretune.core.canonical import JsonValue, digest
from paretune.core.errors import AttemptFailed, FailureKind
from paretune.core.rollout import Answer

__all__ = ["ContainerClient", "ContainerInfo", "Timeouts", "task_identity"]

ABSENT = frozenset({404, 405, 501})
"""Statuses by which a server says that it has no such route."""

VOLATILE = (
    "time",
    "date",
    "uptime",
    "started",
    "request_id",
    "session",
    "nonce",
    "host",
    "url",
    "port",
    "pid",
)
TASK_IDENTITY = ("task_id", "task_instance_id", "example_id", "id")
META_SECONDS = 30.0
"""The longest wait for anything but a rollout."""
DEFAULT_TIMEOUTS = Timeouts()


@dataclass(frozen=True, slots=True)
class ContainerInfo:
    """What a container says about itself.

    `version` is a digest of `raw` without what changes by itself (times, addresses): it changes when the
    task does. `contract` is the advertised v2 contract version, empty for the older dialect.
    """

    task_id: str
    version: str
    contract: str = ""
    raw: Mapping[str, JsonValue] = field(default_factory=dict)


class ContainerClient:
    """Talks to one container. Use it as an async context manager.

    `api_key` goes out as X-API-Key and as Authorization: Bearer; `headers` are added and win. All methods
    raise AttemptFailed; secrets never stand in its text.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        max_bytes: int = DEFAULT_MAX_BYTES,
        connections: int = 100,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        keys = {"X-API-Key": api_key, "Authorization": f"Bearer {api_key}"} if api_key else {}
        self.wire = Wire(
            url,
            {**keys, **(headers or {})},
            timeouts=timeouts,
            max_bytes=max_bytes,
            connections=connections,
            now=now,
        )

        self._meta = min(META_SECONDS, timeouts.total)
        self._deadline = Deadline(timeouts.total)

    async def __aenter__(self) -> Self:
        await self.wire.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.wire.__aexit__(kind, error, trace)

    @property
    def url(self) -> str:
        return self.wire.url

    async def health(self) -> Mapping[str, JsonValue]:
        """GET /health. An unhealthy container is a failure (SERVER_ERROR)."""
        body = await self._object("/health")
        if body.get("healthy") is False or has_failed(body) or body.get("status") in ("unhealthy", "down"):
            raise AttemptFailed(
                FailureKind.SERVER_ERROR, f"/health says that it is not well: {dict(body)}"[:300]
            )
        return body

    async def info(self) -> ContainerInfo:
        """GET /metadata, else /info; without either, an empty ContainerInfo."""
        raw = await self._optional("/metadata")
        if raw is None:
            raw = await self._optional("/info")
        return describe(raw or {})

    async def task_info(self, seeds: Sequence[int] = ()) -> JsonValue:
        """GET /task_info: of the set, of one seed (an object) or of several (a list); None without it."""
        query = "?" + "&".join(f"seed={seed}" for seed in seeds) if seeds else ""
        reply = await self.wire.exchange("GET", "/task_info" + query, total=self._meta)
        return None if reply.status in ABSENT and not seeds else self.wire.read(reply, "GET /task_info")

    async def program(self) -> Mapping[str, JsonValue] | None:
        """GET /program, None where there is none."""
        return await self._optional("/program")

    async def taskset(self) -> Mapping[str, JsonValue] | None:
        """GET /taskset, None where there is none."""
        return await self._optional("/taskset")

    async def tasks(self, split: str, ids: Sequence[str]) -> list[dict[str, JsonValue]]:
        """POST /taskset/tasks: one row per id, in the order of `ids`.

        Raises AttemptFailed(BAD_ANSWER) unless these and only these rows come, each once.
        """
        asked = {"split": split, "task_ids": list(ids), "filters": {}}
        reply = await self.wire.exchange("POST", "/taskset/tasks", asked, total=self._meta)
        return in_order(self.wire.read(reply, "POST /taskset/tasks"), ids)

    async def rollout(self, call: RolloutCall) -> Answer:
        """POST /rollout, and polls where the container answers later. `total` seconds for all of it."""
        return await self.ask(call.rollout_id, json_text(build_request(call)).encode())

    async def ask(self, rollout_id: str, request: bytes) -> Answer:
        """What `rollout` does, with the body of its request as it goes out."""
        accepted = False
        try:
            with self._deadline.running():
                reply = await self.wire.send("POST", "/rollout", request)
                body = self.wire.read(reply, "POST /rollout")
                if answers_later(reply, body):
                    accepted = True
                    body = await self.finish(body, rollout_id)
        except TimeoutError:
            if accepted:
                await self._terminate(rollout_id)
            message = f"rollout {rollout_id} had no answer within {self._deadline.seconds:g} s"
            raise AttemptFailed(FailureKind.TIMEOUT, message) from None
        try:
            return read_answer(body, rollout_id)
        except AttemptFailed as error:
            raise self.wire.hidden(error) from None

    async def finish(self, body: JsonValue, rollout_id: str) -> JsonValue:
        """Poll a rollout that was only accepted; its finished record. Waits without a deadline of its own."""
        if isinstance(body, Mapping):
            check_id(body, rollout_id)
        path = f"/rollouts/{rollout_id}"
        while True:
            await asyncio.sleep(self.wire.timeouts.poll)
            reply = await self.wire.exchange("GET", path + "/state")
            if reply.status in ABSENT:
                reply = await self.wire.exchange("GET", path)
            state = self.wire.read(reply, f"GET {path}/state")
            if not is_active(state):
                break
        return self.wire.read(await self.wire.exchange("GET", path), f"GET {path}")

    async def _terminate(self, rollout_id: str) -> None:
        """Tell a container that nobody waits any more; without such a route it goes on, and that is fine."""
        try:
            path = f"/rollouts/{rollout_id}/terminate"
            await self.wire.exchange("POST", path, {"reason": "deadline"}, total=2.0)
        except AttemptFailed:
            return

    async def _optional(self, path: str) -> Mapping[str, JsonValue] | None:
        reply = await self.wire.exchange("GET", path, total=self._meta)
        if reply.status in ABSENT:
            return None
        return _as_object(self.wire.read(reply, f"GET {path}"), path)

    async def _object(self, path: str) -> Mapping[str, JsonValue]:
        reply = await self.wire.exchange("GET", path, total=self._meta)
        return _as_object(self.wire.read(reply, f"GET {path}"), path)


def describe(raw: Mapping[str, JsonValue]) -> ContainerInfo:
    """The task id, version digest and contract in the body of /metadata or /info."""
    task = _at(raw, "service", "task") or {}
    names = (
        task.get("id") if isinstance(task, Mapping) else task,
        _at(raw, "runtime", "runtime_id"),
        _at(raw, "task", "task_id"),
        raw.get("task_id"),
        _at(raw, "service", "name"),
        _at(raw, "runtime", "name"),
        raw.get("service"),
        raw.get("name"),
        raw.get("id"),
    )
    task_id = next((name for name in names if isinstance(name, str) and name), "")
    contract = _at(raw, "metadata", "optimizer_contracts", "gepa", "version")
    return ContainerInfo(task_id, digest(_stable(raw)), contract if isinstance(contract, str) else "", raw)


def task_identity(row: Mapping[str, JsonValue]) -> str:
    """The id of a task row: the first of task_id, task_instance_id, example_id, id; empty without one."""
    for name in TASK_IDENTITY:
        value = row.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            return str(value)
    return ""


def in_order(body: JsonValue, ids: Sequence[str]) -> list[dict[str, JsonValue]]:
    """The rows of a /taskset/tasks answer in the order of `ids`. Raises AttemptFailed(BAD_ANSWER)."""
    listed = body.get("tasks") if isinstance(body, Mapping) else None
    if not isinstance(listed, list) or not all(isinstance(row, dict) for row in listed):
        raise AttemptFailed(FailureKind.BAD_ANSWER, '/taskset/tasks must answer {"tasks": [objects]}')
    rows = {task_identity(row): row for row in listed}
    if "" in rows:
        raise AttemptFailed(FailureKind.BAD_ANSWER, "a task row has no task_id")
    if len(rows) != len(listed):
        raise AttemptFailed(
            FailureKind.BAD_ANSWER, f"{len(listed)} task rows, only {len(rows)} different ids"
        )
    missing = [one for one in ids if one not in rows]
    extra = sorted(rows.keys() - set(ids))
    if missing or extra:
        message = (
            f"{len(ids)} tasks asked, {len(listed)} came; missing {missing[:5]}, not asked for {extra[:5]}"
        )
        raise AttemptFailed(FailureKind.BAD_ANSWER, message)
    return [storable(rows[one]) for one in ids]


def answers_later(reply: Reply, body: JsonValue) -> bool:
    """True if the rollout was only accepted: it is to be polled."""
    said = isinstance(body, dict) and bool(body.get("reward_info") or body.get("status"))
    return is_active(body) or (reply.status == 202 and not said)


def _as_object(body: JsonValue, path: str) -> Mapping[str, JsonValue]:
    if not isinstance(body, Mapping):
        message = f"GET {path} must answer a JSON object, not {type(body).__name__}"
        raise AttemptFailed(FailureKind.BAD_ANSWER, message)
    return body


def _at(value: JsonValue, *path: str) -> JsonValue:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _stable(value: JsonValue) -> JsonValue:
    if isinstance(value, Mapping):
        kept = {key: inner for key, inner in value.items() if not _volatile(str(key))}
        return {str(key): _stable(inner) for key, inner in kept.items()}
    if isinstance(value, list):
        return [_stable(inner) for inner in value]
    return str(value) if isinstance(value, float) else value


def _volatile(key: str) -> bool:
    words = key.lower().replace("-", "_").split("_")
    return key.lower() in VOLATILE or any(word in VOLATILE for word in words) or words[-1] == "at"
