"""A far side that sends exactly the bytes a test wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Respond = Callable[[asyncio.StreamWriter, str], Awaitable[None]]
"""(writer, rollout id of the request) -> sends an answer, or something else."""


@asynccontextmanager
async def far_side(respond: Respond) -> AsyncIterator[tuple[str, list[str]]]:
    """A server on loopback; its address, and the request heads it saw."""
    heads: list[str] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            heads.append(head)
            length = next(
                (int(x.split(":")[1]) for x in head.split("\r\n") if x.lower().startswith("content-l")), 0
            )
            body = json.loads(await reader.readexactly(length)) if length else {}
            await respond(writer, body.get("rollout_id", ""))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heads
    finally:
        server.close()


def http(
    body: bytes | str, status: str = "200 OK", kind: str = "application/json", **headers: str
) -> Callable[[str], bytes]:
    """A whole HTTP answer; ID in the body is replaced by the rollout's id."""

    def render(rollout_id: str) -> bytes:
        data = (body.encode() if isinstance(body, str) else body).replace(b"ID", rollout_id.encode())
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(data)}", "Connection: close"]
        lines += [f"Content-Type: {kind}"] if kind else []
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + data

    return render


def sends(render: Callable[[str], bytes]) -> Respond:
    async def respond(writer: asyncio.StreamWriter, rollout_id: str) -> None:
        writer.write(render(rollout_id))
        await writer.drain()

    return respond
