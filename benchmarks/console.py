"""What the console takes on a long run: 100,000 rollouts, 200 candidates, 500 examples.

    python benchmarks/console.py [--folder FOLDER] [--repeat N] [paint views live report jobs]

`paint`: the first look at a run that nobody has looked at yet, in Chromium. `views`: how fast each view
answers, and what its page takes. `live`: a run that another process writes, 500 decisions a second, and when
each of its lines stands on the page. `report`: the run as one file. `jobs`: the list of a server's jobs.
Figures are kept in `benchmarks/results/console.json`, beside what other parts left there, and as tables in
`console.md`. The record is made in FOLDER, and used again if it is there. Needs Chromium and playwright.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx

from benchmarks.console_live import live
from benchmarks.console_page import opened, report_page
from paretune.console.pages import BY_NAME, LISTED, Paths
from paretune.core.events import ProposalRejected
from paretune.store import Run, SqlStore
from paretune.store.jobs import StoredJob, timestamp
from paretune.store.sql_jobs import SqlJobs
from paretune.views.run_view import read
from support.big_run import Big, big_run
from support.browser import chromium
from support.programs import command_line, free_port, paretune

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Figures = dict[str, Any]
RESULTS = Path(__file__).parent / "results"
JOBS = 2_000
REPEAT = 5


@contextmanager
def serving(*arguments: str) -> Iterator[str]:
    """`paretune console` or `serve` in a process of its own; the address of its console."""
    port = free_port()
    command, environment = command_line(*arguments, "--port", str(port))
    url = f"http://127.0.0.1:{port}" + ("/console" if arguments[0] == "serve" else "")
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(url)
            yield url
        finally:
            process.terminate()


def _wait_for(url: str) -> None:
    for _ in range(400):
        try:
            if httpx.get(f"{url}/static/console.css").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise TimeoutError("no console within 20 s")


def paint(browser: Browser, folder: Path, repeat: int) -> Figures:
    """Medians of the time from the navigation to the first content on the screen, and to that of the whole
    view; when nobody has looked at the run before, and again."""
    store, run_id = _record(folder)
    seen: dict[str, list[float]] = {}
    for _ in range(repeat):
        with serving("console", str(store)) as url:
            for name in ("first", "again"):
                with opened(browser) as page:
                    page.go(f"{url}/runs/{run_id}/", "nav")
                    seen.setdefault(f"{name}: something", []).append(page.paints[0])
                    seen.setdefault(f"{name}: the whole view", []).append(page.paints[-1])
    return {name: round(statistics.median(times)) for name, times in seen.items()}


def views(browser: Browser, folder: Path, repeat: int) -> Figures:
    """Median and slowest answer, kB, first content on the screen, longest task of the main thread (0: none
    took more than 50), MB of the script's heap, of the page's process, and of what only that has."""
    store, run_id = _record(folder)
    found: Figures = {}
    with serving("console", str(store)) as url, httpx.Client() as client:
        client.get(f"{url}/runs/{run_id}/feed", headers={"X-Part": "1"}, timeout=60)
        for name, path in _pages(store, run_id).items():
            answer, times = _answers(client, f"{url}{path}", repeat)
            if answer.status_code == 404:
                continue  # the record has none of them
            with opened(browser) as page:
                page.go(f"{url}{path}", "nav")
                page.rest()
                found[name] = {
                    "answer": round(statistics.median(times)),
                    "slowest": round(max(times)),
                    "kB": len(answer.content) // 1000,
                    "paint": round(page.paints[-1]),
                    "task": round(page.longest_task),
                    **page.memory(),
                }
    return found


def _answers(client: httpx.Client, url: str, repeat: int) -> tuple[httpx.Response, list[float]]:
    """The last answer, and how many milliseconds each took."""
    times = list[float]()
    for _ in range(repeat):
        began = time.perf_counter()
        answer = client.get(url, timeout=60)
        times.append(1000 * (time.perf_counter() - began))
    return answer, times


def _pages(store: Path, run_id: str) -> dict[str, str]:
    """Name -> path of each view; of those of one candidate, rollout or proposal a page of many."""
    kept = SqlStore(store)
    view = read(kept, run_id)
    kept.close()
    to = Paths("", run_id)
    pages = {each.name: to(each.name) for each in LISTED}
    for each in BY_NAME.values():
        if each.name not in pages:
            params = next(iter(each.pages(view)), None)
            if params:
                pages[each.name] = to(each.name, **params)
    turned_down = view.of_kind(ProposalRejected)[0]
    pages["proposal, turned down"] = to("proposal", step=turned_down.step)
    pages["events, filtered"] = to("events", text="better", kind="gate_decided")
    pages["matrix, last page"] = to("matrix", page=99)
    return pages


def watched(browser: Browser, folder: Path, repeat: int) -> Figures:
    """Decisions that another process writes, with their rollouts; lines of the feed since the page was
    opened, those that the page did not show, or in other words; how many seconds after its commit a line
    stood there; the longest task of the main thread; MB as above."""
    return live(browser, folder, serving)


def report(browser: Browser, folder: Path, repeat: int) -> Figures:
    """Seconds to write the file, its MB and pages; how it opens from disk, without a network, as above."""
    store, run_id = _record(folder)
    file, began = folder / "report.html", time.perf_counter()
    done = paretune("report", run_id, "-o", str(file), "--store", str(store), cwd=folder)
    assert done.returncode == 0, done.stderr
    seconds = time.perf_counter() - began
    text = file.read_text("utf-8")
    told = {"seconds": round(seconds, 1), "mb": round(file.stat().st_size / 1e6, 1)}
    told["pages"] = len(re.findall("<template data-page", text))
    return {**told, **report_page(browser, file)}


def jobs(browser: Browser, folder: Path, repeat: int) -> Figures:
    """Milliseconds of the list of a server's jobs, once all figures are known."""
    with tempfile.TemporaryDirectory() as made:
        store = Path(made) / "jobs.sqlite"
        _fill(store)
        with serving("serve", "--store", str(store)) as url:
            began = time.perf_counter()
            while b", reading " in (answer := httpx.get(f"{url}/", timeout=60)).content:
                time.sleep(0.2)
            known = time.perf_counter() - began
            with httpx.Client() as client:
                answer, times = _answers(client, f"{url}/", repeat)
    assert answer.is_success
    median = round(statistics.median(times))
    return {
        "jobs": JOBS,
        "answer": median,
        "slowest": round(max(times)),
        "seconds until known": round(known, 1),
    }


