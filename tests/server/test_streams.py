"""What holds a connection: streams that are open, and bodies that do not come."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from paretune.server import door
from paretune.server.door import Door, NoKeys, Refusal
from paretune.server.streams import Streams

HERE = "http://127.0.0.1:1"
STREAM = "/api/jobs/pl_1/events/stream"


async def test_no_more_streams_are_open_than_may_be() -> None:
    end = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == STREAM:
            await end.wait()
        await PlainTextResponse("done")(scope, receive, send)

    transport = httpx.ASGITransport(Streams(app, 2))
    async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
        opened = [asyncio.create_task(client.get(STREAM)) for _ in range(2)]
        await asyncio.sleep(0.01)
        for path in (STREAM, "/console/runs/run_1/live"):
            refused = await client.get(path)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
            assert refused.json()["error"]["code"] == "too_many_streams"
        assert (await client.get("/api/jobs")).text == "done"
        opened[0].cancel()  # its reader has left
        await asyncio.sleep(0.01)
        opened.append(asyncio.create_task(client.get(STREAM)))
        await asyncio.sleep(0.01)
        end.set()
        assert [(await each).status_code for each in opened[1:]] == [200, 200]


@pytest.mark.parametrize(("pieces", "status"), [([b"a", b"b"], 200), ([b"a"], 408)])
async def test_a_body_that_does_not_come_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, pieces: list[bytes], status: int
) -> None:
    monkeypatch.setattr(door, "BODY_SECONDS", 0.05)
    sent = list[Message]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = PlainTextResponse(await Request(scope, receive).body())
        except Refusal as refusal:
            await refusal.response()(scope, receive, send)
            return
        left = asyncio.ensure_future(receive())  # who streams listens whether its reader leaves
        await asyncio.sleep(0.1)
        assert not left.done()
        left.cancel()
        await answer(scope, receive, send)

    async def receive() -> Message:
        if not pieces:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces) or status == 408}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1")]
    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    await Door(app, NoKeys())(scope, receive, send)
    assert sent[0]["status"] == status
