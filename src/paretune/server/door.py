"""Who may come in: the right host and origin, a key where there are keys, a body of bearable size."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from starlette.requests import Request, cookie_parser
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paretune.container.gate import error_body, presented
from paretune.container.wire import is_loopback
from paretune.core.errors import Misconfigured
from paretune.server.keys import KeyRing, allows
from paretune.store.jobs import Scope as KeyScope
from paretune.store.jobs import StoredKey

BODY_BYTES = 16 * 2**20
OPEN = frozenset({"/", "/health", "/api/health"})
"""Paths that answer without a key, so that anyone can see that something runs here."""
BODY_SECONDS = 60.0
"""All of a body is there after so long, or it is not waited for."""
CONSOLE, COOKIE = "/console", "paretune_session"
"""Pages are under this path, and a browser brings its session for them in a cookie of this name."""
SIGNING = frozenset({f"{CONSOLE}/sign-in", f"{CONSOLE}/sign-out"})
FILES = f"{CONSOLE}/static/"
READS = frozenset({"GET", "HEAD"})
ADMINS = ("/api/v1/env-keys",)


@dataclass
class Refusal(Exception):
    """Nobody is let in so. Not frozen: whoever passes an exception on sets its traceback."""

    status: int
    code: str
    message: str

    def response(self) -> JSONResponse:
        return JSONResponse(error_body(self.code, self.message), self.status)


class Keys(Protocol):
    """Who may come in with a key. `any` may read a store unless `at_hand`."""

    @property
    def at_hand(self) -> bool: ...

    def any(self) -> bool: ...

    def check(self, token: str) -> StoredKey | None: ...


class NoKeys:
    """This machine comes in, and nobody else."""

    at_hand = True

    def any(self) -> bool:
        return False

    def check(self, token: str) -> StoredKey | None:
        return None


Away = Callable[[Refusal, Request], Response | None]
"""How somebody is told that he is not let in; None: as a program is."""


class Door:
    """An ASGI application around another one. `hosts` are names under which this server is asked, beside
    those of this machine."""

    def __init__(
        self,
        app: ASGIApp,
        keys: Keys,
        hosts: Collection[str] = (),
        away: Away = lambda refusal, request: None,
        sessions: Callable[[str], StoredKey | None] = lambda session: None,
    ) -> None:
        self._app, self._keys, self._away, self._sessions = app, keys, away, sessions
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._let_in(scope)
        except Refusal as refusal:
            answer = self._away(refusal, Request(scope)) or refusal.response()
            await answer(scope, receive, send)
            return
        await _Limited(self._app, BODY_BYTES)(scope, receive, send)

    async def _let_in(self, scope: Scope) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = _name(headers.get("host", ""))
        if not self._known(host):
            raise Refusal(421, "unknown_host", f"this server is not {host[:100]!r}; see --allow-host")
        origin = headers.get("origin")
        if origin is not None and not self._known(_host_of(origin)):
            raise Refusal(403, "origin_refused", "pages of other places are not let in; see --allow-host")
        await self._check_key(scope)

    def _known(self, host: str) -> bool:
        return host in self._hosts or is_loopback(host)

    async def _check_key(self, scope: Scope) -> None:
        closed = self._keys.any() if self._keys.at_hand else await asyncio.to_thread(self._keys.any)
        if not closed:
            client = scope.get("client")
            if client is not None and not is_loopback(client[0]):
                raise Refusal(401, "unauthorised", "without keys this server answers its own machine only")
            return
        given = [key.decode("latin-1") for key in presented(scope["headers"])]
        cookie = "" if given else brought(scope)
        if _open(scope["path"]) and not given:
            scope["state"] = {**scope.get("state", {}), "cookie": bool(cookie)}
            return
        found = await self._checked(given, cookie, scope)
        scope["state"] = {
            **scope.get("state", {}),
            "owner": found.id,
            "key_scope": found.scope,
            "cookie": bool(cookie),
        }

    async def _checked(self, given: Collection[str], session: str, scope: Scope) -> StoredKey:
        """The key that lets in. Raises Refusal if none does."""
        wanted = _wanted(scope["method"], scope["path"])
        found = [key for token in given if (key := await asyncio.to_thread(self._keys.check, token))]
        if session and (key := await asyncio.to_thread(self._sessions, session)):
            found.append(key)
        if not found:
            message = "the key is wrong" if given else "a key is needed: X-API-Key or Authorization: Bearer"
            raise Refusal(401, "unauthorised", message)
        enough = next((key for key in found if allows(key, wanted)), None)
        if enough is None:
            raise Refusal(403, "forbidden", f"this key has scope {found[0].scope}, {wanted} is needed")
        return enough


def _open(path: str) -> bool:
    return path in OPEN or path in SIGNING or path.startswith(FILES)


def brought(scope: Scope) -> str:
    """The session that a browser brings. For pages only: no other site's page asks the API in its name."""
    path = scope["path"]
    if path != CONSOLE and not path.startswith(f"{CONSOLE}/"):
        return ""
    found = (cookie_parser(value.decode("latin-1")) for name, value in scope["headers"] if name == b"cookie")
    return next((cookies[COOKIE] for cookies in found if cookies.get(COOKIE)), "")


def _wanted(method: str, path: str) -> KeyScope:
    if method in READS:
        return "read"
    return "admin" if path in ADMINS else "submit"


def _name(host: str) -> str:
    """The host without its port."""
    host = host.lower().strip()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _host_of(origin: str) -> str:
    """Nobody's, of an origin that is none."""
    try:
        return _name(urlsplit(origin).netloc)
    except ValueError:
        return ""


class _Limited:
    """Reads no more of a body than `most` bytes, for no longer than `BODY_SECONDS`. Who reads more meets a
    Refusal, and answers with it."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if length.isdigit() and int(length) > self._most:
            await self._refusal().response()(scope, receive, send)
            return
        seen, there = 0, False
        end = asyncio.get_running_loop().time() + BODY_SECONDS

        async def limited() -> Message:
            nonlocal seen, there
            try:
                async with asyncio.timeout_at(None if there else end):
                    message = await receive()
            except TimeoutError:
                late = f"a body is here within {BODY_SECONDS:.0f} s, or not waited for"
                raise Refusal(408, "too_slow", late) from None
            there = not message.get("more_body", False)
            seen += len(message.get("body", b""))
            if seen > self._most:
                raise self._refusal()
            return message

        await self._app(scope, limited, send)

    def _refusal(self) -> Refusal:
        return Refusal(413, "too_large", f"a body has at most {self._most // 2**20} MiB here")


def refuse_open_door(host: str, keys: KeyRing) -> None:
    """Raises Misconfigured if other machines could reach a server without a key."""
    if not is_loopback(host) and not keys.any():
        raise Misconfigured(
            "--host", f"listening on {host} lets other machines in: make a key first (paretune keys create)"
        )
