"""A run in one file, in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from paretune.console.pages import LISTED
from support.browser import PHONE, Watched, watched
from support.hostile import HostileRun
from support.programs import paretune

if TYPE_CHECKING:
    from playwright.sync_api import Browser


TEXT = """() => {
  const copy = document.querySelector("main").cloneNode(true);
  copy.querySelectorAll(".plot, script, template, form, a[download], p.note").forEach((one) => one.remove());
  return copy.textContent.replace(/\\s+/g, " ").trim();
}"""


@pytest.fixture(scope="session")
def file(hostile: HostileRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("report") / "report.html"
    store = str(hostile.server.store)
    done = paretune("report", hostile.run_id, "-o", str(made), "--store", store, cwd=made.parent)
    assert done.returncode == 0, done.stderr
    assert "left out: " in done.stderr
    return made


@pytest.fixture
def page(browser: Browser, file: Path) -> Iterator[Watched]:
    with watched(browser, "file://", offline=True) as seen:
        seen.go(file.as_uri())
        yield seen


@pytest.mark.browser
@pytest.mark.timeout(240)
def test_the_file_shows_the_same_views_with_the_network_off(
    page: Watched, browser: Browser, hostile: HostileRun
) -> None:
    with watched(browser, hostile.server.url) as served:
        for view in LISTED:
            page.press("g", view.key)
            page.page.wait_for_selector(f"nav a[data-key='{view.key}'][aria-current='page']")
            page.drawn()
            page.check()
            served.go(f"/console/runs/{hostile.run_id}/{view.path}")
            assert page.page.evaluate(TEXT) == served.page.evaluate(TEXT), view.name


@pytest.mark.browser
@pytest.mark.timeout(240)
def test_links_lead_to_pages_of_the_file_or_to_what_is_left_out(page: Watched) -> None:
    known = page.page.eval_on_selector_all("template[data-page]", "all => all.map(one => one.dataset.page)")
    page.page.set_viewport_size(PHONE)
    for address in known:
        page.page.evaluate("address => { location.hash = address }", address)
        page.page.wait_for_selector("main h1")
        page.drawn()
        page.check()
        assert page.sideways() == "", address
        led = page.page.eval_on_selector_all(
            "main a[href]", "all => all.map(one => one.getAttribute('href'))"
        )
        assert [link for link in led if not link.startswith(("#", "data:", "blob:"))] == []
    page.page.evaluate("location.hash = '/candidates/nobody'")
    page.page.wait_for_selector("main h1:text('About this file')")
