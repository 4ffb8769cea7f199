"""Reading requests: bodies, numbers, and errors as they go out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from paretune.container.body import NotJson, parse_json, storable
from paretune.container.gate import error_body
from paretune.core.errors import Misconfigured, NotAvailable, ParetuneError
from paretune.server.door import Refusal
from paretune.server.service import Conflict, NotFound, Service, TooMany
from paretune.store import StoreError, UnknownVerifier
from paretune.store.jobs import Taken, UnknownJob, UnknownSystem

logger = logging.getLogger(__name__)


async def service(request: Request) -> Service:
    """The server's. A coroutine, as all that routes depend on: a plain function takes a thread each time."""
    found: Service = request.app.state.service
    return found


async def body(request: Request) -> dict[str, Any]:
    """The JSON object that was sent; an empty body is an empty object. Raises Misconfigured."""
    data = await request.body()
    if not data.strip():
        return {}
    return await asyncio.to_thread(_object, data)  # of a large one it takes a second


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = parse_json(data)
    except NotJson as error:
        raise Misconfigured("body", str(error)) from None
    if not isinstance(value, dict):
        raise Misconfigured("body", "must be a JSON object")
    if storable(value) != value:
        raise Misconfigured("body", "has NaN, an infinity, NUL or half a surrogate pair: nothing keeps those")
    return value


def section(of: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A nested object, empty where there is none. Raises Misconfigured for anything else."""
    value = of.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Misconfigured(name, "must be an object")
    return dict(value)


def text(of: Mapping[str, Any], name: str) -> str:
    """A text, empty where there is none. Raises Misconfigured for anything else."""
    value = of.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Misconfigured(name, "must be a text")
    return value


def flag(of: Mapping[str, Any], name: str, default: bool) -> bool:
    value = of.get(name, default)
    if not isinstance(value, bool):
        raise Misconfigured(name, "must be true or false")
    return value


def handle_errors(app: FastAPI) -> None:
    """Every error is a JSON object with a code and a text; none has a traceback."""

    @app.exception_handler(ParetuneError)
    async def _ours(request: Request, error: ParetuneError) -> JSONResponse:
        match error:
            case UnknownJob() | UnknownSystem() | UnknownVerifier() | NotFound():
                return _answer(404, "not_found", str(error))
            case NotAvailable():
                return _answer(422, "not_available", str(error), field=error.field)
            case Misconfigured():
                return _answer(422, "misconfigured", str(error), field=error.field)
            case Conflict() | Taken():
                return _answer(409, "conflict", str(error))
            case TooMany():
                told = {"limit": error.limit, "current": error.current, "tier": "self-hosted"}
                detail = {"message": str(error), **told}
                return JSONResponse({"detail": detail}, 429, {"Retry-After": "5"})
            case StoreError():
                return _answer(503, "store", str(error))
            case _:
                return _answer(500, "failed", str(error))

    @app.exception_handler(Refusal)
    async def _refused(request: Request, refusal: Refusal) -> JSONResponse:
        return refusal.response()

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][1:]) or "request"
        return _answer(422, "misconfigured", f"{field}: {first['msg']}", field=field)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        return _answer(error.status_code, "http", str(error.detail))


def _answer(status: int, code: str, message: str, **more: Any) -> JSONResponse:
    return JSONResponse(error_body(code, message, **more), status)
