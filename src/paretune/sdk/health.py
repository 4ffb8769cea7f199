"""Is the task app there, and does it take the key? Asked before a job is submitted."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from paretune.sdk.errors import InvalidJob, Unreachable, redact
from paretune.sdk.flow import Flow, Reply, Request

SECONDS = 10.0
ABSENT = frozenset({404, 405, 501})
"""Statuses by which a server says that it has no such route."""
SKIP = "skip_health_check=True leaves this check out, where only the server can reach the task app"


def check_task_app(url: str, api_key: str, environment: Mapping[str, str] = os.environ) -> Flow[None]:
    """GET /health and /task_info. Raises InvalidJob (a ValueError) that says what to do."""
    aliases = [part.strip() for part in environment.get("ENVIRONMENT_API_KEY_ALIASES", "").split(",")]
    keys = [key for key in (api_key, *aliases) if key]
    headers = {"X-API-Key": api_key, "Authorization": f"Bearer {api_key}"} if api_key else {}
    if keys:
        headers["X-API-Keys"] = ",".join(keys)
    health = yield from _get(url, "/health", headers)
    _judge_health(url, health, keys)
    # Containers of the second contract describe themselves elsewhere.
    for path in ("/task_info", "/metadata", "/info"):
        reply = yield from _get(url, path, headers)
        if reply.status not in ABSENT:
            break
    if reply.status in ABSENT:
        _refuse(url, "has no /task_info: is it a task app?")
    _judge(url, path, reply, keys)
    if _json(reply) is None:
        _refuse(url, f"answers {path} with something that is not JSON: is it a task app?")


def _get(url: str, path: str, headers: Mapping[str, str]) -> Flow[Reply]:
    try:
        reply: Reply = yield Request("GET", url.rstrip("/") + path, headers, timeout=SECONDS)
    except Unreachable as error:
        cause = redact(error.cause, headers.values())
        _refuse(url, f"does not answer at {path} ({cause}): start it, or mend task_app_url; {SKIP}")
    return reply


def _judge_health(url: str, reply: Reply, keys: list[str]) -> None:
    answer = _json(reply)
    body = answer if isinstance(answer, dict) else {}
    if reply.status in (401, 403):
        # It is up and tells which key it wants; whether ours will do is for the next question.
        expects = "expected prefix" in str(body.get("detail", "")).lower()
        if body.get("expected_api_key_prefix") or expects:
            return
    _judge(url, "/health", reply, keys)
    if body.get("healthy") is False or body.get("status") in ("unhealthy", "down"):
        _refuse(url, f"says that it is not well: {redact(reply.text, keys)[:200]}")


def _judge(url: str, path: str, reply: Reply, keys: list[str]) -> None:
    if reply.status == 200:
        return
    said = redact(reply.text.strip(), keys)[:200]
    unauthorised = reply.status in (401, 403) or (reply.status == 400 and "unauthori" in said.lower())
    if unauthorised:
        _refuse(
            url, f"refuses the key at {path} ({reply.status}): set ENVIRONMENT_API_KEY to its key; {said}"
        )
    _refuse(url, f"answers {reply.status} at {path}: {said or 'without a text'}; {SKIP}")


def _json(reply: Reply) -> Any:
    try:
        return json.loads(reply.text)
    except (ValueError, RecursionError):
        return None


def _refuse(url: str, problem: str) -> None:
    raise InvalidJob("task app", f"{url} {problem}")
