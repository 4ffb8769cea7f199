"""Finding runs, and asking things of those that are at work."""

from __future__ import annotations

from pathlib import Path

from paretune.cli.console import say
from paretune.cli.session import Workspace
from paretune.core.errors import Misconfigured
from paretune.store import Run, Store
from paretune.store.base import Wish


def find(store: Store, run_id: str) -> Run:
    """The run of this id or beginning; `last` is the newest. Raises Misconfigured or UnknownRun."""
    if run_id != "last":
        return store.run(run_id)
    runs = store.runs()
    if not runs:
        raise Misconfigured("run", "there is none in this store yet; start one with: paretune demo")
    return runs[0]


def wish(run_id: str, store_path: Path | None, what: Wish) -> None:
    """Leave a wish for the process that works on the run."""
    with Workspace.open(store_path) as workspace:
        run = find(workspace.store, run_id)
        if run.status != "running":
            raise Misconfigured("run", f"{run.id} is {run.status}, not running")
        workspace.store.wish(run.id, what)
    say(f"asked {run.id} to {what}")
