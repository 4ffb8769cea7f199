"""The console over HTTP: what it answers with, what it refuses, and what can be done with a run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from paretune.console.app import FORM_BYTES, console_app
from paretune.console.kept import Views
from paretune.console.pages import LISTED
from paretune.console.source import StoreSource
from paretune.engine.workspace import Workspace
from paretune.store.base import StatusSet
from paretune.views.run_view import RunView
from support.runs import CASES, carry

HERE = "http://127.0.0.1:1"
ORIGIN = {"Origin": HERE}
SCRIPT = {"X-Part": "1"}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, str]]:
    """A store with a finished run."""
    with Workspace.open(str(tmp_path_factory.mktemp("kept") / "runs.sqlite"), new=True) as workspace:
        done = asyncio.run(carry(CASES["classic"](3), store=workspace.store))
        yield workspace, done.run_id


@pytest.fixture
async def client(kept: tuple[Workspace, str]) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(console_app(StoreSource(kept[0])))
    async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
        yield client


async def test_every_page_lets_nothing_in_from_elsewhere(
    client: httpx.AsyncClient, kept: tuple[Workspace, str]
) -> None:
    run = f"/runs/{kept[1]}/"
    pages = ["/", "/nowhere", "/runs/nobody/", *(run + view.path for view in LISTED)]
    for path in [*pages, "/static/console.css"]:
        answer = await client.get(path)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';"), path
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "http:" not in answer.text.replace("http://www.w3.org/", "")
    for path in pages[3:]:
        assert (await client.get(path)).status_code == 200


async def test_a_page_does_not_wait_for_a_long_record(kept: tuple[Workspace, str]) -> None:
    class Long(Views):
        read = threading.Event()

        def __call__(self, run_id: str) -> RunView:
            assert self.read.wait(20)
            return super().__call__(run_id)

    source = StoreSource(kept[0])
    source.view = Long(source.store)
    transport = httpx.ASGITransport(console_app(source))
    async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
        first = await client.get(f"/runs/{kept[1]}/events")
        assert (first.status_code, first.headers["refresh"]) == (202, "0")
        assert "Reading the record" in first.text
        second = asyncio.create_task(client.get(f"/runs/{kept[1]}/events"))
        part = asyncio.create_task(client.get(f"/runs/{kept[1]}/feed", headers=SCRIPT))
        await asyncio.wait([second, part], timeout=0.5)
        assert not second.done()
        assert not part.done()
        Long.read.set()
        assert [(await each).status_code for each in (second, part)] == [200, 200]


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/runs/nobody/",
        "/runs/nobody/live",
        "/runs/<script>x</script>/",
        "/static/nothing.js",
        "/static/..%2fapp.py",
        "/static/%2e%2e",
    ],
)
async def test_what_is_not_there_is_said(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 404
    assert "<script>x" not in answer.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:2"}, 403),
        ({"Origin": "http://localhost:1"}, 403),
        ({"Origin": "http://[::1"}, 403),
        (ORIGIN, 409),
    ],
)
async def test_only_pages_of_this_console_act(
    client: httpx.AsyncClient, kept: tuple[Workspace, str], headers: dict[str, str], status: int
) -> None:
    """The run is over: who may ask is told that there is nothing to pause."""
    answer = await client.post(f"/runs/{kept[1]}/do/pause", headers=headers)
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"--x--", 415),
        ({"Content-Type": "application/json"}, b"{}", 415),
        ({}, b"a=" + b"x" * FORM_BYTES, 413),
        ({}, b"&".join(b"a%d=1" % number for number in range(200)), 400),
        ({}, b"\xff=1", 400),
    ],
)
async def test_forms_are_bounded(
    client: httpx.AsyncClient, kept: tuple[Workspace, str], headers: dict[str, str], body: bytes, status: int
) -> None:
    sent = {"Content-Type": "application/x-www-form-urlencoded", **ORIGIN, **headers}
    answer = await client.post(f"/runs/{kept[1]}/do/pause", headers=sent, content=body)
    assert answer.status_code == status


async def test_a_store_cancels_what_rests_and_says_what_it_cannot_do(
    client: httpx.AsyncClient, kept: tuple[Workspace, str]
) -> None:
    store = kept[0].store
    run_id = (await carry(CASES["classic"](4), store=store)).run_id
    store.commit(run_id, [StatusSet("paused", "asked to")])
    for action in ("resume", "extend"):
        answer = await client.post(f"/runs/{run_id}/do/{action}", headers={**ORIGIN, **SCRIPT})
        assert answer.status_code == 409
        assert f"paretune resume {run_id}" in answer.text
    answer = await client.post(f"/runs/{run_id}/do/cancel", headers=ORIGIN)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/runs/{run_id}/")
    assert store.run(run_id).status == "cancelled"
    answer = await client.post(f"/runs/{run_id}/do/explode", headers=ORIGIN)
    assert answer.status_code == 409


async def test_the_stream_of_a_finished_run_tells_how_it_stands_and_ends(
    client: httpx.AsyncClient, kept: tuple[Workspace, str]
) -> None:
    answer = await client.get(f"/runs/{kept[1]}/live")
    assert answer.text.count("data: ") == 1
    assert '"state": "succeeded"' in answer.text
