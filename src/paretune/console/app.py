"""The console over HTTP: pages, the parts of them that change, files, and what may be done with a run."""

from __future__ import annotations

import asyncio
import json
import mimetypes
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import resources
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from paretune.console.pages import BY_NAME, ENVIRONMENT, Paths, fragment, page, runs_page
from paretune.console.runs import RunLines, listing
from paretune.console.source import OVER, NotYet, Refused, Source
from paretune.console.two_runs import two
from paretune.console.view import Asked, NoSuchView, View
from paretune.console.views.export import exported
from paretune.core.errors import Misconfigured, ParetuneError
from paretune.store import UnknownRun
from paretune.views.run_view import RunView

PLOTLY = resources.files("plotly") / "package_data" / "plotly.min.js"
FILES = {file.name: file for file in (resources.files("paretune.console") / "static").iterdir()}
FILES[PLOTLY.name] = PLOTLY
LOOKS_SECONDS = 0.25
"""A live run's record is looked at so often."""
HEADERS = {
    # Plotly writes style elements; scripts are this program's files and nothing else.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # With `no-referrer` a browser's own forms would be sent from nowhere (`Origin: null`).
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
LIVE_SECONDS = 300.0
"""A stream ends then, and its reader comes in again by the door: its key may have been revoked."""
READERS = 4
T = TypeVar("T")
PART = "x-part"
"""A request with this header gets the view without its frame."""
FORM_BYTES = 64 * 2**10
AGAIN_SECONDS = "2"
"""The page of a run that waits asks again after so many."""
MOMENT_SECONDS = 0.3
PATIENCE_SECONDS = 20.0
"""A page waits so long for the first reading of its run's record; then one says that it is being read, and
asks again at once, to wait for so long."""


def console_app(source: Source, base: str = "", more: Sequence[Route] = ()) -> Starlette:
    """The application, for where its paths begin with `base`; with `more` routes."""
    console = _Console(source, base)
    routes = [
        *more,
        Route("/", console.runs),
        Route("/compare", console.two),
        Route("/static/{file}", console.static),
        Route("/runs/{run}", console.home),
        Route("/runs/{run}/live", console.live),
        Route("/runs/{run}/do/{action}", console.act, methods=["POST"]),
        Route("/runs/{run}/export/{format}", console.export),
        *(
            Route(f"/runs/{{run}}/{_with_slashes(view.path)}", partial(console.view, view))
            for view in BY_NAME.values()
        ),
    ]
    answer = partial(_refused, source, base)
    return Starlette(routes=routes, exception_handlers={ParetuneError: answer, HTTPException: answer})


def _with_slashes(path: str) -> str:
    """Ids of examples may hold slashes."""
    return path.replace("{example}", "{example:path}")


class _Console:
    def __init__(self, source: Source, base: str) -> None:
        self._source, self._base = source, base
        self._lines = RunLines(source)
        self._looks: dict[str, asyncio.Future[tuple[int, int, str]]] = {}
        self._readings: dict[str, asyncio.Future[RunView]] = {}
        self._known: set[str] = set()
        self._threads = ThreadPoolExecutor(READERS, "console")

    async def _aside(self, function: Callable[..., T], *arguments: Any) -> T:
        """In threads of its own: who asks the server for a job does not wait behind pages."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def runs(self, request: Request) -> Response:
        found = listing(await self._aside(self._lines.lines), request.query_params)
        return html(runs_page("runs.html", self._paths(request), listing=found))

    async def two(self, request: Request) -> Response:
        query = request.query_params
        one, other, ticked = query.get("a", ""), query.get("b", ""), query.getlist("run")
        found = await self._aside(two, self._lines, one, other, ticked)
        return html(runs_page("two_runs.html", self._paths(request), **found))

    async def home(self, request: Request) -> Response:
        return RedirectResponse(f"{self._base}/runs/{quote(request.path_params['run'])}/")

    async def view(self, view: View, request: Request) -> Response:
        if PART in request.headers:
            return html(await self._aside(lambda: fragment(view, self._asked(request))))
        if not await self._is_read(run_id := request.path_params["run"]):
            template = ENVIRONMENT.get_template("reading.html")
            text = template.render(name=run_id, to=self._paths(request, run_id))
            return html(text, 202, Refresh="0")
        return html(await self._aside(lambda: page(view, self._asked(request))))

    async def _is_read(self, run_id: str) -> bool:
        """False while a long record is read for the first time. One reading is for all who ask meanwhile."""
        if run_id in self._known:
            return True
        reading, patience = self._readings.get(run_id), PATIENCE_SECONDS
        if reading is None:
            patience = MOMENT_SECONDS
            reading = asyncio.ensure_future(self._aside(self._source.view, run_id))
            self._readings[run_id] = reading
            reading.add_done_callback(partial(self._was_read, run_id))
        done, _ = await asyncio.wait([reading], timeout=patience)
        return bool(done)

    def _was_read(self, run_id: str, reading: asyncio.Future[RunView]) -> None:
        """Whoever asks for the page meets the error, if there was one."""
        del self._readings[run_id]
        if not reading.cancelled() and reading.exception() is None:
            self._known.add(run_id)

    def _paths(self, request: Request, run_id: str = "") -> Paths:
        return paths(request, self._base, run_id)

    async def export(self, request: Request) -> Response:
        """A candidate's texts as a file."""
        asked, name = partial(self._asked, request), request.path_params["format"]
        found = await self._aside(lambda: exported(asked(), name))
        headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{found.file}"'}
        return Response(found.encoded(), headers=headers, media_type=found.media)

    def _asked(self, request: Request) -> Asked:
        params = dict(request.path_params)
        run = self._source.view(params.pop("run"))
        return Asked(
            run,
            self._source.state(run.run),
            self._source.store,
            self._paths(request, run.run.id),
            params,
            dict(request.query_params),
            tuple(self._source.actions(run.run)) if may_act(request) else (),
        )

    async def act(self, request: Request) -> Response:
        """What was done, as text, for a script; a browser's form is led back to the run."""
        from_here(request)
        run_id, action = request.path_params["run"], request.path_params["action"]
        done = await self._source.act(run_id, action, await form(request))
        if PART in request.headers:
            return Response(done, media_type="text/plain", headers=HEADERS)
        return RedirectResponse(f"{self._base}/runs/{quote(run_id)}/", status_code=303)

    async def live(self, request: Request) -> Response:
        """Server-sent events: how many decisions there are, and the run's state, when one of them changed."""
        run_id = request.path_params["run"]
        await self._standing(run_id)
        return StreamingResponse(self._changes(run_id), media_type="text/event-stream", headers=HEADERS)

    async def _changes(self, run_id: str) -> AsyncIterator[str]:
        last: tuple[object, ...] = ()
        end = time.monotonic() + LIVE_SECONDS
        while not self._source.closing and time.monotonic() < end:
            now = await self._standing(run_id)
            if now != last:
                last = now
                told = {"decisions": now[0], "rollouts": now[1], "state": now[2]}
                yield f"data: {json.dumps(told)}\n\n"
            if now[2] in OVER:
                return
            await asyncio.sleep(LOOKS_SECONDS)

    async def _standing(self, run_id: str) -> tuple[int, int, str]:
        """Decisions, rollouts, state: one look for all who ask meanwhile."""
        look = self._looks.get(run_id)
        if look is None:
            look = self._looks[run_id] = asyncio.ensure_future(self._look(run_id))
            look.add_done_callback(lambda _: self._looks.pop(run_id, None))
        return await asyncio.shield(look)

    async def _look(self, run_id: str) -> tuple[int, int, str]:
        try:
            view = await self._aside(self._source.view, run_id)
        except NotYet as waiting:
            return 0, 0, waiting.run.status
        state = await self._aside(self._source.state, view.run)
        return len(view.decisions), len(view.ledger.drawn), state

    async def static(self, request: Request) -> Response:
        name = request.path_params["file"]
        if name not in FILES:
            raise NoSuchView(f"no file {name[:100]!r}")
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        headers = {**HEADERS, "Cache-Control": "no-cache"}
        return Response(await asyncio.to_thread(FILES[name].read_bytes), media_type=kind, headers=headers)


def html(text: str, status: int = 200, **headers: str) -> Response:
    return HTMLResponse(text, status, {**HEADERS, **headers})


def paths(request: Request, base: str, run_id: str = "") -> Paths:
    """The console's addresses, for whoever asks; who came with a cookie can give it back."""
    return Paths(base, run_id, signed_in=bool(request.scope.get("state", {}).get("cookie")))


def may_act(request: Request) -> bool:
    """False for who came in with a key that may only read."""
    state = request.scope.get("state", {})
    return bool(state.get("key_scope") != "read")


def from_here(request: Request) -> None:
    """Raises Refused unless the request comes from a page of this very console.

    A page of another program on this machine has another port, and may not act, with keys or without.
    """
    origin = request.headers.get("origin", "")
    try:
        place = urlsplit(origin).netloc
    except ValueError:
        place = ""
    if not place or place.lower() != request.headers.get("host", "").lower():
        raise Foreign("only pages of this console may do that")


class Foreign(ParetuneError):
    """A page of another place asks to act. HTTP 403."""


async def form(request: Request) -> dict[str, str]:
    """The fields of a form that was sent. Raises HTTPException for what is none."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("", "application/x-www-form-urlencoded"):
        raise HTTPException(415, "a form is sent as application/x-www-form-urlencoded")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > FORM_BYTES:
            raise HTTPException(413, f"a form has at most {FORM_BYTES // 2**10} KiB here")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=100))
    except ValueError:
        raise HTTPException(400, "that is no form") from None


async def _refused(source: Source, base: str, request: Request, error: Exception) -> Response:
    """Every error is a page that says what is wrong."""
    match error:
        case NotYet():
            return await _not_yet(source, base, request, error)
        case UnknownRun() | NoSuchView():
            status = 404
        case Foreign():
            status = 403
        case Refused():
            status = 409
        case Misconfigured():
            status = 422
        case HTTPException():
            return error_page(request, base, error.status_code, str(error.detail))
        case _:
            status = 500
    return error_page(request, base, status, str(error))


async def _not_yet(source: Source, base: str, request: Request, waiting: NotYet) -> Response:
    actions = await asyncio.to_thread(source.actions, waiting.run) if may_act(request) else ()
    to = paths(request, base, waiting.run.id)
    text = ENVIRONMENT.get_template("not_yet.html").render(run=waiting.run, actions=actions, to=to)
    return html(text, 202, Refresh=AGAIN_SECONDS)


def error_page(request: Request, base: str, status: int, message: str) -> Response:
    """For a script the message alone."""
    if PART in request.headers:
        return Response(message, status, HEADERS, "text/plain")
    template = ENVIRONMENT.get_template("error.html")
    return html(template.render(status=status, message=message, to=paths(request, base)), status)
