"""Jobs over HTTP: the same calls under the prefixes of all dialects, on one store and one log of events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from paretune.core.errors import Misconfigured
from paretune.server.asking import body, service, text
from paretune.server.service import Conflict, NotFound, Service, checked_id
from paretune.server.stream import stream
from paretune.server.submissions import Submission, offline, online
from paretune.server.wire.events import event_text, metric_points
from paretune.server.wire.jobs import cancellation, job_json, jobs_page, restarted, workflow_state
from paretune.server.wire.results import Results, artifact, artifact_texts, artifacts
from paretune.store.jobs import JobFilter, Jobs, JobState

Served = Annotated[Service, Depends(service)]
Body = Annotated[dict[str, Any], Depends(body)]
Since = Annotated[int, Query(ge=0)]
MOST_EVENTS = 10_000
STATES: tuple[JobState, ...] = get_args(JobState)

PREFIXES = (
    "/api/prompt-learning/online/jobs",
    "/api/policy-optimization/online/jobs",
    "/api/v1/offline/jobs",
    "/api/v2/offline/jobs",
    "/api/jobs",
)
"""A, B and C; the last is what newer clients of B and C ask beside theirs."""


async def known(job_id: str) -> str:
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
    router.add_api_route("/{job_id}/artifacts/{name:path}", _artifact, methods=["GET"])
    router.add_api_route("/{job_id}/results", _results, methods=["GET"])
    router.add_api_route("/{job_id}/cancel", _cancel, methods=["POST"])
    router.add_api_route("/{job_id}/pause", _pause, methods=["POST"])
    router.add_api_route("/{job_id}/resume", _resume, methods=["POST"])
    router.add_api_route("/{job_id}/checkpoint", _checkpoint, methods=["GET"])
    router.add_api_route("/{job_id}/restart-from-checkpoint", _restart, methods=["POST"])
    old = "/{job_id}/restart_from_checkpoint"  # the same operation, as some clients spell it
    router.add_api_route(old, _restart, methods=["POST"], include_in_schema=False)
    router.add_api_route("/{job_id}/workflow-state", _workflow_state, methods=["GET"])
    return router


def submit_routes() -> APIRouter:
    """Where jobs are submitted and listed."""
    router = APIRouter()
    readers: dict[str, Callable[[Mapping[str, Any]], Submission]] = {
        PREFIXES[0]: partial(online, dialect="prompt_learning"),
        PREFIXES[1]: partial(online, dialect="policy"),
        PREFIXES[2]: offline,
        PREFIXES[3]: offline,
    }
    for prefix, read in readers.items():
        router.add_api_route(prefix, _submitter(read), methods=["POST"], status_code=201)
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
    if state and state not in STATES:
        raise Misconfigured("state", f"{state[:80]!r} is none of {', '.join(STATES)}")
    which = JobFilter(state, kind, system_id, system_name, created_after, created_before)
    jobs, next_cursor = await asyncio.to_thread(served.jobs.page, which, limit, cursor)
    return jobs_page(jobs, next_cursor)


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
) -> Response:
    """Events with a larger number, in order."""
    text = await asyncio.to_thread(_events_text, served.jobs, job_id, since_seq, min(limit, MOST_EVENTS))
    return Response(text, media_type="application/json")


def _events_text(jobs: Jobs, job_id: str, since: int, limit: int) -> str:
    found = jobs.events(job_id, since, limit)
    told = ", ".join(event_text(job_id, event) for event in found)
    last = found[-1].seq if found else since
    return f'{{"events": [{told}], "next_seq": {last}, "job_id": {json.dumps(job_id)}}}'


async def _stream(request: Request, served: Served, job_id: JobId, since_seq: Since = 0) -> Response:
    """Server-sent events, from the first or the one after `since_seq` (or `Last-Event-ID`) on."""
    await served.job(job_id)
    return stream(request, served, job_id, since_seq)


async def _metrics(
    served: Served, job_id: JobId, limit: Annotated[int, Query(ge=1, le=10_000)] = 200
) -> dict[str, Any]:
    """Points of the run's curves."""
    found = await asyncio.to_thread(served.jobs.events, job_id)
    return {"points": metric_points(found, limit), "job_id": job_id}


async def _artifacts(served: Served, job_id: JobId) -> dict[str, Any]:
    """What the job made: texts, and the evidence for them; none before it began."""
    job, view = await served.seen(job_id)
    if view is None:
        return {"job_id": job_id, "artifacts": []}
    return await served.aside(artifacts, job, view)


async def _artifact(served: Served, job_id: JobId, name: str) -> dict[str, Any]:
    """One of them, whole."""
    job, view = await served.seen(job_id)
    texts = await served.aside(artifact_texts, job, view) if view else {}
    if name not in texts:
        raise NotFound(f"job {job_id} has no artifact {name[:100]!r}")
    return artifact(name, texts[name], longest=None)


async def _results(served: Served, job_id: JobId) -> dict[str, Any]:
    """Best prompt, ranking, and what was tried; of a run that goes on, so far."""
    job, view = await served.seen(job_id)
    if view is None:
        return {"job_id": job_id, "status": job.state, "best_prompt": None, "best_score": None}
    return await served.aside(lambda: Results(job, view).all())


async def _cancel(served: Served, job_id: JobId, sent: Body) -> dict[str, Any]:
    """Ends the job for good. One that has ended is told about, as clients expect."""
    try:
        return cancellation(await served.cancel(job_id, text(sent, "reason")))
    except Conflict:
        return cancellation(await served.job(job_id))


async def _pause(served: Served, job_id: JobId) -> dict[str, Any]:
    """Brings the job to rest."""
    return job_json(await served.pause(job_id))


async def _resume(served: Served, job_id: JobId) -> dict[str, Any]:
    """Goes on with a job that rests or failed."""
    return job_json(await served.resume(job_id))


async def _checkpoint(served: Served, job_id: JobId) -> dict[str, Any]:
    """Where the record stands."""
    return dict(await served.checkpoint(job_id))


async def _restart(served: Served, job_id: JobId) -> dict[str, Any]:
    """Another job that goes on from this one's record."""
    return restarted(await served.restart(job_id))


async def _workflow_state(served: Served, job_id: JobId) -> dict[str, Any]:
    """How the run behind the job stands."""
    return workflow_state(await served.job(job_id))
