"""Workers: one process per job at work, so many at once, with fair shares of the rollouts.

The state of a job is the store's. What is here is only who is at work just now: a server that starts finds
the jobs that were running and starts their processes again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from paretune.config import PromptLearningConfig
from paretune.core.errors import Misconfigured, ParetuneError
from paretune.engine.workspace import Workspace
from paretune.server.environment import without
from paretune.server.process import JobProcess
from paretune.server.shares import shares
from paretune.server.worker import Orders
from paretune.store import StoreError, UnknownRun
from paretune.store.jobs import Jobs, JobState, StoredJob, timestamp

logger = logging.getLogger(__name__)
QUEUED: tuple[JobState, ...] = ("queued",)
PAUSED: tuple[JobState, ...] = ("paused",)
RESUME = "resume"
"""A wish of a job that was asked to pause, and is to go on as soon as it rests."""
LOST = 3
"""So many processes of a job may end without a word before it has failed."""
AGAIN_SECONDS = 1.0
DRAIN_SECONDS = 25.0
"""A run that comes to rest brings its calls home, twice ten seconds at most."""

Ended = Callable[[StoredJob, str, str], Awaitable[None]]
"""(job, status, detail): called once when a job's process is at rest; puts the new state on record."""


@dataclass(slots=True)
class Worker:
    """A job that is at work. `wish` is insisted on until the process rests."""

    job: StoredJob
    share: int
    wanted: int
    wish: str = ""
    prepared: bool = False
    meter: Mapping[str, Any] = field(default_factory=dict)
    process: JobProcess | None = None

    def tell(self, **words: object) -> None:
        """To the process, if there is one."""
        if self.process is not None:
            self.process.tell(json.dumps(words))


class Environment(Protocol):
    """The variables that a job is carried with."""

    def of(self, job: StoredJob) -> Mapping[str, str]: ...


