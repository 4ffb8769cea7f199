"""A run that another process writes, watched in Chromium: when does each line of its feed stand on the page?

python -m benchmarks.console_live STORE     (the process that writes)
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.console_page import opened
from paretune.engine.workspace import Workspace
from paretune.store import SqlStore, StoredDecision
from paretune.views.feed import feed
from paretune.views.run_view import read
from support.big_run import Big
from support.programs import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[1]
RATE = 500
"""Decisions a second, with the rollouts between them: about 2,500 a second."""
RUN = Big(rollouts=45_000, candidates=20, examples=500, seed=1, run_id="run_live", size=900)
SEEN = """
window.seen = {};
const note = (node) => {
  if (node.nodeType !== 1) return;
  const lines = node.matches("[data-seq]") ? [node] : node.querySelectorAll("[data-seq]");
  if (lines.length)
    requestAnimationFrame(() => setTimeout(() => {
      const at = Date.now() / 1000;
      for (const line of lines)
        window.seen[line.dataset.seq] ??= [at, line.querySelector(".words").textContent.trim()];
    }));
};
new MutationObserver((changes) => changes.forEach((change) => change.addedNodes.forEach(note)))
  .observe(document, { childList: true, subtree: true });
"""
PATIENCE = 90.0


def live(
    browser: Browser, folder: Path, serving: Callable[..., AbstractContextManager[str]]
) -> dict[str, Any]:
    """Opens the run's page while it is written, and compares the lines of its feed with the record."""
    store = folder / "live" / f"{free_port()}.sqlite"
    store.parent.mkdir(exist_ok=True)
    SqlStore(store).close()
    writes = [sys.executable, "-m", "benchmarks.console_live", str(store)]
    with serving("console", str(store)) as url, opened(browser) as page:
        page.tab.add_init_script(SEEN)
        with subprocess.Popen(writes, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            page.go(f"{url}/runs/{RUN.run_id}/", "nav")
            heard, _ = writer.communicate(timeout=PATIENCE)
        committed = {int(seq): at for seq, at in json.loads(heard).items()}
        kept = SqlStore(store)
        view = read(kept, RUN.run_id)
        kept.close()
        lines = {each.seq: each.text for each in feed(view)}
        last = max(lines)
        page.tab.wait_for_function(f"() => window.seen[{last}]", timeout=PATIENCE * 1000)
        page.rest()
        seen = {int(seq): told for seq, told in page.tab.evaluate("window.seen").items()}
        first = min(seen)  # those before stood under Events when the page was opened
        late = sorted(seen[seq][0] - committed[seq] for seq in lines if seq in seen and seq > first + 200)
        seconds = committed[max(committed)] - committed[0]
        return {
            "decisions": len(committed),
            "a second": round(len(committed) / seconds),
            "rollouts": len(view.ledger.drawn),
            "lines since": sum(seq >= first for seq in lines),
            "missed": sum(seq >= first and seq not in seen for seq in lines),
            "other words": sum(seq in seen and seen[seq][1] != text for seq, text in lines.items()),
            "late, median": round(statistics.median(late), 2),
            "late, 99 %": round(late[int(0.99 * len(late))], 2),
            "late, last": round(seen[last][0] - committed[last], 2),
            "task": round(page.longest_task),
            **page.memory(),
        }


def write(store: Path) -> None:
    """The run, at its pace; then says when each decision was on record."""
    committed = dict[int, float]()
    with Workspace.open(str(store)) as workspace:
        workspace.store.create_run(RUN.run)
        with workspace.exclusive(RUN.run_id):
            began = time.time()
            for group in RUN.groups():
                workspace.store.commit(RUN.run_id, group)
                if not committed:
                    print("begun", flush=True)
                now = time.time()
                committed |= {each.seq: now for each in group if isinstance(each, StoredDecision)}
                time.sleep(max(0.0, began + len(committed) / RATE - time.time()))
    print(json.dumps(committed))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
