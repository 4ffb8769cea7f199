"""One HTTP exchange with a container: bounded in time and size, every way to fail has a name."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import math
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlsplit

import aiohttp

from paretune.container.body import NotJson, json_text, parse_json
from paretune.core.canonical import JsonValue
from paretune.core.errors import AttemptFailed, FailureKind, Misconfigured

DEFAULT_MAX_BYTES = 16 * 1024 * 1024
SHOWN = 300
UNAUTHORISED_WORDS = re.compile(
    r"unauthori[sz]ed|invalid[ _-]api[ _-]key|missing[ _-]api[ _-]key", re.IGNORECASE
)
SECRET_HEADER = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)
JSON = {"Content-Type": "application/json"}
NO_KEY_CONFIGURED = "missing_environment_api_key"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: to get a connection, between two pieces of an answer, for a rollout with all its polls."""

    connect: float = 10.0
    read: float = 120.0
    total: float = 120.0
    poll: float = 0.25


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole HTTP answer. The names of `headers` are found in any case."""

    status: int
    headers: Mapping[str, str]
    data: bytes

    @property
    def content_type(self) -> str:
        """Lower case without parameters, empty when it is missing."""
        return self.headers.get("Content-Type", "").split(";")[0].strip().lower()

    def start(self, size: int = 4000) -> str:
        """The first `size` bytes as text."""
        return self.data[:size].decode("utf-8", "replace")


class Secrets:
    """Strings that may appear in no message, nor in what is kept of an answer."""

    def __init__(self, values: list[str]) -> None:
        self._values = sorted({form for value in values for form in _forms(value)}, key=len, reverse=True)
        self._long = [value for value in self._values if len(value) >= 16]

    def hide(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, "[hidden]")
        return text

    def hide_in_data(self, data: bytes) -> bytes:
        """Only long secrets: a short one may well be an ordinary word of an answer."""
        for value in self._long:
            data = data.replace(value.encode(), b"[hidden]")
        return data

    def appear_in(self, data: bytes) -> bool:
        return any(value.encode() in data for value in self._long)


def _forms(value: str) -> set[str]:
    forms = {value, quote(value, safe=""), json.dumps(value)[1:-1]}
    return {form for form in forms if len(form) >= 4}


class Wire:
    """An HTTP session that never follows redirects, keeps no cookies and reads no proxy settings.

    `url` is the container's base address, http or https, without credentials, query or fragment.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        timeouts: Timeouts,
        max_bytes: int,
        connections: int,
        now: Callable[[], datetime],
    ) -> None:
        self.url = plain_url(url)
        self.timeouts = timeouts
        self.max_bytes = max_bytes
        secret = [value for name, value in headers.items() if SECRET_HEADER.search(name)]
        self.secrets = Secrets([*secret, *(value.split(" ", 1)[-1] for value in secret)])
        self._headers = {**headers, "Accept": "application/json", "Accept-Encoding": "gzip, deflate"}
        self._connections = connections
        self._now = now
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections),
            timeout=aiohttp.ClientTimeout(
                total=None,
                connect=None,
                sock_connect=self.timeouts.connect,
                sock_read=self.timeouts.read if self.timeouts.read < self.timeouts.total else None,
            ),
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def exchange(
        self,
        method: str,
        path: str,
        body: JsonValue = None,
        *,
        data: bytes | None = None,
        total: float | None = None,
    ) -> Reply:
        """Send `body` as JSON (or `data` as it is) and read the whole answer, whatever its status.

        `total` is the deadline in seconds, by default that of a rollout. Raises AttemptFailed:
        UNREACHABLE, CLOSED, TIMEOUT, TOO_LARGE, NOT_JSON (not HTTP at all, or a broken encoding).
        """
        deadline = self.timeouts.total if total is None else total
        if body is not None:
            data = json_text(body).encode()
        try:
            async with asyncio.timeout(deadline):
                return await self.send(method, path, data)
        except TimeoutError:
            message = f"{method} {path}: no whole answer within {deadline:g} s"
            raise self.hidden(AttemptFailed(FailureKind.TIMEOUT, message)) from None

    async def send(self, method: str, path: str, data: bytes | None = None) -> Reply:
        """`exchange` for who keeps the deadline: only connecting, and silence, end by themselves."""
        if self._session is None:
            raise RuntimeError("use the client inside `async with`")
        headers = None if data is None else JSON
        try:
            async with self._session.request(
                method, self.url + path, data=data, headers=headers, allow_redirects=False
            ) as response:
                content = await self._read(response)
                return Reply(response.status, response.headers, content)
        except AttemptFailed as error:
            raise self.hidden(error) from None
        except TimeoutError as error:
            raise self.hidden(_timed_out(error, method, path, self.timeouts)) from None
        except aiohttp.ClientError as error:
            raise self.hidden(_transport_failure(error, self.url, method, path)) from None

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        declared = response.content_length
        if declared is not None and declared > self.max_bytes:
            raise self._too_large(f"{declared:,} bytes announced")
        encoding = response.headers.get("Content-Encoding", "")
        if declared is not None and not encoding and "Transfer-Encoding" not in response.headers:
            return await response.read()  # no more can come than was announced
        decode = _decoder(encoding, self.max_bytes)
        pieces: list[bytes] = []
        size = 0
        async for chunk in response.content.iter_chunked(65536):
            piece = decode(chunk, self.max_bytes - size + 1)
            size += len(piece)
            if size > self.max_bytes:
                raise self._too_large(f"cut after {self.max_bytes:,} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    def _too_large(self, why: str) -> AttemptFailed:
        message = f"the answer is larger than the limit of {self.max_bytes:,} bytes ({why})"
        return AttemptFailed(FailureKind.TOO_LARGE, message)

    def hidden(self, error: AttemptFailed) -> AttemptFailed:
        """The same failure with secrets taken out of its text."""
        return AttemptFailed(error.kind, self.secrets.hide(error.message), retry_after=error.retry_after)

    def read(self, reply: Reply, what: str) -> JsonValue:
        """The JSON of a 2xx reply. Raises AttemptFailed for any other status, and NOT_JSON."""
        failure = self.failure(reply, what)
        if failure is not None:
            raise failure
        try:
            return parse_json(self.secrets.hide_in_data(reply.data))
        except NotJson as error:
            said = reply.content_type or "no content type"
            start = " ".join(reply.start(200).split())[:100]
            message = f"{what} answered {reply.status} with {said}: {error}"
            message += f"; it begins {start!r}" if start else ""
            raise self.hidden(AttemptFailed(FailureKind.NOT_JSON, message)) from None

    def failure(self, reply: Reply, what: str) -> AttemptFailed | None:
        """The failure that the status means, None for 2xx."""
        if 200 <= reply.status < 300:
            return None
        kind = _status_kind(reply)
        shown = " ".join(self.secrets.hide(reply.start()).split())[:SHOWN]
        message = f"{what} answered {reply.status}" + (f": {shown}" if shown else "")
        if kind is FailureKind.REDIRECT:
            where = reply.headers.get("Location", "nowhere")
            message = (
                f"{what} answered {reply.status}, a redirect to {where}; it is not followed, use that address"
            )
        if kind is FailureKind.UNAUTHORISED:
            message += "; check the container's key (X-API-Key, ENVIRONMENT_API_KEY)"
        wait = retry_after(reply.headers.get("Retry-After"), self._now())
        return self.hidden(AttemptFailed(kind, message, retry_after=wait if kind in WAITED_FOR else None))


WAITED_FOR = frozenset({FailureKind.RATE_LIMITED, FailureKind.SERVER_ERROR})


def _status_kind(reply: Reply) -> FailureKind:
    status = reply.status
    refused_key = status == 400 and UNAUTHORISED_WORDS.search(reply.start())
    if status in (401, 403) or refused_key or (status == 503 and NO_KEY_CONFIGURED in reply.start()):
        return FailureKind.UNAUTHORISED
    if status in (408, 504):
        return FailureKind.TIMEOUT
    if status in (429, 503):  # 503: "too much to do just now", as the standard has it
        return FailureKind.RATE_LIMITED
    if status >= 500:
        return FailureKind.SERVER_ERROR
    return FailureKind.REDIRECT if 300 <= status < 400 else FailureKind.REFUSED


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait by a Retry-After header, a number or an HTTP date (RFC 9110, 10.2.3), else None."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (moment - now).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def plain_url(url: str) -> str:
    """The address without its trailing slash. Raises Misconfigured("container.url")."""
    shape = Misconfigured("container.url", "must look like http://host:port, without query or fragment")
    match = re.fullmatch(r"(https?)://([^/?#\s]+)(/[^?#\s]*)?", url.strip(), re.IGNORECASE)
    if not match:
        raise shape
    try:
        _ = urlsplit(url.strip()).port
    except ValueError:
        raise shape from None
    if "@" in match[2]:
        raise Misconfigured("container.url", "must not hold credentials; give them as api_key or headers")
    return url.strip().rstrip("/")


def is_loopback(host: str) -> bool:
    """True if only this machine reaches a server on `host`."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


Decoder = Callable[[bytes, int], bytes]


def _decoder(encoding: str, max_bytes: int) -> Decoder:
    """A function (chunk, most bytes wanted) -> decoded bytes, never more than one beyond the limit."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return lambda chunk, limit: chunk
    if name not in ("gzip", "x-gzip", "deflate"):
        raise AttemptFailed(
            FailureKind.NOT_JSON, f"the answer is encoded as {name!r}, which was not asked for"
        )
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def inflate(chunk: bytes, limit: int) -> bytes:
        try:
            return inflater.decompress(inflater.unconsumed_tail + chunk, max(1, limit))
        except zlib.error as error:
            raise AttemptFailed(FailureKind.NOT_JSON, f"the answer is broken {name}: {error}") from None

    return inflate


def _timed_out(error: TimeoutError, method: str, path: str, timeouts: Timeouts) -> AttemptFailed:
    what = f"{method} {path}"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return AttemptFailed(FailureKind.UNREACHABLE, f"{what}: no connection within {timeouts.connect:g} s")
    return AttemptFailed(FailureKind.TIMEOUT, f"{what}: silent for {timeouts.read:g} s")


def _transport_failure(error: aiohttp.ClientError, url: str, method: str, path: str) -> AttemptFailed:
    what = f"{method} {path}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return AttemptFailed(FailureKind.UNREACHABLE, f"no connection to {url}: {error}")
    if isinstance(error, aiohttp.ClientResponseError):
        said = " ".join(error.message.split())[:200]
        return AttemptFailed(FailureKind.NOT_JSON, f"{what}: the answer is not HTTP ({said})")
    message = (
        f"{what}: the connection closed before the whole answer came ({str(error) or type(error).__name__})"
    )
    return AttemptFailed(FailureKind.CLOSED, message)