@dataclass(slots=True)
class Workers:
    """`at_once` jobs at work, `rollouts` out in all of them together."""

    jobs: Jobs
    workspace: Workspace
    environment: Environment
    ended: Ended
    at_once: int = 4
    rollouts: int = 128
    _working: dict[str, Worker] = field(default_factory=dict)
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    settled: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by who starts a job, and by who looks whether it is at work to decide what to do."""
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _closing: bool = False

    @property
    def at_work(self) -> Mapping[str, Mapping[str, Any]]:
        """The jobs that are, and what each said last of what it has taken."""
        return {job_id: worker.meter for job_id, worker in self._working.items()}

    def wake(self) -> None:
        """A job may be waiting to be started."""
        self._wake.set()

    async def run(self) -> None:
        """Adopt what was running, then start what is queued, until cancelled."""
        adopted = False
        while True:
            try:
                if not adopted:
                    await self._adopt()
                    adopted = True
                await self._start_queued()
            except StoreError as error:
                logger.error("no job can be started: %s", error)
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            await self._wake.wait()
            self._wake.clear()

    async def close(self) -> None:
        """Bring all runs to rest; their jobs go on with the next server."""
        self._closing = True
        for worker in self._working.values():
            if worker.process is not None:
                worker.process.rest()
        tasks = list(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def wish(self, job_id: str, wish: str) -> bool:
        """Ask a job at work to pause or cancel; False if it is not at work."""
        worker = self._working.get(job_id)
        if worker is None:
            return False
        worker.wish = wish
        return True

    async def _adopt(self) -> None:
        for job in await asyncio.to_thread(self.jobs.in_state, "running"):
            self._start(job)

    async def _start_queued(self) -> None:
        free = self.at_once - len(self._working)
        if free <= 0 or self._closing:
            return
        for job in await asyncio.to_thread(lambda: self.jobs.in_state("queued", limit=free)):
            async with self.settled:
                taken = await asyncio.to_thread(_take, self.jobs, job)
                if taken is not None:
                    self._start(taken)

    def _start(self, job: StoredJob) -> None:
        wanted = _most_out(job)
        self._working[job.id] = Worker(job, wanted, wanted, job.wish)
        self._share_out()
        self._tasks[job.id] = asyncio.create_task(self._whole(self._working[job.id]))

    def _share_out(self) -> None:
        given = shares({id: worker.wanted for id, worker in self._working.items()}, self.rollouts)
        for id, worker in self._working.items():
            if worker.share != given[id]:
                worker.share = given[id]
                worker.tell(share=worker.share)

    async def _whole(self, worker: Worker) -> None:
        """The job's processes, one after the other while they are lost, and what came of it."""
        insisting = asyncio.create_task(self._insist(worker))
        try:
            status, detail = await self._carried(worker)
            if not (self._closing and status == "paused"):
                await self._put_on_record(worker, status, detail)
        finally:
            insisting.cancel()
            del self._working[worker.job.id], self._tasks[worker.job.id]
            self._share_out()
            self.wake()

    async def _put_on_record(self, worker: Worker, status: str, detail: str) -> None:
        """Until it is there: nobody works on the job any more, so nobody else would."""
        told = False
        while True:
            try:
                if not told:  # not twice: what was wished since would be undone
                    await self.ended(worker.job, status, detail)
                    told = True
                if status == "paused":
                    await self._wished_late(worker)
                return
            except StoreError as error:
                logger.error("%s is %s, which cannot be kept: %s", worker.job.id, status, error)
                await asyncio.sleep(AGAIN_SECONDS)

    async def _wished_late(self, worker: Worker) -> None:
        """Something else was wished while the job was coming to rest."""
        async with self.settled:
            job = await asyncio.to_thread(self.jobs.job, worker.job.id)
            if job.state == "paused" and worker.wish == "cancel":
                await self.ended(job, "cancelled", "cancelled on request")
            elif job.state == "paused" and worker.wish == RESUME:
                await asyncio.to_thread(_requeue, self.jobs, job)

    async def _carried(self, worker: Worker) -> tuple[str, str]:
        try:
            return await self._until_it_rests(worker)
        except (ParetuneError, OSError) as error:
            return "failed", str(error)
        except Exception as error:  # else the job would be running for ever, with nobody at work
            logger.exception("%s cannot be carried on", worker.job.id)
            return "failed", f"a mistake of the server ({type(error).__name__}); its log says more"

    async def _until_it_rests(self, worker: Worker) -> tuple[str, str]:
        last = ""
        for _ in range(LOST):
            said, last = await self._process(worker)
            if said is not None:
                return said
            if worker.wish == "cancel":
                return "cancelled", "cancelled on request"
            if self._closing:
                return "paused", "interrupted"
            await asyncio.sleep(AGAIN_SECONDS)
        return "failed", f"its process ended {LOST} times without a word: {last}"

    async def _process(self, worker: Worker) -> tuple[tuple[str, str] | None, str]:
        """Status and detail that the process ended with, None if it was lost; and its last words."""
        variables = await asyncio.to_thread(self.environment.of, worker.job)
        worker.prepared = False
        worker.process = process = await JobProcess.start()
        try:
            process.tell(self._orders(worker, variables))
            if self._closing:
                process.rest()  # it came too late to be told with the others
            said = await _listen(worker, process)
            code = await process.ended()
        except BaseException:
            process.kill()
            raise
        finally:
            worker.process = None
        if said is None and process.tail:
            last_words = without("\n".join(process.tail), variables)
            logger.error("%s lost its process: %s", worker.job.id, last_words)
        if said is not None:  # what the task answered is in there, too
            said = said[0], without(said[1], variables)
        return said, without(process.tail[-1] if process.tail else f"exit code {code}", variables)

    def _orders(self, worker: Worker, variables: Mapping[str, str]) -> str:
        job = worker.job
        return Orders(
            self.workspace.address,
            job.run_id,
            job.id,
            job.document,
            dict(variables),
            worker.share,
            bool(job.given.get("fresh")),
        ).line()

    async def _insist(self, worker: Worker) -> None:
        """A wish holds until the process rests; one that is not prepared yet need not be asked."""
        while True:
            await asyncio.sleep(0.2)
            if worker.wish in ("", RESUME) or worker.process is None:
                continue
            if worker.prepared:
                await asyncio.to_thread(self._ask, worker)
                await asyncio.sleep(1.0)
            elif worker.wish == "cancel":
                worker.process.kill()

    def _ask(self, worker: Worker) -> None:
        with contextlib.suppress(UnknownRun, StoreError):  # asked again in a second
            self.workspace.store.wish(worker.job.run_id, "cancel" if worker.wish == "cancel" else "pause")


async def _listen(worker: Worker, process: JobProcess) -> tuple[str, str] | None:
    """Status and detail that the process ends with, None if it ends without."""
    said = None
    async for line in process.lines():
        try:
            words = json.loads(line)
        except ValueError:
            continue
        match words:
            case {"at": "work"}:
                worker.prepared = True
            case {"at": "meter"}:
                worker.meter = {name: value for name, value in words.items() if name != "at"}
            case {"at": "rest", "status": str(status), "detail": str(detail)}:
                said = status, detail
            case _:
                pass  # of a newer version, perhaps
    return said


def _take(jobs: Jobs, job: StoredJob) -> StoredJob | None:
    return jobs.change(
        job.id, only=QUEUED, state="running", detail="", started_at=job.started_at or timestamp()
    )


def _requeue(jobs: Jobs, job: StoredJob) -> None:
    jobs.change(job.id, only=PAUSED, state="queued", detail="")


def _most_out(job: StoredJob) -> int:
    """Rollouts that the job's document wants in flight."""
    try:
        return PromptLearningConfig.from_mapping(job.document).gepa.rollout.max_concurrent
    except Misconfigured:
        return 1  # its process says what is wrong
