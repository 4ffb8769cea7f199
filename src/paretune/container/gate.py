"""Who may call a container: keys compared in constant time, and never an open door to other machines."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from paretune.container.wire import is_loopback
from paretune.core.canonical import JsonValue
from paretune.core.errors import Misconfigured

OPEN = frozenset({"/", "/health"})
"""Routes that answer without a key, so that anyone can see that something runs here."""


class Gate:
    """Lets a request through with one of `keys` in X-API-Key, X-API-Keys or Authorization: Bearer.

    Without keys only this machine gets in. A wrong key is refused everywhere.
    """

    def __init__(self, app: ASGIApp, keys: frozenset[str]) -> None:
        self._app = app
        self._keys = [key.encode() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        given = list(presented(scope["headers"]))
        if not self._keys:
            return _without_keys(scope)
        if any(self._matches(key) for key in given) or (not given and scope["path"] in OPEN):
            return None
        message = "the key is wrong" if given else "a key is needed: X-API-Key or Authorization: Bearer"
        return JSONResponse(error_body("unauthorised", message), 401)

    def _matches(self, given: bytes) -> bool:
        return sum(secrets.compare_digest(given, key) for key in self._keys) > 0  # compares with all, always


def _without_keys(scope: Scope) -> JSONResponse | None:
    """This machine may come in, but no web page that its browser shows: those send an Origin."""
    client = scope.get("client")
    if client is not None and not is_loopback(client[0]):
        message = "this container has no key, so it answers this machine only; set ENVIRONMENT_API_KEY"
        return JSONResponse(error_body("missing_environment_api_key", message), 503)
    if any(name == b"origin" for name, _ in scope["headers"]):
        message = "web pages are not let in without a key; set ENVIRONMENT_API_KEY"
        return JSONResponse(error_body("origin_refused", message), 403)
    return None


def presented(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[bytes]:
    """The keys in the request's headers."""
    for name, value in headers:
        if name == b"x-api-key":
            yield value.strip()
        elif name == b"x-api-keys":
            yield from (part.strip() for part in value.split(b",") if part.strip())
        elif name == b"authorization" and value[:7].lower() == b"bearer ":
            yield value[7:].strip()


def configured_keys(api_key: str | None, environ: Mapping[str, str]) -> frozenset[str]:
    """The argument, or ENVIRONMENT_API_KEY; and the comma-separated ENVIRONMENT_API_KEY_ALIASES."""
    key = api_key if api_key is not None else environ.get("ENVIRONMENT_API_KEY", "")
    aliases = environ.get("ENVIRONMENT_API_KEY_ALIASES", "").split(",")
    return frozenset(stripped for name in (key, *aliases) if (stripped := name.strip()))


def refuse_open_door(host: str, keys: frozenset[str]) -> None:
    """Raises Misconfigured if other machines could reach a container without a key."""
    if not keys and not is_loopback(host):
        raise Misconfigured(
            "api_key", f"listening on {host} lets other machines in: give api_key or set ENVIRONMENT_API_KEY"
        )


def error_body(code: str, message: str, **more: JsonValue) -> dict[str, JsonValue]:
    """The body of every error: `error.code` for programs, `detail` for people."""
    return {"error": {"code": code, "message": message}, "detail": message, "status": "failed", **more}
