"""Tells jobs as they go: folds the decisions of runs into events on the wire, and wakes those who read them.

One thread does all of it, beside the event loop: the folds are its alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from paretune.core.errors import ParetuneError
from paretune.engine.workspace import Workspace
from paretune.server.wire.projection import Projection
from paretune.server.wire.standing import Meter
from paretune.store import StatusSet, UnknownRun
from paretune.store.jobs import Changes, JobEvent, Jobs, JobState, StoredJob, timestamp
from paretune.views.run_view import RunView, read

logger = logging.getLogger(__name__)
EVERY_SECONDS = 0.25
OVER: tuple[JobState, ...] = ("succeeded", "failed", "cancelled")
T = TypeVar("T")


@dataclass(slots=True)
class Bells:
    """Wakes who waits for a job's next event. Lives on the event loop."""

    closed: bool = False
    """Nothing more is told here: readers go, and come back to the next server."""
    _rung: WeakValueDictionary[str, asyncio.Event] = field(default_factory=WeakValueDictionary)
    """Each is there for as long as somebody waits for it."""

    def ring(self, job_id: str) -> None:
        if bell := self._rung.pop(job_id, None):
            bell.set()

    def bell(self, job_id: str) -> asyncio.Event:
        """Rings once, when there is more to tell. To be asked for before reading what there is."""
        return self._rung.setdefault(job_id, asyncio.Event())

    def close(self) -> None:
        """All ring, for the last time."""
        self.closed = True
        for job_id in list(self._rung):
            self.ring(job_id)


@dataclass(slots=True)
class Teller:
    """What happens to jobs, on the wire."""

    jobs: Jobs
    workspace: Workspace
    bells: Bells = field(default_factory=Bells)
    _folds: dict[str, Projection] = field(default_factory=dict)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "teller"))

    async def run(self, at_work: Callable[[], Mapping[str, Mapping[str, Any]]]) -> None:
        """Follow the jobs at work, with what each has taken, until cancelled."""
        troubles: dict[str, str] = {}
        while True:
            for job_id, meter in at_work().items():
                try:
                    await self.follow(job_id, meter)
                except Exception as error:  # noqa: BLE001 - one is no reason to leave the others
                    if troubles.get(job_id) != str(error):
                        _log(job_id, error)
                    troubles[job_id] = str(error)
            await asyncio.sleep(EVERY_SECONDS)

    async def submitted(self, job: StoredJob, secrets: Mapping[str, str]) -> None:
        """A job is there: its row, its first events and its sealed secrets."""
        await self._do(self._submit, job, secrets)

    async def follow(self, job_id: str, meter: Mapping[str, Any]) -> None:
        """Tell what was decided since."""
        if await self._do(self._catch_up, job_id, Meter(**meter)):
            self.bells.ring(job_id)

    async def ended(self, job: StoredJob, status: str, detail: str) -> None:
        """The job rests: the last decisions, its results, and its new state, in one."""
        await self._do(self._conclude, job.id, _STATES.get(status, "failed"), detail)
        self.bells.ring(job.id)

    async def changed(self, job_id: str, only: tuple[JobState, ...], state: JobState, detail: str) -> bool:
        """A job that is not at work gets another state; False if its state is none of `only`."""
        done = await self._do(self._change, job_id, only, state, detail)
        self.bells.ring(job_id)
        return done

    async def close(self) -> None:
        await asyncio.to_thread(self._thread.shutdown)

    async def _do(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    # -- in the teller's thread -------------------------------------------------------------------

    def _submit(self, job: StoredJob, secrets: Mapping[str, str]) -> None:
        self.jobs.create(job, Projection(job, None).begin(), secrets)

    def _catch_up(self, job_id: str, meter: Meter | None = None) -> bool:
        """True if there was anything to tell. Of a job that rests all is told already."""
        job = self.jobs.job(job_id)
        fold = self._fold(job) if job.state == "running" else None
        if fold is None:
            return False
        try:
            events, told = self._untold(job, fold, meter)
            if told > job.told:
                self.jobs.append(job_id, events, told=told, standing=fold.standing)
        except BaseException:
            self._folds.pop(job_id, None)  # it is ahead of what is on record
            raise
        return bool(events)

    def _untold(
        self, job: StoredJob, fold: Projection, meter: Meter | None = None
    ) -> tuple[list[JobEvent], int]:
        """Events of what was decided since, and how many decisions are told with them."""
        log = self.workspace.store.decisions(job.run_id, job.told)
        return [event for decision in log for event in fold.after(decision, meter)], job.told + len(log)

    def _change(self, job_id: str, only: tuple[JobState, ...], state: JobState, detail: str) -> bool:
        if self.jobs.job(job_id).state not in only:
            return False
        self._conclude(job_id, state, detail)
        return True

    def _conclude(self, job_id: str, state: JobState, detail: str) -> None:
        job, over = self.jobs.job(job_id), state in OVER
        if state == "cancelled":
            self._cancel_run(job.run_id, detail)
        events, told = list[JobEvent](), job.told
        try:
            fold = self._fold(job) or Projection(job, None)
            if fold.run_job is not None:
                events, told = self._untold(job, fold)
            events += fold.ended(state, detail, self._view(job), timestamp())
        except Exception as error:  # noqa: BLE001 - it has an end all the same
            _log(job_id, error)
            fold, told = Projection(job, None), job.told
            if state == "succeeded":
                state, detail = "failed", f"its record cannot be read: {error}"
            events = fold.ended(state, detail, None, timestamp())
        changes: Changes = {"state": state, "detail": detail, "wish": "", "told": told}
        changes["standing"] = fold.standing
        changes["ended_at"] = timestamp() if over else ""
        self._folds.pop(job_id, None)
        done = over and state != "failed"  # one that failed may be tried again
        self.jobs.append(job_id, events, forget_secrets=done, **changes)

    def _cancel_run(self, run_id: str, detail: str) -> None:
        """The run says so too, if its own process did not see to it: nobody goes on with it."""
        with contextlib.suppress(UnknownRun):
            if self.workspace.store.run(run_id).status != "cancelled":
                self.workspace.store.commit(run_id, [StatusSet("cancelled", detail, clear_wish=True)])

    def _fold(self, job: StoredJob) -> Projection | None:
        """The fold of what is told already; None while there is no run."""
        fold = self._folds.get(job.id)
        if fold is None:
            with contextlib.suppress(UnknownRun):
                run = self.workspace.store.run(job.run_id)
                fold = Projection(job, run.job)
                for decision in self.workspace.store.decisions(run.id)[: job.told]:
                    fold.after(decision)
                self._folds[job.id] = fold
        return fold

    def _view(self, job: StoredJob) -> RunView | None:
        try:
            return read(self.workspace.store, job.run_id)
        except UnknownRun:
            return None


def _log(job_id: str, error: Exception) -> None:
    """With its place only where it is a mistake of ours."""
    logger.error("%s cannot be told: %s", job_id, error, exc_info=not isinstance(error, ParetuneError))


_STATES: Mapping[str, JobState] = {
    "succeeded": "succeeded",
    "failed": "failed",
    "cancelled": "cancelled",
    "paused": "paused",
}
