"""A run in one file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from markupsafe import escape

from paretune.console.bundle import bundle
from paretune.console.pages import LISTED
from paretune.console.report import MOST_BYTES, report
from paretune.views.run_view import read
from support.browser import PHONE, Watched, watched
from support.hostile import HostileRun
from support.programs import paretune
from support.runs import CASES, carry

if TYPE_CHECKING:
    from playwright.sync_api import Browser


TEXT = """() => {
  const copy = document.querySelector("main").cloneNode(true);
  copy.querySelectorAll(".plot, script, template, form, a[download]").forEach((one) => one.remove());
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
@pytest.mark.timeout(120)
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
@pytest.mark.timeout(120)
def test_links_lead_to_pages_of_the_file_or_to_what_is_left_out(page: Watched) -> None:
    known = page.page.eval_on_selector_all("template[data-page]", "all => all.map(one => one.dataset.page)")
    page.page.set_viewport_size(PHONE)  # type: ignore[arg-type]
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


async def test_a_report_is_small_enough_and_names_what_is_left_out() -> None:
    done = await carry(next(iter(CASES.values()))(3))
    view = read(done.store, done.run_id)
    whole = report(view, "succeeded", done.store)
    assert len(whole.html) < MOST_BYTES
    small = report(view, "succeeded", done.store, len(whole.html) - 2_000)
    assert len(small.html) <= len(whole.html) - 2_000
    named = [line for line in small.left_out if "too large" in line]
    assert named
    assert all(escape(line) in small.html.decode() for line in small.left_out)


def test_modules_become_one_script() -> None:
    modules = {
        "a.js": 'import { one, two as both } from "./b.js";\nimport "./c.js";\nboth(one);\n',
        "b.js": "export const one = 1;\nexport function two(n) { return n; }\nlet own = 2;\n",
        "c.js": "let own = 3;\n",
    }
    script = bundle("a", modules.__getitem__)
    assert script.index("module_b =") < script.index("module_a =")
    assert "const { one, two: both } = module_b;" in script
    for wrong in ('import it from "./b.js";', 'import("./b.js")', "export default 1;"):
        with pytest.raises(ValueError, match="cannot be bundled"):
            bundle("a", {"a.js": wrong}.__getitem__)
    with pytest.raises(ValueError, match="each other"):
        bundle("a", {"a.js": 'import "./b.js";', "b.js": 'import "./a.js";'}.__getitem__)
