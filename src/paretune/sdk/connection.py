"""Plays flows over httpx: once blocking, once in asyncio. Nothing else in the SDK does I/O."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from paretune.sdk.errors import SdkError, Unreachable
from paretune.sdk.flow import Close, Flow, NextLine, Open, Reply, Request, Sleep, Step

T = TypeVar("T")

CONNECT_SECONDS = 10.0
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Connection:
    """How requests go out and time passes. The defaults are the network and the clock.

    `transport` and `async_transport` are httpx transports; `now` is in seconds from any beginning.
    """

    transport: httpx.BaseTransport | None = None
    async_transport: httpx.AsyncBaseTransport | None = None
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    sleep_async: Callable[[float], Awaitable[None]] = asyncio.sleep

    def run(self, flow: Flow[T]) -> T:
        """The flow's result, blocking until it is there."""
        try:
            with _Blocking(self) as wire:
                step = next(flow)
                while True:
                    try:
                        outcome = wire.play(step)
                    except SdkError as error:
                        step = flow.throw(error)
                    else:
                        step = flow.send(outcome)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        finally:
            flow.close()

    async def run_async(self, flow: Flow[T]) -> T:
        """The flow's result, without blocking the loop."""
        try:
            async with _Awaiting(self) as wire:
                step = next(flow)
                while True:
                    try:
                        outcome = await wire.play(step)
                    except SdkError as error:
                        step = flow.throw(error)
                    else:
                        step = flow.send(outcome)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        finally:
            flow.close()


NETWORK = Connection()


@cache
def _tls() -> ssl.SSLContext:
    """Made once: it reads all certificates, which takes longer than a request to this machine."""
    return httpx.create_ssl_context()


@contextmanager
def _translated(url: str) -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError, ValueError) as error:
        what = str(error) or type(error).__name__
        kind = "no answer in time" if isinstance(error, httpx.TimeoutException) else what
        raise Unreachable(url, kind) from error


def _timeouts(request: Request) -> httpx.Timeout:
    return httpx.Timeout(request.timeout, connect=min(CONNECT_SECONDS, request.timeout))


def _wanted(request: Request) -> dict[str, Any]:
    return {
        "method": request.method,
        "url": request.url,
        "headers": dict(request.headers),
        "params": dict(request.params) or None,
        "json": None if request.body is None else dict(request.body),
        "timeout": _timeouts(request),
    }


def _head(response: httpx.Response) -> Reply:
    return Reply(response.status_code, {key.lower(): value for key, value in response.headers.items()})


def _whole(response: httpx.Response) -> Reply:
    head = _head(response)
    return Reply(head.status, head.headers, response.text)


def _is_stream(head: Reply) -> bool:
    return head.status == 200 and head.content_type == EVENT_STREAM


class _Cutter:
    """Cuts bytes into lines at line feeds only: texts hold what Unicode calls the end of a line, too."""

    def __init__(self) -> None:
        self.rest = b""

    def cut(self, chunk: bytes) -> list[str]:
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        return [line.removesuffix(b"\r").decode("utf-8", "replace") for line in lines]


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    cutter = _Cutter()
    for chunk in chunks:
        yield from cutter.cut(chunk)


async def _lines_async(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    cutter = _Cutter()
    async for chunk in chunks:
        for line in cutter.cut(chunk):
            yield line


class _Blocking:
    def __init__(self, connection: Connection) -> None:
        self.sleep = connection.sleep
        # What runs on this machine is never asked by way of a proxy.
        direct: dict[str, httpx.BaseTransport | None] = {f"all://{host}": None for host in LOOPBACK}
        self.client = httpx.Client(
            verify=_tls(), transport=connection.transport, mounts=None if connection.transport else direct
        )
        self.stream: httpx.Response | None = None
        self.lines: Iterator[str] = iter(())
        self.url = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        self.client.close()

    def play(self, step: Step) -> Any:
        match step:
            case Request():
                with _translated(step.url):
                    return _whole(self.client.request(**_wanted(step)))
            case Sleep():
                return self.sleep(step.seconds)
            case Open():
                return self.open(step.request)
            case NextLine():
                with _translated(self.url):
                    return next(self.lines, None)
            case Close():
                return self.close()

    def open(self, request: Request) -> Reply:
        self.close()
        with _translated(request.url):
            self.stream = self.client.send(self.client.build_request(**_wanted(request)), stream=True)
            self.lines, self.url = _lines(self.stream.iter_bytes()), request.url
            head = _head(self.stream)
            if not _is_stream(head):
                self.stream.read()
                head = _whole(self.stream)
        return head

    def close(self) -> None:
        if self.stream is not None:
            self.stream.close()
        self.stream, self.lines = None, iter(())


class _Awaiting:
    def __init__(self, connection: Connection) -> None:
        self.sleep = connection.sleep_async
        direct: dict[str, httpx.AsyncBaseTransport | None] = {f"all://{host}": None for host in LOOPBACK}
        self.client = httpx.AsyncClient(
            verify=_tls(),
            transport=connection.async_transport,
            mounts=None if connection.async_transport else direct,
        )
        self.stream: httpx.Response | None = None
        self.lines: AsyncIterator[str] | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
        await self.client.aclose()

    async def play(self, step: Step) -> Any:
        match step:
            case Request():
                with _translated(step.url):
                    return _whole(await self.client.request(**_wanted(step)))
            case Sleep():
                return await self.sleep(step.seconds)
            case Open():
                return await self.open(step.request)
            case NextLine():
                with _translated(self.url):
                    return None if self.lines is None else await anext(self.lines, None)
            case Close():
                return await self.close()

    async def open(self, request: Request) -> Reply:
        await self.close()
        with _translated(request.url):
            self.stream = await self.client.send(self.client.build_request(**_wanted(request)), stream=True)
            self.lines, self.url = _lines_async(self.stream.aiter_bytes()), request.url
            head = _head(self.stream)
            if not _is_stream(head):
                await self.stream.aread()
                head = _whole(self.stream)
        return head

    async def close(self) -> None:
        if self.stream is not None:
            await self.stream.aclose()
        self.stream, self.lines = None, None
