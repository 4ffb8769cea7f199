"""Chat with a model behind any OpenAI-compatible URL: one attempt a call, typed failures."""

from __future__ import annotations

import asyncio
import importlib
import json
import math
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from paretune.core.errors import AttemptFailed, FailureKind, Misconfigured
from paretune.core.rollout import Usage
from paretune.llm.prices import Price, cost

if TYPE_CHECKING:
    from httpx2 import AsyncClient
    from openai import AsyncOpenAI

Message = Mapping[str, str]
"""`{"role": "system" | "user" | "assistant", "content": text}`."""

LARGEST_ANSWER = 16 * 2**20
"""Bytes of an answer that are read before it is given up."""

_QUOTED = 300
_REASONING = re.compile(r"(?:^|/)(?:o\d|gpt-5)(?![a-z\d])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Completion:
    """What the model wrote. `finish_reason` as the endpoint gave it: `stop`, `length`, ..."""

    text: str
    finish_reason: str
    usage: Usage


class ChatModel:
    """One model behind one URL (`https://host/v1`). `api_key` None sends no key at all.

    `extra` goes out with each request as it is. `timeout` is in seconds, for the whole call. `price` goes
    before the price table. The connection pool belongs to the event loop of the first call; close it with
    `aclose` or `async with`. `http_client` replaces the pool and stays its owner's to close. Proxies and
    keys of the environment are not looked at. Raises Misconfigured on a URL that cannot be one.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str | None,
        *,
        timeout: float = 300.0,
        temperature: float | None = None,
        max_tokens: int | None = None,
        price: Price | None = None,
        extra: Mapping[str, Any] | None = None,
        http_client: AsyncClient | None = None,
    ) -> None:
        self.base_url = _checked(base_url)
        self.model = model
        self._key = _checked_key(api_key)
        self._timeout = timeout
        self._price = price
        self._options = _options(model, temperature, max_tokens)
        self._extra = dict(extra or {})
        self._http = http_client
        self._owns_http = http_client is None
        self._client: AsyncOpenAI | None = None

    def __repr__(self) -> str:
        return f"ChatModel({self.base_url!r}, {self.model!r})"

    @property
    def identity(self) -> str:
        """Host, model and sampling settings: equal identities give exchangeable answers."""
        settings = "".join(
            f" {name}={value}" for name, value in [*self._options.items(), *self._extra.items()]
        )
        return f"{urlsplit(self.base_url).hostname}/{self.model}{settings}"

    async def complete(
        self, messages: Sequence[Message], *, schema: Mapping[str, Any] | None = None
    ) -> Completion:
        """One answer to these messages, in one attempt. Raises AttemptFailed.

        `schema` (`name`, `strict`, `schema`) holds the model to JSON of that form, where its endpoint can.
        """
        client = await self._ready()
        body, failure = b"", None
        try:
            async with asyncio.timeout(self._timeout):
                body = await self._post(client, messages, schema)
        except AttemptFailed as error:
            failure = error
        except _far_side_errors() as error:
            failure = self._failure(error)
        if failure is not None:  # outside the handler: the client's error, which holds the key, is let go
            raise failure
        return self._completion(body)

    async def aclose(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None and self._owns_http:
            await client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # -- asking -----------------------------------------------------------------------------------

    async def _ready(self) -> AsyncOpenAI:
        """The client, made at the first call: importing its library takes half a second."""
        if self._client is None:
            openai = await asyncio.to_thread(importlib.import_module, "openai")
            if self._client is None:
                self._client = openai.AsyncOpenAI(
                    base_url=self.base_url,
                    api_key=self._key or "none",
                    organization="",
                    project="",
                    timeout=self._timeout,
                    max_retries=0,
                    http_client=self._http
                    or openai.DefaultAsyncHttpxClient(
                        timeout=self._timeout, trust_env=False, follow_redirects=False
                    ),
                )
        return self._client

    def _headers(self) -> dict[str, Any]:
        """Written out in full, for what is left out would come from the environment."""
        left_out = sys.modules["openai"].Omit()
        return {
            "Authorization": f"Bearer {self._key}" if self._key else left_out,
            "OpenAI-Organization": left_out,
            "OpenAI-Project": left_out,
        }

    async def _post(
        self, client: AsyncOpenAI, messages: Sequence[Message], schema: Mapping[str, Any] | None
    ) -> bytes:
        asked: list[Any] = [{name: _sound(text) for name, text in message.items()} for message in messages]
        body = bytearray()
        form: dict[str, Any] = {}
        if schema is not None:
            form = {"response_format": {"type": "json_schema", "json_schema": dict(schema)}}
        async with client.chat.completions.with_streaming_response.create(
            model=self.model,
            messages=asked,
            stream=False,
            extra_headers=self._headers(),
            extra_body=self._extra or None,
            **self._options,
            **form,
        ) as response:
            async for chunk in response.iter_bytes():
                body += chunk
                if len(body) > LARGEST_ANSWER:
                    raise AttemptFailed(
                        FailureKind.TOO_LARGE, f"{self._who()} answered with more than {LARGEST_ANSWER} bytes"
                    )
        return bytes(body)

    # -- reading ----------------------------------------------------------------------------------

    def _completion(self, body: bytes) -> Completion:
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            raise self._said(FailureKind.NOT_JSON, "answered with something that is not JSON", body) from None
        if isinstance(answer, dict) and answer.get("error"):
            raise self._error_in_answer(answer["error"])
        try:
            choice = answer["choices"][0]
            message = choice["message"]
            text = _text(message.get("content")) or _text(message.get("refusal"))
        except (LookupError, TypeError, AttributeError):
            raise self._said(
                FailureKind.BAD_ANSWER, "answered with JSON that is no chat completion", body
            ) from None
        return Completion(
            _sound(text), str(choice.get("finish_reason") or ""), self._usage(answer.get("usage"))
        )

    def _usage(self, usage: object) -> Usage:
        """Tokens as the endpoint counted them; without a count nobody knows the cost."""
        counts = usage if isinstance(usage, dict) else {}
        tokens = Usage(_count(counts.get("prompt_tokens")), _count(counts.get("completion_tokens")))
        if not tokens.tokens:
            return tokens
        usd = self._price.of(tokens) if self._price else cost(self.model, tokens)
        return replace(tokens, cost_usd=usd)

    def _error_in_answer(self, error: object) -> AttemptFailed:
        """Some gateways answer 200 and put the error inside."""
        code = error.get("code") if isinstance(error, dict) else None
        status = code if isinstance(code, int) and not isinstance(code, bool) else 0
        kind = _kind(status, error) if status >= 400 else FailureKind.BAD_ANSWER
        return self._said(kind, "answered with an error", json.dumps(error).encode())

    # -- failing ----------------------------------------------------------------------------------

    def _failure(self, error: BaseException) -> AttemptFailed:
        response = getattr(error, "response", None)
        if response is not None and hasattr(error, "status_code"):
            return self._refusal(response, getattr(error, "body", None))
        while type(error).__name__ == "APIConnectionError" and error.__cause__ is not None:
            error = error.__cause__
        kinds = {base.__name__ for base in type(error).__mro__}
        if kinds & {"APITimeoutError", "TimeoutException", "TimeoutError"}:
            return self._said(FailureKind.TIMEOUT, f"gave no whole answer within {self._timeout:g} s")
        if "ConnectError" in kinds:
            return self._said(FailureKind.UNREACHABLE, "cannot be reached", str(error).encode())
        if kinds & {"NetworkError", "RemoteProtocolError"}:
            return self._said(FailureKind.CLOSED, "closed the connection", str(error).encode())
        text = f"{type(error).__name__}: {error}"
        return self._said(FailureKind.BAD_ANSWER, "gave an answer that cannot be read", text.encode())

    def _refusal(self, response: Any, body: object) -> AttemptFailed:
        status = int(response.status_code)
        kind = _kind(status, body)
        said = f"answered {status}"
        if kind is FailureKind.REDIRECT:
            said += ", a redirect; give the final URL"
        elif status == 404:
            said += (
                f"; is there a model {self.model!r}, and does base_url end where /chat/completions begins?"
            )
        return self._said(kind, said, response.content, retry_after=_retry_after(response.headers))

    def _said(
        self, kind: FailureKind, what: str, quote: bytes = b"", *, retry_after: float | None = None
    ) -> AttemptFailed:
        # The key goes before anything is cut, so that no part of it is left at an end.
        words = " ".join(self._without_key(quote.decode("utf-8", "replace")).split())
        words = words[:_QUOTED] + ("..." if len(words) > _QUOTED else "")
        message = f"{self._who()} {what}" + (f": {words}" if words else "")
        return AttemptFailed(kind, message, retry_after=retry_after)

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "(key)") if self._key else text

    def _who(self) -> str:
        return f"{self.model} at {self.base_url}"


def _checked(base_url: str) -> str:
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Misconfigured("proposer.base_url", "must be a URL like https://api.openai.com/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise Misconfigured("proposer.base_url", "must hold no user, password, query or fragment")
    return base_url.rstrip("/")


def _checked_key(api_key: str | None) -> str | None:
    key = (api_key or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise Misconfigured("proposer.api_key_env", "the key holds characters that no HTTP header can carry")
    return key or None


def _options(model: str, temperature: float | None, max_tokens: int | None) -> dict[str, Any]:
    """Reasoning models take no temperature, and count their answers under another name."""
    reasoning = _REASONING.search(model) is not None
    options: dict[str, Any] = {}
    if temperature is not None and not reasoning:
        options["temperature"] = temperature
    if max_tokens is not None:
        options["max_completion_tokens" if reasoning else "max_tokens"] = max_tokens
    return options


def _far_side_errors() -> tuple[type[BaseException], ...]:
    """What a call may raise. The client library reads bodies with either of two HTTP libraries."""
    http = [sys.modules[name].HTTPError for name in ("httpx2", "httpx") if name in sys.modules]
    return (TimeoutError, sys.modules["openai"].OpenAIError, *http)


def _kind(status: int, body: object) -> FailureKind:
    if status == 429:
        # An empty account does not fill up by waiting.
        empty = "insufficient_quota" in str(body)
        return FailureKind.REFUSED if empty else FailureKind.RATE_LIMITED
    if 300 <= status < 400:
        return FailureKind.REDIRECT
    if status in (401, 403):
        return FailureKind.UNAUTHORISED
    if status == 408:
        return FailureKind.TIMEOUT
    return FailureKind.SERVER_ERROR if status >= 500 else FailureKind.REFUSED


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from a number or a date (RFC 9110, 10.2.3)."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _text(content: object) -> str:
    """A message's text, also where it comes in parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise TypeError("neither text nor parts")
    return "".join(part.get("text") or "" for part in content if part.get("type", "text") == "text")


def _count(value: object) -> int:
    return max(0, value) if isinstance(value, int) and not isinstance(value, bool) else 0


def _sound(text: str) -> str:
    """Without lone surrogates, which no encoding can write."""
    return text.encode("utf-8", "replace").decode("utf-8")
