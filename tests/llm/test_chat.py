"""The chat client against a scripted endpoint on loopback: real HTTP, one row per failure."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import subprocess
import sys
import time
import traceback
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from paretune.core.errors import AttemptFailed, FailureKind, Misconfigured
from paretune.core.retry import RetryPolicy, retrying
from paretune.llm.chat import LARGEST_ANSWER, ChatModel
from paretune.llm.prices import Price

KEY = "sk-secret-0123456789"
HELLO = [{"role": "user", "content": "hello"}]


@dataclass
class Asked:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Reply:
    """Bytes to send, and what to do with the connection after them: keep, close, hang."""

    raw: bytes
    then: str = "keep"


@dataclass
class Far:
    """An endpoint that plays its replies in order, the last one again and again."""

    url: str = ""
    replies: list[Reply] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    slowly: float = 0.0
    open: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.open.add(task)
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
            writer.close()
            await writer.wait_closed()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            writer.transport.abort()
            await asyncio.sleep(0)
        self.open.discard(task)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.asked.append(Asked(first.split()[1], headers, json.loads(body) if body else None))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        for piece in [reply.raw] if not self.slowly else map(bytes, zip(reply.raw)):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(self.slowly)
        if reply.then == "hang":
            await reader.read()
        return reply.then == "keep"


def http(status: int, body: bytes | str, *headers: str, then: str = "keep") -> Reply:
    payload = body.encode() if isinstance(body, str) else body
    head = [f"HTTP/1.1 {status} X", f"content-length: {len(payload)}", *headers]
    return Reply("\r\n".join([*head, "", ""]).encode() + payload, then)


def answer(text: object = "hi", finish: str = "stop", **extra: Any) -> Reply:
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    body = {"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage, **extra}
    return http(200, json.dumps(body), "content-type: application/json")


@pytest.fixture
async def far() -> AsyncIterator[Far]:
    far = Far()
    server = await asyncio.start_server(far.serve, "127.0.0.1", 0)
    far.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    yield far
    server.close()
    for task in far.open:
        task.cancel()
    await asyncio.gather(*far.open, return_exceptions=True)


def model(far: Far, **settings: Any) -> ChatModel:
    return ChatModel(far.url, "gpt-4o-mini", KEY, **{"timeout": 10.0, **settings})


async def ask(far: Far, *replies: Reply, **settings: Any) -> AttemptFailed:
    """The failure of one call."""
    far.replies = list(replies)
    async with model(far, **settings) as chat:
        with pytest.raises(AttemptFailed) as caught:
            await chat.complete(HELLO)
    return caught.value


async def test_one_answer(far: Far) -> None:
    far.replies = [answer("four")]
    async with model(far, temperature=0.5, max_tokens=77) as chat:
        completion = await chat.complete([{"role": "system", "content": "count"}, *HELLO])
    assert (completion.text, completion.finish_reason) == ("four", "stop")
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (1000, 100)
    assert completion.usage.cost_usd == pytest.approx(1000 * 0.15e-6 + 100 * 0.60e-6)
    [asked] = far.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.body == {
        "model": "gpt-4o-mini",
        "messages": [{"role": "system", "content": "count"}, *HELLO],
        "temperature": 0.5,
        "max_tokens": 77,
        "stream": False,
    }


REFUSED = json.dumps({"error": {"message": f"bad key {KEY}", "code": "x"}})
QUOTA = json.dumps({"error": {"message": "pay", "code": "insufficient_quota"}})
NO_CHOICES = json.dumps({"choices": []})
TEXT_IS_NUMBER = json.dumps({"choices": [{"message": {"content": 3}}]})
INNER_429 = json.dumps({"error": {"code": 429, "message": "slow down"}})
INNER_WORDS = json.dumps({"error": "no"})
CHUNKED = "HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n"

ROWS: list[tuple[str, Reply, FailureKind]] = [
    ("400", http(400, REFUSED), FailureKind.REFUSED),
    ("401", http(401, REFUSED), FailureKind.UNAUTHORISED),
    ("403", http(403, REFUSED), FailureKind.UNAUTHORISED),
    ("404", http(404, "no"), FailureKind.REFUSED),
    ("408", http(408, "late"), FailureKind.TIMEOUT),
    ("413", http(413, "big"), FailureKind.REFUSED),
    ("422", http(422, REFUSED), FailureKind.REFUSED),
    ("429", http(429, "wait"), FailureKind.RATE_LIMITED),
    ("429, nothing left to spend", http(429, QUOTA), FailureKind.REFUSED),
    ("500", http(500, REFUSED), FailureKind.SERVER_ERROR),
    ("502, HTML", http(502, "<html>bad gateway</html>"), FailureKind.SERVER_ERROR),
    ("503", http(503, ""), FailureKind.SERVER_ERROR),
    ("302", http(302, "", "location: http://127.0.0.1:1/v1"), FailureKind.REDIRECT),
    ("307", http(307, "", "location: /elsewhere"), FailureKind.REDIRECT),
    ("HTML with 200", http(200, "<html>log in</html>"), FailureKind.NOT_JSON),
    ("nothing with 200", http(200, ""), FailureKind.NOT_JSON),
    ("nested too deep", http(200, "[" * 100_000), FailureKind.NOT_JSON),
    ("a list", http(200, "[]"), FailureKind.BAD_ANSWER),
    ("null", http(200, "null"), FailureKind.BAD_ANSWER),
    ("no choices", http(200, NO_CHOICES), FailureKind.BAD_ANSWER),
    ("text is a number", http(200, TEXT_IS_NUMBER), FailureKind.BAD_ANSWER),
    ("an error with 200", http(200, INNER_WORDS), FailureKind.BAD_ANSWER),
    ("a limit with 200", http(200, INNER_429), FailureKind.RATE_LIMITED),
    ("closed at once", Reply(b"", "close"), FailureKind.CLOSED),
    ("closed in the body", Reply(http(200, "x" * 99).raw[:-50], "close"), FailureKind.CLOSED),
    ("closed in a chunk", Reply(f"{CHUNKED}ff\r\nabc".encode(), "close"), FailureKind.CLOSED),
    ("no HTTP", Reply(b"SSH-2.0-OpenSSH\r\n\r\n", "close"), FailureKind.CLOSED),
    ("broken gzip", http(200, "zip", "content-encoding: gzip"), FailureKind.BAD_ANSWER),
]


@pytest.mark.parametrize(("reply", "kind"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
async def test_failures_are_typed_and_the_key_stays_secret(far: Far, reply: Reply, kind: FailureKind) -> None:
    failure = await ask(far, reply)
    assert failure.kind is kind
    assert "gpt-4o-mini at http://127.0.0.1" in failure.message
    assert len(failure.message) < 600
    assert KEY not in "".join(traceback.format_exception(failure)) + repr(failure)
    assert failure.__context__ is None or failure.__suppress_context__
    assert len(far.asked) == 1, "one attempt a call"


async def test_unreachable() -> None:
    chat = ChatModel("http://127.0.0.1:1/v1", "m", KEY)
    with pytest.raises(AttemptFailed) as caught:
        await chat.complete(HELLO)
    await chat.aclose()
    assert caught.value.kind is FailureKind.UNREACHABLE
    assert caught.value.retryable


async def test_no_answer_in_time(far: Far) -> None:
    failure = await ask(far, Reply(b"", "hang"), timeout=0.2)
    assert failure.kind is FailureKind.TIMEOUT


async def test_the_deadline_holds_for_the_whole_call_however_it_trickles(far: Far) -> None:
    far.slowly = 0.05
    began = time.monotonic()
    failure = await ask(far, answer(), timeout=0.4)
    assert failure.kind is FailureKind.TIMEOUT
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
async def test_too_large(far: Far, packed: bool) -> None:
    body = b" " * (LARGEST_ANSWER + 1)
    reply = http(200, gzip.compress(body), "content-encoding: gzip") if packed else http(200, body)
    failure = await ask(far, Reply(reply.raw, "close"))
    assert failure.kind is FailureKind.TOO_LARGE


async def test_retry_after(far: Far) -> None:
    assert (await ask(far, http(429, "", "retry-after: 7"))).retry_after == 7
    assert (await ask(far, http(503, "", "retry-after: 0.5"))).retry_after == 0.5
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    wait = (await ask(far, http(429, "", f"retry-after: {later}"))).retry_after
    assert wait is not None
    assert 50 < wait <= 60
    for nonsense in ("soon", "nan", "inf", ""):
        assert (await ask(far, http(429, "", f"retry-after: {nonsense}"))).retry_after is None


async def test_an_idle_connection_that_was_closed_is_asked_again(far: Far) -> None:
    far.replies = [answer("one"), Reply(b"", "close"), answer("two")]
    async with model(far) as chat:
        assert (await chat.complete(HELLO)).text == "one"

        async def attempt(number: int) -> str:
            return (await chat.complete(HELLO)).text

        policy = RetryPolicy(attempts=3, base=0.0)
        assert await retrying(attempt, policy, sleep=asyncio.sleep, rng=random.Random(0)) == "two"
    assert (len(far.asked), far.connections) == (3, 2), "the closed one was a kept connection"


async def test_cancelling_is_not_a_failure(far: Far) -> None:
    far.replies = [Reply(b"", "hang")]
    async with model(far) as chat:
        call = asyncio.create_task(chat.complete(HELLO))
        await asyncio.sleep(0.3)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_nothing_comes_from_the_environment(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-of-somebody")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-somebody")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-of-somebody")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer sk-of-somebody")
    far.replies = [answer()]
    for key in (KEY, None):
        async with ChatModel(far.url, "m", key) as chat:
            assert (await chat.complete(HELLO)).text == "hi"
    first, second = far.asked
    assert first.headers["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in second.headers
    assert "somebody" not in str(first.headers) + str(second.headers)


async def test_a_client_of_ones_own_stays_open(far: Far) -> None:
    import httpx2

    far.replies = [answer()]
    async with httpx2.AsyncClient() as client:
        async with model(far, http_client=client) as chat:
            await chat.complete(HELLO)
        assert not client.is_closed


@pytest.mark.parametrize("name", ["gpt-5", "openai/gpt-5.4-mini", "o4-mini", "gpt-5-2025-08-07"])
async def test_reasoning_models_are_asked_their_way(far: Far, name: str) -> None:
    far.replies = [answer()]
    async with ChatModel(far.url, name, KEY, temperature=0.7, max_tokens=9) as chat:
        await chat.complete(HELLO)
    body = far.asked[0].body
    assert body["max_completion_tokens"] == 9
    assert not {"temperature", "max_tokens"} & body.keys()


async def test_what_models_may_answer(far: Far) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]
    far.replies = [
        answer(None, "length"),
        answer(parts),
        answer("\ud800 odd"),
        answer(usage=None),
        answer(usage={"prompt_tokens": -1, "completion_tokens": True}),
    ]
    async with model(far) as chat:
        empty, joined, odd, uncounted, nonsense = [
            await chat.complete([{"role": "user", "content": "\udfff"}]) for _ in range(5)
        ]
    assert (empty.text, empty.finish_reason) == ("", "length")
    assert joined.text == "ab"
    assert odd.text == "? odd"
    assert uncounted.usage.cost_usd is None
    assert nonsense.usage.tokens == 0
    assert far.asked[0].body["messages"][0]["content"] == "?"


async def test_prices_of_ones_own_go_first(far: Far) -> None:
    far.replies = [answer()]
    async with model(far, price=Price(1.0, 2.0)) as chat:
        assert (await chat.complete(HELLO)).usage.cost_usd == pytest.approx(0.0012)
    async with ChatModel(far.url, "nobody-knows", KEY) as chat:
        assert (await chat.complete(HELLO)).usage.cost_usd is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: ChatModel("ftp://host/v1", "m", None),
        lambda: ChatModel("host/v1", "m", None),
        lambda: ChatModel(f"https://me:{KEY}@host/v1", "m", None),
        lambda: ChatModel(f"https://host/v1?key={KEY}", "m", None),
        lambda: ChatModel("https://host/v1", "m", f"{KEY}\nX: y"),
        lambda: ChatModel("https://host/v1", "m", f"{KEY}é"),
    ],
)
def test_what_cannot_work_is_said_at_once(make: Callable[[], ChatModel]) -> None:
    with pytest.raises(Misconfigured) as caught:
        make()
    assert KEY not in str(caught.value)


def test_identity_names_host_model_and_settings_but_no_port_and_no_key() -> None:
    one = ChatModel("http://127.0.0.1:8000/v1", "m", KEY, temperature=1.0)
    assert one.identity == "127.0.0.1/m temperature=1.0"
    assert one.identity == ChatModel("http://127.0.0.1:9/v1/", "m", None, temperature=1.0).identity
    assert one.identity != ChatModel("http://127.0.0.1:8000/v1", "m", KEY, temperature=0.0).identity
    assert KEY not in repr(one)


def test_importing_the_module_does_not_import_the_client() -> None:
    code = "import sys, paretune.llm.chat; sys.exit('openai' in sys.modules or 'httpx2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
