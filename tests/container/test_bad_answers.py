"""One row per bad answer: a typed failure that says what is wrong, never a score."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from container.far_side import Respond, far_side, http, sends
from paretune.container.client import ContainerClient, Timeouts
from paretune.container.messages import RolloutCall
from paretune.core.errors import AttemptFailed, FailureKind

KEY = "sk-not-for-anyones-eyes"
NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
FAST = Timeouts(connect=1.0, read=0.3, total=1.0, poll=0.01)


def call(rollout_id: str = "ro_1") -> RolloutCall:
    return RolloutCall(rollout_id, "run", "c_1", {"prompt": "Hi"}, {"seed": 3})


def rewarded(value: str) -> Callable[[str], bytes]:
    return http(f'{{"rollout_id": "ID", "reward_info": {{"outcome_reward": {value}}}}}')


async def hangs(writer: asyncio.StreamWriter, rollout_id: str) -> None:
    await asyncio.sleep(1.5)


async def trickles(writer: asyncio.StreamWriter, rollout_id: str) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{")
    for _ in range(15):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.1)


async def closes(writer: asyncio.StreamWriter, rollout_id: str) -> None:
    return None


async def closes_midway(writer: asyncio.StreamWriter, rollout_id: str) -> None:
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"reward_info": ')
    await writer.drain()


async def floods(writer: asyncio.StreamWriter, rollout_id: str) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(50):
        writer.write(b"100000\r\n" + b" " * 0x100000 + b"\r\n")
        await writer.drain()


BOMB = gzip.compress(b" " * 60_000_000)
ROWS: list[tuple[str, Respond, FailureKind, str]] = [
    ("not JSON", sends(http("all fine")), FailureKind.NOT_JSON, "begins 'all fine'"),
    ("empty", sends(http("")), FailureKind.NOT_JSON, "empty body"),
    ("HTML", sends(http("<html>Hi", kind="text/html; charset=utf-8")), FailureKind.NOT_JSON, "text/html"),
    ("invalid UTF-8", sends(http(b'{"reward": "\xff"}')), FailureKind.NOT_JSON, "invalid UTF-8"),
    ("deep", sends(http("[" * 10_000 + "]" * 10_000)), FailureKind.NOT_JSON, "nested"),
    ("250 deep", sends(http("[" * 250 + "]" * 250)), FailureKind.NOT_JSON, "nested"),
    ("a list", sends(http("[1]")), FailureKind.NOT_JSON, "JSON list, not an object"),
    ("unasked encoding", sends(http("x", Content_Encoding="br")), FailureKind.NOT_JSON, "'br'"),
    ("not HTTP", sends(lambda _: b"SSH-2.0-OpenSSH_9\r\n"), FailureKind.NOT_JSON, "not HTTP"),
    ("NaN", sends(rewarded("NaN")), FailureKind.BAD_REWARD, "nan"),
    ("infinite", sends(rewarded("1e999")), FailureKind.BAD_REWARD, "inf"),
    ("huge whole number", sends(rewarded("1" + "0" * 400)), FailureKind.BAD_REWARD, "inf"),
    ("string reward", sends(rewarded('"0.5"')), FailureKind.BAD_REWARD, "string"),
    ("boolean reward", sends(rewarded("true")), FailureKind.BAD_REWARD, "boolean"),
    ("null reward", sends(rewarded("null")), FailureKind.BAD_REWARD, "null"),
    ("no reward", sends(http('{"rollout_id": "ID", "score": 1}')), FailureKind.NO_REWARD, "outcome_reward"),
    ("wrong id", sends(http('{"rollout_id": "x", "reward": 1}')), FailureKind.WRONG_ID, "'ro_1' was asked"),
    (
        "bad objective",
        sends(http('{"reward": 1, "objective_scores": [{"objective": "cost", "value": "low"}]}')),
        FailureKind.BAD_REWARD,
        "objective cost",
    ),
    (
        "failed task",
        sends(http('{"status": "failed", "status_detail": "no model", "reward": 0}')),
        FailureKind.TASK_FAILED,
        "no model",
    ),
    (
        "infrastructure",
        sends(http('{"success_status": "runtime_error", "reward": 0}')),
        FailureKind.TASK_FAILED,
        "runtime_error",
    ),
    ("500", sends(http("boom", "500 Oops")), FailureKind.SERVER_ERROR, "500: boom"),
    ("504", sends(http("late", "504 Late")), FailureKind.TIMEOUT, "504"),
    ("404", sends(http("no such seed", "404 No")), FailureKind.REFUSED, "404: no such seed"),
    ("401", sends(http("who?", "401 No")), FailureKind.UNAUTHORISED, "key"),
    ("400", sends(http('{"code": "unauthorised"}', "400 No")), FailureKind.UNAUTHORISED, "key"),
    ("redirect", sends(http("", "307 Go", Location="/x")), FailureKind.REDIRECT, "redirect to /x"),
    ("silence", hangs, FailureKind.TIMEOUT, "0.3 s"),
    ("a trickle", trickles, FailureKind.TIMEOUT, "1 s"),
    ("closed", closes, FailureKind.CLOSED, "closed"),
    ("closed midway", closes_midway, FailureKind.CLOSED, "closed"),
    ("50 MB", floods, FailureKind.TOO_LARGE, "16,777,216"),
    ("gzip bomb", sends(http(BOMB, Content_Encoding="gzip")), FailureKind.TOO_LARGE, "16,777,216"),
    ("echoed key", sends(http(f"bad key {KEY}", "403 No")), FailureKind.UNAUTHORISED, "[hidden]"),
]


@pytest.mark.parametrize(("respond", "kind", "says"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
async def test_a_bad_answer_is_a_typed_failure(respond: Respond, kind: FailureKind, says: str) -> None:
    async with far_side(respond) as (url, heads), ContainerClient(url, KEY, timeouts=FAST) as client:
        with pytest.raises(AttemptFailed) as caught:
            await client.rollout(call())
    assert caught.value.kind is kind, caught.value
    assert says in caught.value.message
    assert KEY not in str(caught.value)
    assert len(heads) == 1, "one attempt per call"


async def test_nobody_listening_is_unreachable() -> None:
    async with ContainerClient("http://127.0.0.1:1", timeouts=FAST) as client:
        with pytest.raises(AttemptFailed) as caught:
            await client.rollout(call())
    assert caught.value.kind is FailureKind.UNREACHABLE


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("inf", None),
    ],
)
@pytest.mark.parametrize("status", ["429 Slow", "503 Busy"])
async def test_retry_after_is_read_as_seconds_or_as_a_date(
    status: str, header: str, seconds: float | None
) -> None:
    respond = sends(http("slow down", status, Retry_After=header))
    async with far_side(respond) as (url, _), ContainerClient(url, now=lambda: NOW) as client:
        with pytest.raises(AttemptFailed) as caught:
            await client.rollout(call())
    assert caught.value.kind is FailureKind.RATE_LIMITED
    assert caught.value.retry_after == seconds


async def test_a_gzipped_answer_is_read() -> None:
    body = gzip.compress(json.dumps({"reward": 0.5}).encode())
    respond = sends(http(body, Content_Encoding="gzip"))
    async with far_side(respond) as (url, heads), ContainerClient(url, KEY) as client:
        assert (await client.rollout(call())).reward == 0.5
    assert f"X-API-Key: {KEY}" in heads[0]
    assert f"Authorization: Bearer {KEY}" in heads[0]


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with far_side(sends(rewarded("1"))) as (url, _), ContainerClient(url) as client:
        assert (await client.rollout(call())).reward == 1.0
