"""Jobs over HTTP: the same calls under the prefixes of all dialects, on one store and one stream of events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from paretune.server.wire.events import event_json
from paretune.server.wire.jobs import job_json, metrics_json
from paretune.server.wire.results import artifacts, results

from paretune.core.errors import Misconfigured
from paretune.server.asking import body, service, text
from paretune.server.service import Service, checked_id
from paretune.server.stream import stream
from paretune.server.submissions import Submission, offline, online
from paretune.store.jobs import JobFilter, StoredJob

Served = Annotated[Service, Depends(service)]
Body = Annotated[dict[str, Any], Depends(body)]
Since = Annotated[int, Query(ge=0)]
MOST_EVENTS = 10_000

PREFIXES = (
    "/api/prompt-learning/online/jobs",
    "/api/policy-optimization/online/jobs",
    "/api/v1/offline/jobs",
    "/api/v2/offline/jobs",
    "/api/jobs",
)
"""A, B and C; the last is what newer clients of B and C ask beside theirs."""


def known(job_id: str) -> str:
    """The id, if it can be one: what is none has no job."""
    return checked_id(job_id)


JobId = Annotated[str, Depends(known)]


def job_routes(prefix: str) -> APIRouter:
    """Everything about one job that exists."""
    router = APIRouter(prefix=prefix)
    router.add_api_route("/{job_id}", _get, methods=["GET"])
    router.add_api_route("/{job_id}", _patch, methods=["PATCH"])
    router.add_api_route("/{job_id}/events", _events, methods=["GET"])
    router.add_api_route("/{job_id}/events/stream", _stream, methods=["GET"])
    router.add_api_route("/{job_id}/metrics", _metrics, methods=["GET"])
    router.add_api_route("/{job_id}/artifacts", _artifacts, methods=["GET"])
    router.add_api_route("/{job_id}/results", _results, methods=["GET"])
    router.add_api_route("/{job_id}/cancel", _cancel, methods=["POST"])
    router.add_api_route("/{job_id}/pause", _pause, methods=["POST"])
    router.add_api_route("/{job_id}/resume", _resume, methods=["POST"])
    router.add_api_route("/{job_id}/checkpoint", _checkpoint, methods=["GET"])
    for name in ("restart-from-checkpoint", "restart_from_checkpoint"):
        router.add_api_route(f"/{{job_id}}/{name}", _restart, methods=["POST"])
    router.add_api_route("/{job_id}/workflow-state", _workflow_state, methods=["GET"])
    return router


def submit_routes() -> APIRouter:
    """Where jobs are submitted and listed."""
    router = APIRouter()
    for prefix, dialect in ((PREFIXES[0], "prompt_learning"), (PREFIXES[1], "policy")):
        router.add_api_route(
            prefix,
            _submitter(lambda body, dialect=dialect: online(body, dialect)),
            methods=["POST"],
            status_code=201,
        )
    for prefix in PREFIXES[2:4]:
        router.add_api_route(prefix, _submitter(offline), methods=["POST"], status_code=201)
    for prefix in PREFIXES:
        router.add_api_route(prefix, _list, methods=["GET"])
    return router


def _submitter(read: Callable[[Mapping[str, Any]], Submission]) -> Callable[..., Awaitable[dict[str, Any]]]:
    async def submit(request: Request, served: Served, sent: Body) -> dict[str, Any]:
        """Take a job; it is checked whole before anything is kept."""
        asked = await asyncio.to_thread(read, sent)
        owner = getattr(request.state, "owner", "")
        job = await served.submit(asked.config, {**asked.given, "owner": owner}, start=asked.start)
        return job_json(job)

    return submit


async def _list(
    served: Served,
    state: str = "",
    kind: str = "",
    system_id: str = "",
    system_name: str = "",
    created_after: str = "",
    created_before: str = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: str = "",
) -> dict[str, Any]:
    """Jobs, newest first."""
    which = JobFilter(state, kind, system_id, system_name, created_after, created_before)
    jobs, next_cursor = await asyncio.to_thread(served.jobs.page, which, limit, cursor)
    items = [job_json(job) for job in jobs]
    return {"items": items, "jobs": items, "next_cursor": next_cursor or None}


async def _get(served: Served, job_id: JobId) -> dict[str, Any]:
    """How the job stands."""
    return job_json(await served.job(job_id))


async def _patch(served: Served, job_id: JobId, sent: Body) -> dict[str, Any]:
    """`{"state": "paused" | "running" | "cancelled"}`."""
    wish = text(sent, "state")
    match wish:
        case "paused":
            return job_json(await served.pause(job_id))
        case "running":
            return job_json(await served.resume(job_id))
        case "cancelled" | "canceled":
            return job_json(await served.cancel(job_id, text(sent, "reason")))
        case _:
            raise Misconfigured("state", f"{wish!r} is none of paused, running, cancelled")


async def _events(
    served: Served, job_id: JobId, since_seq: Since = 0, limit: Annotated[int, Query(ge=1)] = MOST_EVENTS
) -> dict[str, Any]:
    """Events with a larger number, in order."""
    found = await asyncio.to_thread(served.jobs.events, job_id, since_seq, min(limit, MOST_EVENTS))
    events = [event_json(job_id, event) for event in found]
    return {"events": events, "next_seq": found[-1].seq if found else since_seq, "job_id": job_id}


async def _stream(request: Request, served: Served, job_id: JobId, since_seq: Since = 0) -> Response:
    """Server-sent events, from the first or the one after `since_seq` (or `Last-Event-ID`) on."""
    await served.job(job_id)
    return stream(request, served, job_id, since_seq)


async def _metrics(
    served: Served, job_id: JobId, limit: Annotated[int, Query(ge=1, le=10_000)] = 200
) -> dict[str, Any]:
    """Points of the run's curves."""
    found = await asyncio.to_thread(served.jobs.events, job_id)
    return {"points": metrics_json(found)[-limit:], "job_id": job_id}


