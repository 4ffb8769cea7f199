"""What is asked of a run by somebody who does not work on it."""

from __future__ import annotations

from paretune.core.errors import Misconfigured
from paretune.engine.workspace import Workspace
from paretune.store import Run
from paretune.store.base import StatusSet, Wish


def state(workspace: Workspace, run: Run) -> str:
    """The run's status; `interrupted` when it says running and nobody works on it."""
    if run.status == "running" and not workspace.at_work(run.id):
        return "interrupted"
    return run.status


def wish(workspace: Workspace, run: Run, what: Wish) -> str:
    """Leave a wish for the process that works on the run; a run nobody works on is cancelled here.

    What was done, in a sentence. Raises Misconfigured if there is nothing to do.
    """
    now = state(workspace, run)
    if now == "running":
        workspace.store.wish(run.id, what)
        return f"asked {run.id} to {what}"
    if what == "cancel" and now not in ("succeeded", "cancelled"):
        workspace.store.commit(run.id, [StatusSet("cancelled", "cancelled on request", clear_wish=True)])
        return f"{run.id} is cancelled"
    raise Misconfigured("run", f"{run.id} is {now}: there is nothing to {what}")
