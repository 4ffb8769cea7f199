"""The console of a server: its jobs as runs, and how a browser signs in.

What is done here is done through the service, as the API does it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from paretune.console.app import console_app, error_page, form, from_here, html, paths
from paretune.console.pages import ENVIRONMENT
from paretune.console.source import Action, NotYet, Refused, StoreSource
from paretune.engine.caps import Caps
from paretune.server.door import CONSOLE as BASE
from paretune.server.door import COOKIE, SIGNING, Refusal, brought
from paretune.server.service import Conflict, Service
from paretune.server.sessions import SECONDS, Sessions
from paretune.store import Run, Store, UnknownRun
from paretune.store.jobs import JobHeading, StoredJob, UnknownJob
from paretune.views.run_view import RunView


@dataclass(slots=True)
class ServiceSource:
    """The jobs of a server as runs, and what else was run in its store."""

    service: Service
    _others: StoreSource = field(init=False)

    def __post_init__(self) -> None:
        self._others = StoreSource(self.service.workspace)

    @property
    def store(self) -> Store:
        return self.service.workspace.store

    @property
    def closing(self) -> bool:
        return self.service.teller.bells.closed

    def runs(self) -> Sequence[tuple[Run, str]]:
        """Those that a job was submitted for bear its name and state, also before they begin."""
        jobs = {job.run_id: job for job in self.service.jobs.headings()}
        found = list[tuple[Run, str]]()
        for run in self.store.headings():
            job = jobs.pop(run.id, None)
            found.append((replace(run, name=job.name), job.state) if job else (run, self._others.state(run)))
        found += [(_unborn(job), job.state) for job in jobs.values()]
        return sorted(found, key=lambda each: (each[0].created_at, each[0].id), reverse=True)

    def state(self, run: Run) -> str:
        job = self.service.jobs.of_run(run.id)
        return job.state if job else self._others.state(run)

    def view(self, run_id: str) -> RunView:
        """The id of its job names a run too."""
        job = self._job(run_id)
        try:
            view = self._others.view(job.run_id if job else run_id)
        except UnknownRun:
            if job is None:
                raise
            raise NotYet(_unborn(job)) from None
        job = job or self._job(view.run.id)
        return replace(view, run=replace(view.run, name=job.name)) if job else view

    def actions(self, run: Run) -> Sequence[Action]:
        job = self.service.jobs.of_run(run.id)
        if job is None:
            return self._others.actions(run)
        match job.state, job.wish:
            case "queued", _:
                return ("pause", "cancel")
            case "running", "":
                return ("pause", "cancel")
            case "running", "pause":
                return ("resume", "cancel")
            case "paused", _:
                return ("resume", "extend", "cancel")
            case "failed", _:
                return ("resume", "extend")
            case _:
                return ()

    async def act(self, run_id: str, action: str, values: Mapping[str, str]) -> str:
        job = await asyncio.to_thread(self._job, run_id)
        if job is None:
            return await self._others.act(run_id, action, values)
        try:
            return await self._act(job.id, action, values)
        except Conflict as error:
            raise Refused(str(error)) from None

    async def _act(self, job_id: str, action: str, values: Mapping[str, str]) -> str:
        match action:
            case "pause":
                await self.service.pause(job_id)
                return f"{job_id} is being paused"
            case "resume":
                await self.service.resume(job_id)
                return f"{job_id} goes on"
            case "cancel":
                await self.service.cancel(job_id)
                return f"{job_id} is being cancelled"
            case "extend":
                await self.service.extend(job_id, Caps.from_texts(values))
                return f"{job_id} has other caps: resume it"
            case _:
                raise Refused(f"nobody knows how to {action[:20]} a run")

    def _job(self, run_id: str) -> StoredJob | None:
        jobs = self.service.jobs
        try:
            return jobs.job(run_id) if run_id.startswith("pl_") else jobs.of_run(run_id)
        except UnknownJob:
            return None


def _unborn(job: StoredJob | JobHeading) -> Run:
    """The run that a job will have."""
    return Run(job.run_id, job.name, job.created_at, {}, job.state, job.detail)


# -- signing in -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SignIn:
    """A session for a key. The key is in the form, and nowhere else."""

    sessions: Sessions

    async def page(self, request: Request) -> Response:
        if not await asyncio.to_thread(self.sessions.keys.any):
            return RedirectResponse(f"{BASE}/", 303)
        return _page(request, request.query_params.get("next", ""))

    async def enter(self, request: Request) -> Response:
        from_here(request)
        sent = await form(request)
        key, there = sent.get("key", "").strip(), sent.get("next", "")
        session = await asyncio.to_thread(self.sessions.begin, key)
        if not session:
            return _page(request, there, "This key is wrong, or was revoked.", 401)
        self.sessions.end(brought(request.scope))
        answer = RedirectResponse(there if _inside(there) else f"{BASE}/", 303)
        secure = request.url.scheme == "https" or request.headers.get("origin", "").startswith("https:")
        answer.set_cookie(
            COOKIE, session, SECONDS, path=BASE, secure=secure, httponly=True, samesite="strict"
        )
        return answer

    async def leave(self, request: Request) -> Response:
        from_here(request)
        self.sessions.end(brought(request.scope))
        answer = RedirectResponse(f"{BASE}/sign-in", 303)
        answer.delete_cookie(COOKIE, path=BASE, httponly=True, samesite="strict")
        return answer


def mounted(service: Service, sessions: Sessions) -> Starlette:
    """The console, for under `BASE`."""
    signing = SignIn(sessions)
    return console_app(
        ServiceSource(service),
        BASE,
        [
            Route("/sign-in", signing.page),
            Route("/sign-in", signing.enter, methods=["POST"]),
            Route("/sign-out", signing.leave, methods=["POST"]),
        ],
    )


def _page(request: Request, there: str, trouble: str = "", status: int = 200) -> Response:
    text = ENVIRONMENT.get_template("sign_in.html").render(
        to=paths(request, BASE), next=there if _inside(there) else "", trouble=trouble
    )
    return html(text, status)


def _inside(path: str) -> bool:
    """A path of this console, and no address of another place that looks like one."""
    return path.startswith(f"{BASE}/") and "\\" not in path and path.isprintable() and path.isascii()


def turned_away(refusal: Refusal, request: Request) -> Response | None:
    """For a browser that asks for the console: a page; who has no key is led to where it is asked."""
    path = request.url.path
    if f"{path}/" != f"{BASE}/" and not path.startswith(f"{BASE}/"):
        return None
    if "text/html" not in request.headers.get("accept", ""):
        return None
    if refusal.status == 401 and request.method == "GET" and path not in SIGNING:
        there = path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"{BASE}/sign-in?next={quote(there, safe='/')}", 303)
    return error_page(request, BASE, refusal.status, refusal.message)
