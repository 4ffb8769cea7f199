"""The server: an application, what works behind it, and how it is started."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
import sys
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib import metadata

import uvicorn
from fastapi import FastAPI
from filelock import FileLock, Timeout
from starlette.types import ASGIApp

from paretune.core.address import DEFAULT_HOST, DEFAULT_PORT
from paretune.core.errors import Misconfigured
from paretune.engine.workspace import Workspace
from paretune.server import routes_candidates, routes_common, routes_verifiers
from paretune.server.asking import handle_errors
from paretune.server.console import mounted, turned_away
from paretune.server.door import CONSOLE, Door, refuse_open_door
from paretune.server.environment import JobEnvironment
from paretune.server.keys import KeyRing
from paretune.server.routes_jobs import PREFIXES, job_routes, submit_routes
from paretune.server.service import Service
from paretune.server.sessions import Sessions
from paretune.server.streams import Streams
from paretune.server.teller import Bells, Teller
from paretune.server.vault import Vault
from paretune.server.workers import Workers
from paretune.store.sql_jobs import SqlJobs
from paretune.store.verifiers import SqlVerifiers

logger = logging.getLogger(__name__)
LOCK, KEY_FILE = "server.lock", "server.key"
SWITCH_SECONDS = 0.001
"""So long a thread that folds a run's record may hold up those that answer."""
SHUTDOWN_SECONDS = 3
"""So long are answers that were begun waited for."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a server works. `rollouts` may be out in all jobs together, `jobs` are at work at once, `waiting`
    may wait; `streams` of events may be open. `hosts` are further names under which it is asked, `passed`
    variables that jobs may name."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    jobs: int = 4
    rollouts: int = 128
    waiting: int = 1_000
    streams: int = 500
    hosts: Collection[str] = ()
    passed: Collection[str] = ()


@contextmanager
def opened(workspace: Workspace, settings: Settings) -> Iterator[tuple[ASGIApp, Service]]:
    """The application over this workspace, and what works behind it.

    Raises Misconfigured if another server works on it, or if other machines could come in without a key.
    """
    with (
        _alone(workspace),
        contextlib.closing(SqlJobs(workspace.address)) as jobs,
        contextlib.closing(SqlVerifiers(workspace.address)) as verifiers,
    ):
        keys = KeyRing(jobs)
        refuse_open_door(settings.host, keys)
        environment = JobEnvironment(jobs, Vault(workspace.folder / KEY_FILE), settings.passed)
        teller = Teller(jobs, workspace)
        workers = Workers(jobs, workspace, environment, teller.ended, settings.jobs, settings.rollouts)
        service = Service(jobs, workspace, environment, workers, teller, verifiers, settings.waiting)
        sessions = Sessions(keys)
        app = Streams(build(service, sessions), settings.streams)
        hosts = {settings.host, *settings.hosts}
        yield Door(app, keys, hosts, turned_away, sessions.check), service


def build(service: Service, sessions: Sessions) -> FastAPI:
    """The routes, and the tasks behind them for as long as the application lives."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(service.workers.run()),
            asyncio.create_task(service.teller.run(lambda: service.workers.at_work)),
        ]
        for task in tasks:
            task.add_done_callback(_say_if_it_died)
        gc.freeze()  # else the collector goes through all modules again and again, while nobody is answered
        try:
            yield
        finally:
            await service.workers.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await service.teller.close()

    version = metadata.version("paretune")
    app = FastAPI(title="paretune", version=version, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.service = service
    handle_errors(app)
    app.include_router(routes_common.router)
    app.include_router(submit_routes())
    app.include_router(routes_verifiers.router)
    app.include_router(routes_candidates.router)
    for prefix in PREFIXES:
        app.include_router(job_routes(prefix))
    app.mount(CONSOLE, mounted(service, sessions))
    return app


def serve(workspace: Workspace, settings: Settings) -> None:
    """Serve until interrupted; then bring all runs to rest. They go on with the next server."""
    sys.setswitchinterval(SWITCH_SECONDS)
    with opened(workspace, settings) as (app, service):
        config = uvicorn.Config(
            app,
            settings.host,
            settings.port,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        _Server(config, service.teller.bells).run()


class _Server(uvicorn.Server):
    """Streams of events would never end by themselves; at the end they are ended first."""

    def __init__(self, config: uvicorn.Config, bells: Bells) -> None:
        super().__init__(config)
        self._bells = bells

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._bells.close()
        await super().shutdown(sockets)


@contextmanager
def _alone(workspace: Workspace) -> Iterator[None]:
    """No other server works on these jobs."""
    workspace.folder.mkdir(parents=True, exist_ok=True)
    busy = Misconfigured("--store", "another server works on this store; stop it, or name another store")
    lock = FileLock(workspace.folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise busy from None
    try:
        with workspace.store.claim("server") as mine:
            if not mine:
                raise busy
            yield
    finally:
        lock.release()


def _say_if_it_died(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("a part of the server died: %s", error, exc_info=error)
