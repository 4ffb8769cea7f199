"""The console over HTTP: pages, the parts of them that change, files, and what may be done with a run."""

from __future__ import annotations

import asyncio
import json
import mimetypes
from collections.abc import AsyncIterator
from functools import partial
from importlib import resources

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from paretune.console.pages import BY_NAME, ENVIRONMENT, Paths, fragment, page, runs_page
from paretune.console.runs import RunLines, listing
from paretune.console.source import Refused, Source
from paretune.console.two_runs import two
from paretune.console.view import Asked, NoSuchView, View
from paretune.core.errors import Misconfigured, ParetuneError
from paretune.store import UnknownRun

STATIC = resources.files("paretune.console") / "static"
PLOTLY = resources.files("plotly") / "package_data" / "plotly.min.js"
LOOKS_SECONDS = 0.25
"""A live run's record is looked at so often."""
HEADERS = {
    # Plotly writes style elements; scripts are this program's files and nothing else.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
PART = "x-part"
"""A request with this header gets the view without its frame."""


def console_app(source: Source, base: str = "") -> Starlette:
    """The application, for where its paths begin with `base`."""
    console = _Console(source, base)
    routes = [
        Route("/", console.runs),
        Route("/compare", console.two),
        Route("/static/{file}", console.static),
        Route("/runs/{run}", console.home),
        Route("/runs/{run}/live", console.live),
        Route("/runs/{run}/do/{action}", console.act, methods=["POST"]),
        *(
            Route(f"/runs/{{run}}/{_with_slashes(view.path)}", partial(console.view, view))
            for view in BY_NAME.values()
        ),
    ]
    return Starlette(routes=routes, exception_handlers={ParetuneError: _refused, HTTPException: _refused})


def _with_slashes(path: str) -> str:
    """Ids of examples may hold slashes."""
    return path.replace("{example}", "{example:path}")


class _Console:
    def __init__(self, source: Source, base: str) -> None:
        self._source, self._base = source, base
        self._lines = RunLines(source)

    async def runs(self, request: Request) -> Response:
        found = listing(await asyncio.to_thread(self._lines.lines), request.query_params)
        return _html(runs_page("runs.html", Paths(self._base), listing=found))

    async def two(self, request: Request) -> Response:
        query = request.query_params
        one, other, ticked = query.get("a", ""), query.get("b", ""), query.getlist("run")
        found = await asyncio.to_thread(two, self._lines, one, other, ticked)
        return _html(runs_page("two_runs.html", Paths(self._base), **found))

    async def home(self, request: Request) -> Response:
        return RedirectResponse(f"{self._base}/runs/{request.path_params['run']}/")

    async def view(self, view: View, request: Request) -> Response:
        show = fragment if PART in request.headers else page
        return _html(await asyncio.to_thread(lambda: show(view, self._asked(request))))

    def _asked(self, request: Request) -> Asked:
        params = dict(request.path_params)
        run = self._source.view(params.pop("run"))
        return Asked(
            run,
            self._source.state(run.run),
            self._source.store,
            Paths(self._base, run.run.id),
            params,
            dict(request.query_params),
            tuple(self._source.actions(run.run)),
        )

    async def act(self, request: Request) -> Response:
        run_id, action = request.path_params["run"], request.path_params["action"]
        form = await request.form()
        values = {name: str(value) for name, value in form.items()}
        await asyncio.to_thread(self._source.act, run_id, action, values)
        return RedirectResponse(f"{self._base}/runs/{run_id}/", status_code=303)

    async def live(self, request: Request) -> Response:
        """Server-sent events: how many decisions there are, and the run's state, when one of them changed."""
        await asyncio.to_thread(self._source.store.run, request.path_params["run"])
        told = self._changes(request.path_params["run"])
        return StreamingResponse(told, media_type="text/event-stream", headers=HEADERS)

    async def _changes(self, run_id: str) -> AsyncIterator[str]:
        last: tuple[object, ...] = ()
        while True:
            view = await asyncio.to_thread(self._source.view, run_id)
            state = await asyncio.to_thread(self._source.state, view.run)
            now = (len(view.decisions), len(view.ledger.drawn), state)
            if now != last:
                last = now
                told = {"decisions": now[0], "rollouts": now[1], "state": state}
                yield f"data: {json.dumps(told)}\n\n"
            if state in ("succeeded", "failed", "cancelled"):
                return
            await asyncio.sleep(LOOKS_SECONDS)

    async def static(self, request: Request) -> Response:
        name = request.path_params["file"]
        file = PLOTLY if name == PLOTLY.name else STATIC / name
        if "/" in name or name.startswith(".") or not file.is_file():
            raise NoSuchView(f"no file {name[:100]!r}")
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        headers = {**HEADERS, "Cache-Control": "no-cache"}
        return Response(await asyncio.to_thread(file.read_bytes), media_type=kind, headers=headers)


def _html(text: str, status: int = 200) -> Response:
    return HTMLResponse(text, status, HEADERS)


async def _refused(request: Request, error: Exception) -> Response:
    """Every error is a page that says what is wrong."""
    match error:
        case UnknownRun() | NoSuchView():
            status = 404
        case Refused():
            status = 409
        case Misconfigured():
            status = 422
        case HTTPException():
            return _html(_error(request, error.status_code, str(error.detail)), error.status_code)
        case _:
            status = 500
    return _html(_error(request, status, str(error)), status)


def _error(request: Request, status: int, message: str) -> str:
    template = ENVIRONMENT.get_template("error.html")
    return template.render(status=status, message=message, to=Paths(request.scope.get("root_path", "")))
