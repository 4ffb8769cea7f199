"""Server-sent events: a job's events from the first (or from where a reader stands) to the last.

Nothing is kept for a reader but a number: who reads slowly, or not at all, delays nobody and takes no memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request
from fastapi.responses import StreamingResponse

from paretune.core.errors import Misconfigured
from paretune.server.service import Service
from paretune.server.teller import OVER

DIGITS = 19
KEEP_ALIVE_SECONDS = 10.0
CANCELLED_SECONDS = 5.0


def stream(request: Request, service: Service, job_id: str, since: int) -> StreamingResponse:
    """The answer to a reader, who may say in `Last-Event-ID` where it stands."""
    last = request.headers.get("last-event-id", "")
    if last:
        if not (last.isascii() and last.isdecimal() and len(last) < DIGITS):
            raise Misconfigured("Last-Event-ID", "must be the number of an event")
        since = max(since, int(last))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_lines(service, job_id, since), media_type="text/event-stream", headers=headers)


async def _lines(service: Service, job_id: str, since: int) -> AsyncIterator[bytes]:
    yield b": connected\n\n"
    bells = service.teller.bells
    while not bells.closed:
        bell = bells.bell(job_id)
        page = await service.pages.after(job_id, since, bell)
        if page.frames:
            yield page.frames
            since = page.last
            continue
        if page.state in OVER:
            if page.state == "cancelled":  # no event tells clients that; they ask for the status now and then
                await asyncio.sleep(CANCELLED_SECONDS)
            return
        try:
            await asyncio.wait_for(bell.wait(), KEEP_ALIVE_SECONDS)
        except TimeoutError:
            yield b": still here\n\n"
