"""A server, and how to ask it: where it is, which key it takes, what its answers mean."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from paretune.core.address import DEFAULT_URL
from paretune.sdk.connection import NETWORK, Connection
from paretune.sdk.errors import SHOWN, BadAnswer, HTTPError, InvalidJob, Unreachable, redact
from paretune.sdk.flow import Flow, Reply, Request

URL_VARIABLES = ("PARETUNE_URL", "SYNTH_BACKEND_URL", "BACKEND_BASE_URL")
"""Looked at in this order: our own name wins over what an older script may have left in the shell."""
KEY_VARIABLE = "SYNTH_API_KEY"

_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_JOB_ID = re.compile(r"pl_[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Backend:
    """The server at `url` (without a slash at the end, without `/api`); an empty key is not sent.

    `secrets` are texts that no error may repeat, the key among them.
    """

    url: str
    api_key: str = field(default="", repr=False)
    connection: Connection = NETWORK
    secrets: tuple[str, ...] = field(default=(), repr=False)
    timeout: float = 30.0

    @classmethod
    def resolve(
        cls,
        url: str | None = None,
        api_key: str | None = None,
        *,
        connection: Connection | None = None,
        timeout: float = 30.0,
        environment: Mapping[str, str] = os.environ,
    ) -> Backend:
        """From arguments, else the environment, else the server on this machine. Raises InvalidJob."""
        key = checked_key("api_key", api_key if api_key is not None else environment.get(KEY_VARIABLE))
        named = next((environment[name] for name in URL_VARIABLES if environment.get(name)), DEFAULT_URL)
        place = _base(url or named)
        return cls(place, key, connection or NETWORK, (key,) if key else (), timeout)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int | None] | None = None,
        body: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Request:
        """A request with the key. Parameters that are None or empty are left out."""
        given = {name: value for name, value in (params or {}).items() if value is not None and value != ""}
        keys = {"X-API-Key": self.api_key, "Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        headers = {"Accept": "application/json", **keys}
        wait = self.timeout if timeout is None else timeout
        return Request(method, self.url + path, headers, given, body, wait)

    def reply(self, request: Request) -> Flow[Reply]:
        """The answer, whatever its status. Raises Unreachable."""
        try:
            reply: Reply = yield request
        except Unreachable as error:
            raise Unreachable(request.url, redact(error.cause, self.secrets) + self._hint()) from error
        return reply

    def ask(self, request: Request) -> Flow[Any]:
        """The JSON of the answer. Raises Unreachable, HTTPError or BadAnswer."""
        reply = yield from self.reply(request)
        if not 200 <= reply.status < 300:
            raise self.refusal(request.url, reply)
        return self.parsed(request.url, reply)

    def ask_object(self, request: Request) -> Flow[dict[str, Any]]:
        """As `ask`, for answers that are objects."""
        answer = yield from self.ask(request)
        if not isinstance(answer, dict):
            kind = type(answer).__name__
            raise BadAnswer(request.url, f"JSON of type {kind}, where an object was expected")
        return answer

    def refusal(self, url: str, reply: Reply) -> HTTPError:
        """The error that a reply of any other status than 2xx is."""
        try:
            detail = json.loads(reply.text)
        except (ValueError, RecursionError):
            detail = None
        text = redact(_said(detail) or reply.text.strip(), self.secrets)[:SHOWN]
        wait = _seconds(reply.headers.get("retry-after"))
        return HTTPError(reply.status, url, text, self._cleared(detail), wait)

    def _cleared(self, detail: Any) -> Any:
        """The JSON itself, or a text of it where a secret had to be blacked out."""
        text = json.dumps(detail)
        clean = redact(text, self.secrets)
        return detail if clean == text else clean

    def parsed(self, url: str, reply: Reply) -> Any:
        try:
            return json.loads(reply.text)
        except (ValueError, RecursionError):
            start = redact(reply.text.strip(), self.secrets)[:200]
            raise BadAnswer(url, f"something that is not JSON: {start!r}") from None

    def _hint(self) -> str:
        here = urlsplit(self.url).hostname in ("127.0.0.1", "localhost", "::1")
        return " (is `paretune serve` running there?)" if here else ""


def checked_key(name: str, key: str | None) -> str:
    """A key as it can be sent. Raises InvalidJob, without the key in its text."""
    key = (key or "").strip()
    if key and not _PRINTABLE.fullmatch(key):
        raise InvalidJob(name, "a key is printable ASCII without spaces or line ends")
    return key


def checked_job_id(job_id: str) -> str:
    """Raises InvalidJob for anything that is no id of a job."""
    if not _JOB_ID.fullmatch(str(job_id)):
        raise InvalidJob("job_id", f"{job_id!r} is no job id: they begin with 'pl_'")
    return job_id


def _base(url: str) -> str:
    """Clients of old name the server with `/api` at the end, or without."""
    place = url.strip().rstrip("/").removesuffix("/api").rstrip("/")
    try:
        parts = urlsplit(place)
        known = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        known = False
    if not known:
        raise InvalidJob("backend_url", "must be an address that begins with http:// or https://")
    if parts.username is not None or parts.password is not None:
        raise InvalidJob("backend_url", "must not hold a user or password; use api_key")
    return place


def _said(detail: Any) -> str:
    """The message in an error's JSON: FastAPI's `detail`, a list of them, or one of the usual names."""
    if isinstance(detail, list):
        return "; ".join(filter(None, (_said(item) for item in detail)))
    if not isinstance(detail, dict):
        return detail if isinstance(detail, str) else ""
    where = ".".join(str(part) for part in detail["loc"]) if isinstance(detail.get("loc"), list) else ""
    for name in ("detail", "message", "error", "msg"):
        if text := _said(detail.get(name)):
            return f"{where}: {text}" if where else text
    return ""


def _seconds(text: str | None) -> float | None:
    """Seconds in a Retry-After; a date, or nonsense, is None: then the usual pause does."""
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return seconds if 0 <= seconds < 86_400 else None
