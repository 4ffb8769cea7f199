"""A limit to open event streams: each holds a connection for as long as its reader likes."""

from __future__ import annotations

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from paretune.container.gate import error_body

PATHS = ("/events/stream", "/live")
"""Of the jobs, and of the console."""
AGAIN_SECONDS = "5"


class Streams:
    """An ASGI application around another one, with at most `most` of its streams open."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most, self._open = app, most, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].endswith(PATHS):
            await self._app(scope, receive, send)
            return
        if self._open >= self._most:
            body = error_body("too_many_streams", f"{self._open} streams are open: as many as may be")
            await JSONResponse(body, 503, {"Retry-After": AGAIN_SECONDS})(scope, receive, send)
            return
        self._open += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._open -= 1
