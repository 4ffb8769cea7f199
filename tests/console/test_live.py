"""A run at work, watched and steered in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from paretune.console.pages import LISTED
from support.browser import Watched, watched
from support.paced_task import PacedTask
from support.served import Server, named_job

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
Paced = tuple[Server, PacedTask]
MARK = "window.since = 'the beginning'"


@pytest.fixture
def page(browser: Browser, paced: Paced) -> Iterator[Watched]:
    with watched(browser, paced[0].url) as seen:
        yield seen


def state(page: Watched, *wanted: str) -> None:
    """Returns once the page shows one of these states."""
    shown = ", ".join(f".where .state.{one}" for one in wanted)
    page.page.wait_for_selector(shown, timeout=30_000)


def test_a_run_is_watched_from_start_to_end(page: Watched, paced: Paced) -> None:
    """The page is never loaded anew: what it shows comes to it."""
    server, task = paced
    pace, task.pace = task.pace, 0.2  # the page looks again after .7 s
    try:
        job_id = server.submit(named_job(task.url, "watched", budget=160))
        page.go(f"/console/runs/{job_id}/")
        state(page, "running")
        page.page.wait_for_selector("nav")  # it has begun
        page.page.evaluate(MARK)
        seen = {_rollouts(page)}
        while page.page.locator(".where .state.succeeded").count() == 0:
            seen.add(_rollouts(page))
            page.page.wait_for_timeout(100)
    finally:
        task.pace = pace
    assert page.page.evaluate("window.since") == "the beginning"
    assert len(seen) > 3
    assert max(seen) <= server.job(job_id)["rollouts_completed"]
    whole = server.job(job_id)["rollouts_completed"]
    page.page.wait_for_function(f"() => document.querySelector('main').textContent.includes('{whole}')")
    page.check()


def _rollouts(page: Watched) -> int:
    tile = page.page.locator(".tile", has=page.page.locator(".label:text-is('rollouts')")).first
    digits = "".join(filter(str.isdigit, tile.locator(".figure").inner_text().split("/")[0]))
    return int(digits or 0)


def test_controls_act(page: Watched, paced: Paced) -> None:
    server, task = paced
    job_id = server.submit(named_job(task.url, "steered", budget=900))
    page.go(f"/console/runs/{job_id}/")
    state(page, "running")
    page.page.wait_for_selector("nav")
    act(page, "pause")
    state(page, "paused")
    assert server.job(job_id)["state"] == "paused"
    page.page.click("summary:has-text('Extend')")
    page.page.fill("[name=max_total_tokens]", "5000000")
    act(page, "extend")
    page.page.wait_for_load_state("load")
    with server.kept() as (workspace, jobs):
        run = workspace.store.run(jobs.job(job_id).run_id)
        assert dict(run.job["limits"])["tokens"] == 5_000_000
    act(page, "resume")
    state(page, "running", "queued")
    act(page, "cancel")
    state(page, "cancelled")
    assert server.until(job_id, "cancelled")
    assert page.page.locator("form[action$='/do/resume']").count() == 0
    page.check()


def act(page: Watched, action: str) -> None:
    page.page.locator(f"form[action$='/do/{action}'] button").first.click(timeout=20_000)


def test_a_job_that_waits_can_be_seen_and_cancelled(page: Watched, paced: Paced) -> None:
    server, task = paced
    first = server.submit(named_job(task.url, "first", budget=900))
    second = server.submit(named_job(task.url, "second", budget=900))
    server.until(first, "running")
    page.go("/console/")
    page.page.locator("main tbody a", has_text="second").first.click()
    state(page, "queued")
    assert page.page.locator("h1").inner_text() == "Not begun yet"
    act(page, "cancel")
    state(page, "cancelled")
    assert server.job(second)["state"] == "cancelled"
    server.ask("POST", f"/api/jobs/{first}/cancel", json={})
    server.until(first, "cancelled")


def test_all_views_of_a_run_at_work_open(page: Watched, paced: Paced) -> None:
    server, task = paced
    job_id = server.submit(named_job(task.url, "opened", budget=900))
    page.go(f"/console/runs/{job_id}/")
    page.page.wait_for_selector("nav", timeout=20_000)
    run_id = page.path.split("/")[3]
    for view in LISTED:
        page.go(f"/console/runs/{run_id}/{view.path}")
        page.drawn()
        page.check()
    server.ask("POST", f"/api/jobs/{job_id}/cancel", json={})
    server.until(job_id)
