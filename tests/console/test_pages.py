"""Every view in a browser, over a run whose every text is hostile."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from paretune.console.pages import BY_NAME, LISTED
from paretune.console.view import View
from paretune.console.views import VIEWS
from support.browser import PHONE, Watched, watched
from support.hostile import NAME, HostileRun

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
EACH = 4
"""So many pages of one view are looked at."""
SHOWN = {
    "candidate": ("Because ", "Answer the question. "),
    "rollout": ("answer ", "expected ", "<img data-hostile src=x onerror=window.hostile=1>'\"&"),
    "errors": ("<img data-hostile src=x onerror=window.hostile=1>'\"&",),
    "overview": (NAME[:60],),
}
"""What a view shows of the hostile texts, as it is written here."""


@pytest.fixture
def page(browser: Browser, hostile: HostileRun) -> Iterator[Watched]:
    with watched(browser, hostile.server.url) as seen:
        yield seen


def test_every_view_opens_from_the_list_of_runs_by_mouse(page: Watched) -> None:
    page.go("/console/")
    page.page.click("main tbody a")
    for view in LISTED:
        page.page.click(f"nav a[data-key='{view.key}']")
        is_open(page, view)


def test_every_view_opens_from_the_list_of_runs_by_keyboard(page: Watched) -> None:
    page.go("/console/")
    page.press("j", "Enter")
    page.page.wait_for_selector("nav a[data-key='o'][aria-current='page']")
    for view in LISTED:
        page.press("g", view.key)
        is_open(page, view)
    page.press("g", "r")
    page.page.wait_for_url("**/console/")


def is_open(page: Watched, view: View) -> None:
    page.page.wait_for_selector(f"nav a[data-key='{view.key}'][aria-current='page']")
    assert page.page.locator("h1").count() == 1, view.name
    page.check()


def test_keys_are_told_and_the_dialog_closes(page: Watched, hostile: HostileRun) -> None:
    page.go(f"/console/runs/{hostile.run_id}/")
    page.press("?")
    told = page.page.locator("dialog[open]").inner_text()
    assert all(view.title in told for view in LISTED)
    page.press("Escape")
    page.page.wait_for_selector("dialog", state="detached")
    page.press("Tab")
    assert page.page.evaluate("document.activeElement.className") == "skip"
    page.press("Enter")
    assert page.page.evaluate("document.activeElement.id") == "view"


def test_pages_show_texts_as_texts_and_fit_a_phone(page: Watched, hostile: HostileRun) -> None:
    """All views are reached by their links, from the run's first page on."""
    start = f"{page.origin}/console/runs/{hostile.run_id}/"
    todo = [start + view.path for view in LISTED]
    seen: dict[str, list[str]] = {}
    while todo:
        address = todo.pop(0)
        name = view_of(address.removeprefix(start))
        if name is None or address in seen.setdefault(name, []) or len(seen[name]) >= EACH:
            continue
        seen[name].append(address)
        page.go(address)
        assert page.page.locator("h1").count() == 1, address
        page.drawn()
        page.check()
        text = page.page.locator("body").evaluate("body => body.textContent")
        if len(seen[name]) == 1:
            assert [shown for shown in SHOWN.get(name, ()) if shown not in text] == [], address
        todo += [link.partition("#")[0] for link in page.links() if link.startswith(start)]
        fits_a_phone(page)
    assert set(seen) == {view.name for view in VIEWS} - {"trials"}  # of another search


def fits_a_phone(page: Watched) -> None:
    size = page.page.viewport_size
    page.page.set_viewport_size(PHONE)
    assert page.sideways() == "", page.page.url
    page.page.set_viewport_size(size)


def view_of(rest: str) -> str | None:
    """The view that this address, beneath the run's, is one of."""
    path = urlsplit(rest).path
    for view in BY_NAME.values():
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(view.path))
        if re.fullmatch(pattern, path):
            return view.name
    return None


def test_the_list_of_runs_fits_a_phone(page: Watched) -> None:
    page.go("/console/")
    assert NAME in page.page.locator("main").evaluate("main => main.textContent")
    page.check()
    fits_a_phone(page)
