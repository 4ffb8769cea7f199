"""Finding runs, and asking things of those that are at work."""

from __future__ import annotations

from paretune.cli.console import say
from paretune.core.errors import Misconfigured
from paretune.engine import wishes
from paretune.engine.workspace import Workspace
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


def wish(run_id: str, store: str | None, what: Wish) -> None:
    """Leave a wish for the process that works on the run; a run nobody works on is cancelled here."""
    with Workspace.open(store) as workspace:
        say(wishes.wish(workspace, find(workspace.store, run_id), what))
