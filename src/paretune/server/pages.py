"""Events as readers of streams get them: read once for all who stand at the same place."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

from paretune.server.wire.events import event_text
from paretune.store.jobs import JobEvent, Jobs, JobState

PAGE = 25
THREADS = 1


class Page(NamedTuple):
    """The next events as they go out, the number of the last of them, and the job's state before them."""

    frames: bytes
    last: int
    state: JobState


@dataclass(slots=True)
class Pages:
    """Lives on the event loop. Nothing is kept when nobody reads.

    Threads of their own: who asks for one job does not wait behind those who read whole logs.
    """

    jobs: Jobs
    _reading: dict[tuple[str, int, asyncio.Event], asyncio.Future[Page]] = field(default_factory=dict)
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS, "pages"))
    _turnstile: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def after(self, job_id: str, since: int, bell: asyncio.Event) -> Page:
        """What comes after the event `since`. Only who waits for the same `bell` shares a reading: one that
        began before it rang may lack what it rang for."""
        place = (job_id, since, bell)
        reading = self._reading.get(place)
        if reading is None:
            reading = asyncio.get_running_loop().run_in_executor(self._threads, self._read, job_id, since)
            self._reading[place] = reading
            reading.add_done_callback(lambda _: self._reading.pop(place, None))
        page = await asyncio.shield(reading)  # one who leaves leaves it to the others
        async with self._turnstile:  # all at once they would hold up every other answer
            await asyncio.sleep(0)
        return page

    def _read(self, job_id: str, since: int) -> Page:
        state = self.jobs.job(job_id).state  # first: the last events are there when it says that it is over
        events = self.jobs.events(job_id, since, PAGE)
        frames = "".join(frame(job_id, event) for event in events).encode()
        return Page(frames, events[-1].seq if events else since, state)


def frame(job_id: str, event: JobEvent) -> str:
    """One event: its number, its type, and all of it as JSON on one line."""
    return f"id: {event.seq}\nevent: {event.type}\ndata: {event_text(job_id, event)}\n\n"
