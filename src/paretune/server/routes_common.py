"""What is not about one job: health, sealed environment keys, systems, and what comes later."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from dataclasses import replace
from importlib import metadata
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from paretune.core.errors import Misconfigured, NotAvailable
from paretune.server.asking import flag, section, text
from paretune.server.routes_jobs import Body, Served
from paretune.server.service import new_system
from paretune.store.jobs import StoredSystem, timestamp

router = APIRouter()
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
SEALED_BYTES = 64 * 2**10
UPLOADABLE = "ENVIRONMENT_API_KEY"
SYSTEMS = "/api/v1/policy-optimization/systems"


@router.get("/", response_model=None)
async def root(request: Request, served: Served) -> dict[str, Any] | Response:
    """A browser is led to the console; everybody else hears what `/health` says."""
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse("/console/", 303)
    return await health(served)


@router.get("/health")
@router.get("/api/health")
async def health(served: Served) -> dict[str, Any]:
    """That the server is there, and how many jobs are at work."""
    version = metadata.version("paretune")
    at_work = len(served.workers.at_work)
    return {"status": "ok", "service": "paretune", "version": version, "at_work": at_work}


@router.get("/api/v1/crypto/public-key")
async def public_key(served: Served) -> dict[str, str]:
    """The key that secrets are sealed with before they are sent."""
    return {"public_key": served.environment.vault.public_key, "alg": "libsodium.sealedbox.v1"}


@router.post("/api/v1/env-keys", status_code=201)
async def keep_env_key(served: Served, sent: Body) -> dict[str, str]:
    """An environment variable for the processes of all jobs, sealed; only the server opens it."""
    name, sealed = text(sent, "name"), text(sent, "ciphertext_b64")
    if not NAME.fullmatch(name):
        raise Misconfigured("name", "must be the name of an environment variable")
    if name != UPLOADABLE and not name.endswith(("_API_KEY", "_TOKEN", "_KEY")):
        raise Misconfigured("name", "only keys are taken: names that end in _API_KEY, _KEY or _TOKEN")
    if len(sealed) > SEALED_BYTES:
        raise Misconfigured("ciphertext_b64", f"has more than {SEALED_BYTES} characters")
    try:
        base64.b64decode(sealed, validate=True)
    except binascii.Error:
        raise Misconfigured("ciphertext_b64", "is not base64") from None
    await asyncio.to_thread(served.environment.vault.open, sealed)  # refused now rather than by every job
    await asyncio.to_thread(served.jobs.keep_secret, "", name, sealed)
    return {"id": f"env_{name}", "name": name, "updated_at": timestamp()}


@router.post(SYSTEMS, status_code=201)
async def add_system(served: Served, sent: Body) -> dict[str, Any]:
    """A name under which jobs are kept together; with `reuse` the one of that name, if there is one."""
    name = text(sent, "name")
    if not name:
        raise Misconfigured("name", "a system needs a name")
    system = new_system(name, text(sent, "technique"), section(sent, "metadata"))
    if given := text(sent, "id"):
        system = replace(system, id=given)
    kept = await asyncio.to_thread(served.jobs.keep_system, system, reuse=flag(sent, "reuse", True))
    return _system(kept)


@router.get(SYSTEMS)
async def systems(served: Served, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> dict[str, Any]:
    """All of them, newest first."""
    found = await asyncio.to_thread(served.jobs.systems)
    return {"items": [_system(system) for system in found[:limit]], "next_cursor": None}


@router.get(SYSTEMS + "/{system_id}")
async def system(served: Served, system_id: str) -> dict[str, Any]:
    """One of them."""
    return _system(await asyncio.to_thread(served.jobs.system, system_id))


@router.patch(SYSTEMS + "/{system_id}")
async def change_system(served: Served, system_id: str, sent: Body) -> dict[str, Any]:
    """Another name, technique or metadata."""
    known = await asyncio.to_thread(served.jobs.system, system_id)
    changed = replace(
        known,
        name=text(sent, "name") or known.name,
        technique=text(sent, "technique") or known.technique,
        metadata=section(sent, "metadata") if "metadata" in sent else known.metadata,
    )
    return _system(await asyncio.to_thread(served.jobs.change_system, changed))


def _system(system: StoredSystem) -> dict[str, Any]:
    return {
        "id": system.id,
        "name": system.name,
        "technique": system.technique,
        "metadata": dict(system.metadata),
        "created_at": system.created_at,
    }


@router.post("/api/prompt-learning/online/mipro/sessions")
@router.post("/api/v1/online/sessions")
@router.post("/api/v2/online/sessions")
async def online_session() -> None:
    """Online sessions come later."""
    raise NotAvailable("online sessions")
