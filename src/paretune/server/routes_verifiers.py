"""Rubrics and graphs that jobs judge by: registered under a name, in versions that never change."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query

from paretune.config.rubrics import VerifierDocument
from paretune.core.errors import Misconfigured
from paretune.engine.judging import graph_of
from paretune.server.asking import section, text
from paretune.server.routes_jobs import Body, Served
from paretune.store.verifiers import StoredVerifier

router = APIRouter()
VERIFIERS = "/api/v1/verifiers"
ALIASES = ("/api/verifiers",)


async def add_verifier(served: Served, sent: Body) -> dict[str, Any]:
    """`{"name", "rubric" or "graph", "metadata"}`: the next version of that name, or the newest if it is the
    same."""
    name = text(sent, "name")
    if not name:
        raise Misconfigured("name", "a verifier needs a name")
    given = {key: value for key, value in sent.items() if key not in ("name", "metadata", "kind")}
    document = VerifierDocument.from_mapping(given)
    if (kind := text(sent, "kind")) not in ("", document.kind):
        raise Misconfigured("kind", f"{kind[:40]!r} here, but a {document.kind} was sent")
    graph_of(document)
    kept = await asyncio.to_thread(
        served.verifiers.add, name, document.kind, document.to_dict(), section(sent, "metadata")
    )
    return _verifier(kept)


async def verifiers(
    served: Served, name: str = "", limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> dict[str, Any]:
    """Every version, by name and the newest first; or those of one name."""
    found = await asyncio.to_thread(served.verifiers.all, name, limit)
    return {"items": [_verifier(one) for one in found], "next_cursor": None}


async def verifier(served: Served, reference: str) -> dict[str, Any]:
    """By id, `name@version`, or name: its newest version."""
    return _verifier(await asyncio.to_thread(served.verifiers.find, reference))


def _verifier(stored: StoredVerifier) -> dict[str, Any]:
    return {
        "id": stored.id,
        "verifier_id": stored.id,
        "name": stored.name,
        "version": stored.version,
        "reference": stored.reference,
        "kind": stored.kind,
        **dict(stored.document),
        "metadata": dict(stored.metadata),
        "created_at": stored.created_at,
    }


for prefix in (VERIFIERS, *ALIASES):
    router.add_api_route(prefix, add_verifier, methods=["POST"], status_code=201)
    router.add_api_route(prefix, verifiers, methods=["GET"])
    router.add_api_route(prefix + "/{reference}", verifier, methods=["GET"])