def _fill(store: Path) -> None:
    """Jobs that are over, and the small runs of half of them; the documents are as long as usual ones."""
    big, runs, kept = Big(100, 3, 200, 0, "run_0"), SqlStore(store), SqlJobs(store)
    record = {**big.job.record(), "proposer": "reflective", "source": {}}
    for number in range(JOBS):
        run_id = f"run_20260101T{number:06}000_{number:08x}"
        job = StoredJob(
            f"pl_{number:016x}", f"job {number}", timestamp(), record, {}, run_id, "gepa", "succeeded"
        )
        kept.create(job)
        if number % 2:
            runs.create_run(Run(run_id, job.name, job.created_at, record, "succeeded"))
    runs.close()
    kept.close()


# -- what is kept -----------------------------------------------------------------------------------------


def _record(folder: Path) -> tuple[Path, str]:
    """The store of the long run, and its id."""
    store = folder / "big.sqlite"
    new = not store.exists()
    kept = SqlStore(store)
    run_id = big_run(kept) if new else kept.runs()[0].id
    kept.close()
    return store, run_id


def _tables(found: Mapping[str, Figures]) -> str:
    """Markdown: one table for each part."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    lines = ["# The console on a long run", "", f"{machine}. Times in ms where nothing else is said.", ""]
    for part in (part for part in PARTS if part in found):
        told, about = found[part], " ".join((PARTS[part].__doc__ or "").split())
        rows = told if all(isinstance(row, dict) for row in told.values()) else {"": told}
        heads = list(next(iter(rows.values())))
        lines += [
            f"## {part}",
            "",
            about,
            "",
            f"| | {' | '.join(heads)} |",
            "| --- |" + " --- |" * len(heads),
        ]
        lines += [
            f"| {name} | {' | '.join(str(row[head]) for head in heads)} |" for name, row in rows.items()
        ]
        lines.append("")
    return "\n".join(lines)


PARTS: Mapping[str, Callable[[Browser, Path, int], Figures]] = {
    "paint": paint,
    "views": views,
    "live": watched,
    "report": report,
    "jobs": jobs,
}


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    told.add_argument("--folder", type=Path)
    told.add_argument("--repeat", type=int, default=REPEAT)
    asked = told.parse_args()
    with tempfile.TemporaryDirectory() as scratch, chromium() as browser:
        folder = asked.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        _record(folder)
        kept = RESULTS / "console.json"
        found = json.loads(kept.read_text()) if kept.exists() else {}
        for part in asked.parts or PARTS:
            found[part] = PARTS[part](browser, folder, asked.repeat)
            print(part, json.dumps(found[part], indent=1), flush=True)
            kept.write_text(json.dumps(found, indent=1))
            kept.with_suffix(".md").write_text(_tables(found))


if __name__ == "__main__":
    main()