async def _artifacts(served: Served, job_id: JobId) -> dict[str, Any]:
    """What the job made: texts, and the evidence for them."""
    job, view = await served.job(job_id), await served.view(job_id)
    items = await asyncio.to_thread(artifacts, job, view) if view is not None else []
    return {"artifacts": items, "items": items, "job_id": job_id}


async def _results(served: Served, job_id: JobId) -> dict[str, Any]:
    """Best prompt, ranking, and what was tried."""
    job, view = await served.job(job_id), await served.view(job_id)
    found = await asyncio.to_thread(results, job, view) if view is not None else {}
    return {"job_id": job_id, "status": job_json(job)["status"], **found}


async def _cancel(served: Served, job_id: JobId, sent: Body) -> dict[str, Any]:
    """Ends the job for good."""
    job = await served.cancel(job_id, text(sent, "reason"))
    return _wished(job, "cancelled", "the job is told to stop")


async def _pause(served: Served, job_id: JobId) -> dict[str, Any]:
    """Brings the job to rest."""
    return _wished(await served.pause(job_id), "paused", "the job is told to come to rest")


async def _resume(served: Served, job_id: JobId) -> dict[str, Any]:
    """Goes on with a job that rests or failed."""
    return _wished(await served.resume(job_id), "queued", "the job goes on")


def _wished(job: StoredJob, state: str, message: str) -> dict[str, Any]:
    done = job.state == state
    return {
        **job_json(job),
        "status": "succeeded" if done else "partial",
        "message": message,
        "attempt_id": job.run_id,
    }


async def _checkpoint(served: Served, job_id: JobId) -> dict[str, Any]:
    """Where the record stands."""
    return dict(await served.checkpoint(job_id))


async def _restart(served: Served, job_id: JobId) -> dict[str, Any]:
    """Another job that goes on from this one's record."""
    child = await served.restart(job_id)
    return {**job_json(child), "child_job_id": child.id, "parent_job_id": job_id}


async def _workflow_state(served: Served, job_id: JobId) -> dict[str, Any]:
    """How the run behind the job stands."""
    job = await served.job(job_id)
    told = job_json(job)
    state = {
        "job_id": job.id,
        "run_id": job.run_id,
        "status": told["status"],
        "progress": dict(job.standing),
        "algorithm": job.algorithm,
        "error": told.get("error"),
    }
    return {"job_id": job.id, "workflow_state": state, "query_name": "workflow_state", "error": None}
