"""Candidates over HTTP."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query
from paretune.server.wire.candidates import Asked, candidate, page

from paretune.core.errors import Misconfigured
from paretune.server.routes_jobs import JobId, Served
from paretune.store.jobs import JobFilter, UnknownJob

router = APIRouter()
NEWEST = 50
"""Jobs in which a candidate is looked for by its id alone."""


async def _page(
    served: Served,
    job_id: JobId,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    algorithm: str = "",
    mode: str = "",
    status: str = "",
    cursor: str = "",
    sort: str = "",
    include: str = "",
) -> dict[str, Any]:
    """A page of the job's candidates."""
    asked = Asked(
        limit=limit, algorithm=algorithm, mode=mode, status=status, cursor=cursor, sort=sort, include=include
    )
    job, view = await served.job(job_id), await served.view(job_id)
    return await asyncio.to_thread(page, job, view, asked)


async def _one(served: Served, job_id: JobId, candidate_id: str) -> dict[str, Any]:
    """One candidate with everything."""
    job, view = await served.job(job_id), await served.view(job_id)
    found = await asyncio.to_thread(candidate, job, view, candidate_id)
    if found is None:
        raise UnknownJob(f"job {job_id} has no candidate {candidate_id}")
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
        found = await asyncio.to_thread(candidate, job, await served.view(job.id), candidate_id)
        if found is not None:
            return found
    raise UnknownJob(f"no candidate {candidate_id} in the newest {NEWEST} jobs")


@router.get("/api/systems/{system_id}/candidates")
async def of_system(served: Served, system_id: str, job_id: str = "", include: str = "") -> dict[str, Any]:
    """The candidates of a system's newest job, or of the one that is named."""
    jobs, _ = await asyncio.to_thread(served.jobs.page, JobFilter(system_id=system_id), 1000)
    chosen = next((job for job in jobs if job_id in ("", job.id)), None)
    if chosen is None:
        raise Misconfigured("job_id", f"system {system_id} has no such job")
    return await asyncio.to_thread(page, chosen, await served.view(chosen.id), Asked(include=include))
