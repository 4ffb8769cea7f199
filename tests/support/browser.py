"""Chromium, and pages that are watched for what must never happen on them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 800}
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
WATCH = """
window.refused = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.refused.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""
SIDEWAYS = """() => {
  const page = document.documentElement;
  if (page.scrollWidth <= page.clientWidth) return "";
  const out = [...document.querySelectorAll("body *")].filter(
    (one) => one.getBoundingClientRect().right > page.clientWidth + 1 && !one.closest(".scroll, .where"),
  );
  const named = out.slice(0, 6).map((one) => `${one.tagName}.${one.getAttribute("class")}`);
  return `${page.scrollWidth} px: ${named}`;
}"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser. Within the block no event loop of this thread can run."""
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watched:
    """A page, and what went wrong on it: errors on its console, requests that leave its origin, refusals of
    its policy, and texts that were run or read as HTML."""

    page: Page
    origin: str
    troubles: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.add_init_script(WATCH)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.troubles.append(f"{self.page.url}: {error}"))
        self.page.on("request", self._asked)
        self.page.on("dialog", self._dialog)

    def _said(self, message: Any) -> None:
        if message.type == "error":
            self.troubles.append(f"{self.page.url}: {message.text}")

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((f"{self.origin}/", "data:", "blob:")):
            self.troubles.append(f"{self.page.url} asks {request.url}")

    def _dialog(self, dialog: Any) -> None:
        self.troubles.append(f"{self.page.url}: a dialog says {dialog.message}")
        dialog.dismiss()

    def go(self, path: str) -> None:
        self.page.goto(f"{self.origin}{path}" if path.startswith("/") else path)

    def drawn(self) -> None:
        """Returns once all charts that can be seen are there."""
        self.page.wait_for_function(
            "() => [...document.querySelectorAll('[data-chart]')]"
            ".every((chart) => !chart.checkVisibility() || chart.querySelector('.main-svg'))"
        )

    @property
    def path(self) -> str:
        return str(urlsplit(self.page.url).path)

    def links(self) -> list[str]:
        """Where the page's content leads to, each address once."""
        found = self.page.eval_on_selector_all(
            "main a[href], main [data-feed]",
            "all => all.map(a => a.href || new URL(a.dataset.feed, location).href)",
        )
        return list(dict.fromkeys(str(address) for address in found))

    def sideways(self) -> str:
        """What is wider than the page, if it scrolls sideways and goes on doing so."""
        for _ in range(10):
            found = str(self.page.evaluate(SIDEWAYS))
            if not found:
                break
            self.page.wait_for_timeout(100)  # charts follow the size of the window
        return found

    def press(self, *keys: str) -> None:
        """One after the other, once the page listens."""
        self.page.wait_for_load_state("load")
        for key in keys:
            self.page.keyboard.press(key)

    def check(self) -> None:
        """Nothing went wrong so far, and nothing on the page is more than text."""
        refused = self.page.evaluate("window.refused")
        ran = self.page.evaluate("window.hostile ?? null")
        read = self.page.evaluate(
            """() => {
              const bad = "[data-hostile], a[href^='javascript:' i], [onerror], [onload], [onclick]";
              const within = (root) => root.querySelectorAll(bad).length
                + [...root.querySelectorAll("template")].reduce((sum, one) => sum + within(one.content), 0);
              return within(document);
            }"""
        )
        assert not self.troubles, self.troubles
        assert (refused, ran, read) == ([], None, 0), self.page.url


@contextmanager
def watched(browser: Browser, origin: str, **context: Any) -> Iterator[Watched]:
    """A fresh page (a context of its own) for this origin. What went wrong fails the test at the end."""
    with browser.new_context(viewport=context.pop("viewport", DESK), **context) as made:
        page = made.new_page()
        page.set_default_timeout(10_000)
        seen = Watched(page, origin)
        yield seen
        assert not seen.troubles, seen.troubles
