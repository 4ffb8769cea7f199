"""Finding runs, and asking things of those that are at work."""

from __future__ import annotations

from paretune.cli.console import say
from paretune.core.errors import Misconfigured
from paretune.engine.workspace import Workspace
from paretune.store import Run, Store
from paretune.store.base import StatusSet, Wish


def find(store: Store, run_id: str) -> Run:
    """The run of this id or beginning; `last` is the newest. Raises Misconfigured or UnknownRun."""
    if run_id != "last":
        return store.run(run_id)
    runs = store.runs()
    if not runs:
        raise Misconfigured("run", "there is none in this store yet; start one with: paretune demo")
    return runs[0]


def state(workspace: Workspace, run: Run) -> str:
    """The run's status; `interrupted` when it says running and nobody works on it."""
    if run.status == "running" and not workspace.at_work(run.id):
        return "interrupted"
    return run.status


def wish(run_id: str, store: str | None, what: Wish) -> None:
    """Leave a wish for the process that works on the run; a run nobody works on is cancelled here."""
    with Workspace.open(store) as workspace:
        run = find(workspace.store, run_id)
        now = state(workspace, run)
        if now == "running":
            workspace.store.wish(run.id, what)
            say(f"asked {run.id} to {what}")
        elif what == "cancel" and now not in ("succeeded", "cancelled"):
            workspace.store.commit(run.id, [StatusSet("cancelled", "cancelled on request", clear_wish=True)])
            say(f"{run.id} is cancelled")
        else:
            raise Misconfigured("run", f"{run.id} is {now}: there is nothing to {what}")
