"""Candidates over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request

from paretune.server.routes_jobs import JobId, Served
from paretune.server.service import NotFound
from paretune.server.wire.candidates import Query, one, page
from paretune.store.jobs import JobFilter

router = APIRouter()
NEWEST = 50
"""So many of the newest jobs are looked through, for a candidate by its id alone or those of a system."""


async def _page(request: Request, served: Served, job_id: JobId) -> dict[str, Any]:
    """A page of the job's candidates: `limit`, `sort`, `status`, `mode`, `algorithm`, `include`, `cursor`."""
    query = Query.of(request.query_params)
    job, view = await served.seen(job_id)
    return await served.aside(page, [(job, view)] if view else [], query)


async def _one(served: Served, job_id: JobId, candidate_id: str) -> dict[str, Any]:
    """One candidate with everything."""
    job, view = await served.seen(job_id)
    found = await served.aside(one, job, view, candidate_id) if view else None
    if found is None:
        raise NotFound(f"job {job_id} has no candidate {candidate_id[:100]!r}")
    return found


for version in ("v1", "v2"):
    prefix = f"/api/{version}/offline/jobs/{{job_id}}/candidates"
    router.add_api_route(prefix, _page, methods=["GET"])
    router.add_api_route(prefix + "/{candidate_id}", _one, methods=["GET"])


@router.get("/api/candidates/{candidate_id}")
async def anywhere(served: Served, candidate_id: str) -> dict[str, Any]:
    """One candidate of any of the newest jobs."""
    jobs, _ = await asyncio.to_thread(served.jobs.page, JobFilter(), NEWEST)
    for job in jobs:
        _, view = await served.seen(job.id)
        found = await served.aside(one, job, view, candidate_id) if view else None
        if found is not None:
            return found
    raise NotFound(f"no candidate {candidate_id[:100]!r} in the newest {NEWEST} jobs")


@router.get("/api/systems/{system_id}/candidates")
async def of_system(request: Request, served: Served, system_id: str) -> dict[str, Any]:
    """The candidates of a system's jobs, or of the one that `job_id` names."""
    query, wanted = Query.of(request.query_params), request.query_params.get("job_id", "")
    jobs, _ = await asyncio.to_thread(served.jobs.page, JobFilter(system_id=system_id), NEWEST)
    chosen = [await served.seen(job.id) for job in jobs if wanted in ("", job.id)]
    if wanted and not chosen:
        raise NotFound(f"system {system_id[:100]!r} has no job {wanted[:100]!r}")
    sources = [(job, view) for job, view in chosen if view]
    return await served.aside(page, sources, query)
