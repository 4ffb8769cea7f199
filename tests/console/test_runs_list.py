"""The list of runs: what is asked of it, and how it is read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

import httpx
import pytest

from paretune.console.app import console_app
from paretune.console.runs import AT_ONCE, Figures, Line, RunLines, listing
from paretune.console.source import StoreSource
from paretune.core.statistics import Interval
from paretune.engine.workspace import Workspace
from paretune.store import Run
from support.runs import CASES, carry


def line(number: int, state: str = "succeeded", best: float | None = None, name: str = "") -> Line:
    run = Run(f"run_{number:03}", name or f"run {number}", f"2026-01-01T00:00:{number:02}", {})
    return Line(run, state, Figures(best=Interval(best, best, best, 9) if best is not None else None))


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ({}, [3, 2, 1, 0]),
        ({"sort": "created", "down": "0"}, [0, 1, 2, 3]),
        ({"sort": "best"}, [1, 3, 0, 2]),
        ({"sort": "best", "down": "0"}, [0, 3, 1, 2]),
        ({"sort": "nothing"}, [3, 2, 1, 0]),
        ({"state": "failed"}, [2]),
        ({"q": "TICKETS  1"}, [1]),
        ({"q": "run_003"}, [3]),
        ({"page": "x"}, [3, 2, 1, 0]),
        ({"page": "7"}, [3, 2, 1, 0]),
    ],
)
def test_runs_are_sorted_searched_and_filtered(query: Mapping[str, str], shown: list[int]) -> None:
    lines = [line(0, best=0.1), line(1, best=0.9, name="tickets 1"), line(2, "failed"), line(3, best=0.5)]
    found = listing(lines, query)
    assert [int(each.run.id[-3:]) for each in found.lines] == shown
    assert found.states == {"succeeded": 3, "failed": 1}


def test_a_long_list_has_pages() -> None:
    lines = [line(number) for number in range(AT_ONCE + 1)]
    first, second = listing(lines, {"sort": "run"}), listing(lines, {"sort": "run", "page": "2"})
    assert (len(first.lines), len(second.lines), first.pages, second.found) == (AT_ONCE, 1, 2, AT_ONCE + 1)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Two finished runs, and one whose record cannot be read."""
    with Workspace.open(str(tmp_path_factory.mktemp("kept") / "runs.sqlite"), new=True) as workspace:
        for seed in (1, 2):
            asyncio.run(carry(CASES["judged"](seed), store=workspace.store))
        run = workspace.store.runs()[0]
        workspace.store.create_run(replace(run, id="run_broken", name="broken", job={}, status="failed"))
        yield workspace


def known(lines: RunLines) -> dict[str, Figures]:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        found = {each.run.id: each.figures for each in lines.lines()}
        if all(found.values()):
            return {run_id: told for run_id, told in found.items() if told}
    raise AssertionError("not all lines were read")


def test_every_run_has_its_figures_and_a_broken_one_says_so(workspace: Workspace) -> None:
    found = known(RunLines(StoreSource(workspace)))
    broken = found.pop("run_broken")
    assert broken.trouble
    assert broken.best is None
    for run_id, told in found.items():
        line = RunLines(StoreSource(workspace)).line(run_id)
        assert told == line.figures
        assert told.best
        assert told.change
        assert told.split == "test"
        assert told.best.low <= told.best.mean <= told.best.high
        assert 0 < told.rollouts <= (told.cap or 0)


def test_a_run_that_is_over_is_read_once(workspace: Workspace) -> None:
    lines = RunLines(StoreSource(workspace))
    before = known(lines)
    assert all(after is before[run_id] for run_id, after in known(lines).items())


async def test_two_runs_stand_side_by_side(workspace: Workspace) -> None:
    ids = [run.id for run in workspace.store.runs() if run.id != "run_broken"]
    transport = httpx.ASGITransport(console_app(StoreSource(workspace)))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:1") as client:
        ticked = await client.get(f"/compare?run={ids[0]}&run={ids[1]}")
        named = await client.get(f"/compare?a={ids[1]}&b={ids[0]}")
        assert ticked.status_code == 200
        assert ticked.text == named.text
        assert "What the two were asked to do differently" in named.text
        assert (await client.get("/compare")).status_code == 200
        assert (await client.get("/compare?a=nobody&b=nobody")).status_code == 404
