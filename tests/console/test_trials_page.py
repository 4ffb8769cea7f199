"""The trials of a MIPRO run in a browser, with texts that try to be more than text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from support.browser import DESK, PHONE, Watched, watched
from support.chat_server import chat_server
from support.hostile import hostile_model, hostile_task, hostile_trials
from support.served import Server, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A server, and the id of a finished MIPRO job."""
    with (
        hostile_task() as task,
        chat_server(hostile_model) as model,
        serving(tmp_path_factory.mktemp("trials"), PARETUNE_PROPOSER_BASE_URL=model) as server,
    ):
        job = server.submit(hostile_trials(task))
        server.until(job, "succeeded")
        yield server, job


@pytest.fixture
def page(browser: Browser, searched: tuple[Server, str]) -> Iterator[Watched]:
    with watched(browser, searched[0].url) as seen:
        seen.go(f"/console/runs/{searched[1]}/")
        yield seen


def test_with_the_keyboard(page: Watched) -> None:
    page.press("g", "i")
    page.page.wait_for_url("**/trials")
    for _ in range(60):  # tab to the first line of the drawing
        page.press("Tab")
        if page.page.evaluate("document.activeElement.closest('.parallel') !== null"):
            break
    label = page.page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert "estimate" in label
    page.press("Enter")
    page.page.wait_for_url("**/candidates/c_*")
    page.check()


def test_with_the_mouse(page: Watched) -> None:
    page.page.get_by_role("link", name="Trials", exact=True).click()
    page.page.wait_for_url("**/trials")
    page.page.get_by_role("link", name="best first").click()
    page.page.wait_for_url("**/trials?order=estimate*")
    estimates = page.page.locator("[data-part=table] tbody tr td:nth-child(5)").all_inner_texts()
    assert len(estimates) == 12
    shown = page.page.locator("details:has(table)").last
    if shown.get_attribute("open") is None:
        shown.locator("summary").click()
    assert "<img data-hostile" in shown.inner_text()  # as text
    shown.locator("td:last-child a").first.click()
    page.page.wait_for_url("**/rollouts/**")
    page.check()


def test_an_option_of_a_trial_is_led_to_and_opened(page: Watched) -> None:
    page.page.get_by_role("link", name="Trials", exact=True).click()
    page.page.wait_for_url("**/trials")
    link = page.page.locator("[data-part=table] a.option:has-text('instruction 1')").first
    link.click()
    place = page.page.evaluate("location.hash.slice(1)")
    assert page.page.locator(f"details:has(#{place})").get_attribute("open") is not None
    page.check()


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_nothing_is_wider_than_the_page(page: Watched, size: dict[str, int]) -> None:
    page.page.set_viewport_size(size)
    for path in ("trials", "", "candidates", "lineage", "proposals/0", "objectives"):
        page.go(f"{page.page.url.rpartition('/console/')[0]}/console/runs/{page.path.split('/')[3]}/{path}")
        page.drawn()
        assert page.sideways() == "", path
        page.check()
