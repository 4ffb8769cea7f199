"""A page in Chromium, measured from within: paints, tasks, memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.browser import DESK

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage
    from playwright.sync_api import Page as Tab

SAY = "measured "
MEASURE = """
for (const type of ["paint", "longtask"]) {
  new PerformanceObserver((list) => {
    for (const { entryType, name, startTime, duration } of list.getEntries()) {
      const told = { entryType, name, startTime, duration, origin: performance.timeOrigin };
      console.debug("measured " + JSON.stringify(told));
    }
  }).observe({ type, buffered: true });
}
"""
LEFT_OUT = """[...document.querySelectorAll("template")].flatMap((page) =>
  [...page.content.querySelectorAll(".left-out li")].map((line) => line.textContent))"""
MB = 1e6


@dataclass
class Page:
    """A tab of its own. `paints`: milliseconds from a navigation to the first content of each document that
    came of it."""

    tab: Tab
    told: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tab.add_init_script(MEASURE)
        self.tab.on("console", self._said)
        self._metrics = self.tab.context.new_cdp_session(self.tab)
        self._metrics.send("Performance.enable")

    def _said(self, message: ConsoleMessage) -> None:
        if message.text.startswith(SAY):
            self.told.append(json.loads(message.text.removeprefix(SAY)))

    def go(self, url: str, until: str) -> None:
        """Returns once the element is there, and painted."""
        self.told.clear()
        self.tab.goto(url, wait_until="commit")
        self.tab.wait_for_selector(until, timeout=60_000)
        origin = self.tab.evaluate("performance.timeOrigin")
        while not any(abs(each["origin"] - origin) < 1 for each in self._paints()):
            self.tab.wait_for_timeout(20)

    def rest(self) -> None:
        """Returns once all that it fetches has come, and a moment later."""
        self.tab.wait_for_load_state("networkidle")
        self.tab.wait_for_timeout(300)

    def _paints(self) -> list[dict[str, Any]]:
        return [each for each in self.told if each["name"] == "first-contentful-paint"]

    @property
    def paints(self) -> list[float]:
        found = self._paints()
        return [each["origin"] + each["startTime"] - found[0]["origin"] for each in found]

    @property
    def longest_task(self) -> float:
        """Of the main thread, in ms; 0 if none took more than 50."""
        return max((each["duration"] for each in self.told if each["entryType"] == "longtask"), default=0.0)

    def memory(self) -> dict[str, int]:
        """MB of the script's heap; of the page's process, in all and what it shares with nobody."""
        told = {
            each["name"]: each["value"] for each in self._metrics.send("Performance.getMetrics")["metrics"]
        }
        browser = self.tab.context.browser
        assert browser is not None
        processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
        sizes = [_size(each["id"]) for each in processes if each["type"] == "renderer"]
        resident, own = max(sizes)
        return {"heap": round(told["JSHeapUsedSize"] / MB), "process": resident, "own": own}


def _size(process: int) -> tuple[int, int]:
    """MB that are resident, and those of them that it shares with nobody."""
    sizes = dict[str, int]()
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]:
        name, kilobytes, _ = line.split()
        sizes[name] = int(kilobytes) * 1024
    own = sizes["Private_Clean:"] + sizes["Private_Dirty:"]
    return round(sizes["Rss:"] / MB), round(own / MB)


@contextmanager
def opened(browser: Browser) -> Iterator[Page]:
    with browser.new_context(viewport=DESK) as context:
        yield Page(context.new_page())


def report_page(browser: Browser, file: Path) -> dict[str, Any]:
    """How a report opens from disk, without a network, and what it says it leaves out."""
    with opened(browser) as page:
        page.tab.context.set_offline(True)
        page.go(file.as_uri(), "nav")
        page.rest()
        left_out = page.tab.evaluate(LEFT_OUT)
        told = {"paint": round(page.paints[-1]), "task": round(page.longest_task), **page.memory()}
        return {**told, "left out": "; ".join(left_out)}
