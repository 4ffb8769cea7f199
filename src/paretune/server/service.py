"""What the routes do with jobs, in the product's own words; the wire's words are in `wire`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any, TypeVar

from paretune.config import PromptLearningConfig
from paretune.config.environment import reference
from paretune.core.errors import Misconfigured, ParetuneError
from paretune.engine.caps import Caps, extend
from paretune.engine.handed_on import env_name
from paretune.engine.judging import registered_in, with_verifier
from paretune.engine.prepare import public_document
from paretune.engine.run import LOOKED_AT
from paretune.engine.workspace import Workspace
from paretune.server.environment import TASK_KEY, JobEnvironment
from paretune.server.pages import Pages
from paretune.server.teller import Teller
from paretune.server.workers import RESUME, Workers
from paretune.store import Draw, UnknownRun, Wish, Write, new_run_id
from paretune.store.chain import chain
from paretune.store.jobs import Jobs, JobState, StoredJob, StoredSystem, new_job_id, timestamp
from paretune.store.verifiers import SqlVerifiers
from paretune.views.run_view import RunView, read

MOST_WAITING = 1_000
VIEWS = 4
READERS = 2
RUNNING: tuple[JobState, ...] = ("running",)
RESTING: tuple[JobState, ...] = ("queued", "paused", "failed")
T = TypeVar("T")


class NotFound(ParetuneError):
    """A job has no such thing. HTTP 404."""


class Conflict(ParetuneError):
    """The job is in no state for that. HTTP 409."""


class TooMany(ParetuneError):
    """More jobs wait than the server takes. HTTP 429."""

    def __init__(self, limit: int, current: int) -> None:
        super().__init__(limit, current)
        self.limit, self.current = limit, current

    def __str__(self) -> str:
        return f"{self.current} jobs wait already, and this server takes {self.limit}: try again later"


@dataclass(slots=True)
class Service:
    """All that can be done with jobs."""

    jobs: Jobs
    workspace: Workspace
    environment: JobEnvironment
    workers: Workers
    teller: Teller
    verifiers: SqlVerifiers
    most_waiting: int = MOST_WAITING
    pages: Pages = field(init=False)
    _views: dict[str, tuple[str, RunView]] = field(default_factory=dict)
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(READERS, "views"))
    _kept: Lock = field(default_factory=Lock)
    """Held by the thread that changes `_views`."""

    def __post_init__(self) -> None:
        self.pages = Pages(self.jobs)

    # -- taking jobs ------------------------------------------------------------------------------

    async def submit(
        self, config: PromptLearningConfig, given: Mapping[str, Any], *, start: bool = True, parent: str = ""
    ) -> StoredJob:
        """A job of this document. Raises Misconfigured, NotAvailable or TooMany; then nothing is kept."""
        await self._refuse_too_many()
        await asyncio.to_thread(self.environment.refuse_others, config)
        config = await asyncio.to_thread(with_verifier, config, registered_in(self.verifiers))
        job = StoredJob(
            id=new_job_id(),
            name=name_of(config),
            created_at=timestamp(),
            document=public_document(config),
            given=given,
            run_id=new_run_id(),
            algorithm=config.algorithm,
            state="queued" if start else "paused",
            detail="" if start else "not started yet",
            parent=parent,
        )
        job = replace(job, given=await asyncio.to_thread(self._with_system, job.given))
        key = config.task_app_api_key
        written_out = key and reference(key) != key  # and not the name of a variable
        secrets = {TASK_KEY: self.environment.vault.seal(key)} if key and written_out else {}
        await self.teller.submitted(job, secrets)
        self.workers.wake()
        return job

    async def _refuse_too_many(self) -> None:
        waiting = await asyncio.to_thread(self.jobs.how_many, "queued")
        if waiting >= self.most_waiting:
            raise TooMany(self.most_waiting, waiting)

    def _with_system(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """The system that is named gets an id, and is made where there is none."""
        asked = given.get("system") or {}
        if not asked.get("id") and not asked.get("name"):
            return given
        if asked.get("id"):
            system = self.jobs.system(str(asked["id"]))
        else:
            fresh = new_system(str(asked["name"]), str(given.get("technique", "")))
            system = self.jobs.keep_system(fresh, reuse=asked.get("reuse") is not False)
        return {**given, "system": {"id": system.id, "name": system.name}}

    # -- asking -----------------------------------------------------------------------------------

    async def job(self, job_id: str) -> StoredJob:
        return await asyncio.to_thread(self.jobs.job, job_id)

    async def seen(self, job_id: str) -> tuple[StoredJob, RunView | None]:
        """The job, and its run as it stands; None while there is none."""
        job = await self.job(job_id)
        return job, await self.aside(self._view, job)

    async def aside(self, function: Callable[..., T], *arguments: Any) -> T:
        """What reads whole runs, in threads of its own: no status call waits behind it."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    def _view(self, job: StoredJob) -> RunView | None:
        as_of, kept = f"{job.state} {job.updated_at}", self._views.get(job.id)
        if kept is not None and kept[0] == as_of:
            return kept[1]
        try:
            view = read(self.workspace.store, job.run_id)
        except UnknownRun:
            return None
        if job.state != "running":  # else it is old by the next question
            with self._kept:
                while len(self._views) >= VIEWS:
                    del self._views[next(iter(self._views))]
                self._views[job.id] = (as_of, view)
        return view

    # -- wishes -----------------------------------------------------------------------------------

    async def cancel(self, job_id: str, reason: str = "") -> StoredJob:
        """Ends the job for good. Raises Conflict if it has ended."""
        detail = f"cancelled on request: {reason}" if reason else "cancelled on request"
        return await self._wish(job_id, "cancel", ("queued", "paused"), "cancelled", detail)

    async def pause(self, job_id: str) -> StoredJob:
        """Brings the job to rest. Raises Conflict if it has ended."""
        return await self._wish(job_id, "pause", ("queued",), "paused", "paused on request")

    async def _wish(
        self, job_id: str, wish: Wish, idle: tuple[JobState, ...], state: JobState, detail: str
    ) -> StoredJob:
        async with self.workers.settled:
            job = await self.job(job_id)
            if job.state == state:
                return job
            if job.wish == "cancel" != wish:
                raise Conflict(f"{job_id} is being cancelled: there is nothing to {wish}")
            if self.workers.wish(job_id, wish):
                changed = await asyncio.to_thread(self._note_wish, job_id, wish)
                if changed is not None:
                    return changed  # else it came to rest just now
            if not await self.teller.changed(job_id, idle, state, detail):
                job = await self.job(job_id)
                raise Conflict(f"{job_id} is {job.state}: there is nothing to {wish}")
            return await self.job(job_id)

    def _note_wish(self, job_id: str, wish: Wish) -> StoredJob | None:
        return self.jobs.change(job_id, only=RUNNING, wish=wish)

    async def resume(self, job_id: str) -> StoredJob:
        """A job that rests goes on, or one that failed tries again. Raises Conflict if it is over."""
        async with self.workers.settled:
            job = await self.job(job_id)
            if job.state in ("queued", "running") and not job.wish:
                return job
            if job.wish == "pause" and self.workers.wish(job_id, RESUME):
                changed = await asyncio.to_thread(self._note_wish, job_id, "")
                if changed is not None:
                    return changed
            if not await self.teller.changed(job_id, ("paused", "failed"), "queued", ""):
                raise Conflict(f"{job_id} is {job.state}: there is nothing to resume")
        self.workers.wake()
        return await self.job(job_id)

    async def extend(self, job_id: str, caps: Caps) -> StoredJob:
        """A job that rests goes on under other caps once it is resumed. Raises Conflict while it is at work,
        or if it is over; Misconfigured on a cap below what is spent."""
        async with self.workers.settled:
            job = await self.job(job_id)
            if job.state == "running":
                raise Conflict(f"{job_id} is running: pause it, and raise its caps while it rests")
            if job.state not in RESTING:
                raise Conflict(f"{job_id} is {job.state}: a new job with larger caps finds its results")
            await self.aside(self._extend, job, caps)
        return job

    def _extend(self, job: StoredJob, caps: Caps) -> None:
        try:
            run = self.workspace.store.run(job.run_id)
        except UnknownRun:
            raise Conflict(f"{job.id} has not begun: its caps are those of its document") from None
        extend(run, self.workspace.store, caps)

    # -- checkpoints ------------------------------------------------------------------------------

    async def checkpoint(self, job_id: str) -> Mapping[str, Any]:
        """Where the record of the job stands; all that it paid for is behind it."""
        job = await self.job(job_id)
        return await self.aside(self._checkpoint, job)

    def _checkpoint(self, job: StoredJob) -> Mapping[str, Any]:
        try:
            log = self.workspace.store.decisions(job.run_id)
        except UnknownRun:
            log = []
        last = log[-1] if log else None
        return {
            "job_id": job.id,
            "run_id": job.run_id,
            "checkpoint_id": f"{job.run_id}@{len(log)}",
            "decisions": len(log),
            "chain": last.chain if last else "",
            "elapsed_seconds": last.elapsed if last else 0.0,
            "created_at": last.at if last else job.created_at,
            "standing": dict(job.standing),
        }

    async def restart(self, job_id: str) -> StoredJob:
        """Another job, which begins with the record of this one as it stands now and goes on from there."""
        await self._refuse_too_many()
        parent = await self.job(job_id)
        given = {**parent.given, "restarted_from": parent.id}
        child = replace(
            parent,
            id=new_job_id(),
            run_id=new_run_id(),
            created_at=timestamp(),
            given=given,
            state="queued",
            detail="",
            wish="",
            started_at="",
            ended_at="",
            parent=parent.id,
            standing={},
            told=0,
        )
        sealed = await asyncio.to_thread(self.jobs.secrets, parent.id)
        await self.aside(self._copy, parent, child)
        await self.teller.submitted(child, sealed)
        self.workers.wake()
        return child

    def _copy(self, parent: StoredJob, child: StoredJob) -> None:
        """The parent's record under the child's run; what it paid stays with the parent.

        In pieces: all facts of a long run fill the memory, and one long write holds up those who work.
        """
        store = self.workspace.store
        try:
            run, log = store.run(parent.run_id), store.decisions(parent.run_id)
        except UnknownRun:
            return
        store.create_run(replace(run, id=child.run_id, created_at=child.created_at, status="queued", wish=""))
        drawn, link = store.drawn(run.id), child.run_id
        for start in range(0, len(drawn), LOOKED_AT):
            keys = drawn[start : start + LOOKED_AT]
            known = store.facts(keys, run.id).values()
            own = [fact._replace(scope=child.run_id) for fact in known if fact.scope]
            store.commit(child.run_id, [*own, *(Draw(key) for key in keys)])
        writes: list[Write] = []
        for decision in log:
            link = chain(link, decision.key, decision.body)
            writes.append(replace(decision, chain=link))
        store.commit(child.run_id, writes)


def name_of(config: PromptLearningConfig) -> str:
    """What people call the job; the documented default environment names nobody's."""
    prompt = config.initial_prompt
    told = (prompt.name or prompt.id) if prompt else None
    return config.task_app_id or told or env_name(config) or config.algorithm


def new_system(name: str, technique: str = "", metadata: Mapping[str, Any] | None = None) -> StoredSystem:
    return StoredSystem(f"sys_{secrets.token_hex(8)}", name, technique, metadata or {}, timestamp())


def checked_id(job_id: str) -> str:
    """Raises Misconfigured for what cannot be a job's id."""
    if not job_id.startswith("pl_") or not job_id.isascii() or len(job_id) > 64:
        raise Misconfigured("job_id", "job ids begin with pl_")
    return job_id
