"""Where the console's runs come from, and what may be done with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Literal, Protocol

from paretune.core.errors import ParetuneError
from paretune.engine.workspace import Workspace
from paretune.store import Run, Store
from paretune.store.base import StatusSet
from paretune.views.run_view import RunView, read

Action = Literal["pause", "resume", "cancel", "extend"]
KEPT = 8
"""Views of so many runs are kept up to date; others are read anew."""


class Refused(ParetuneError):
    """That cannot be done with this run. HTTP 409."""


class Source(Protocol):
    """Runs, wherever they are. Methods may be called from any thread."""

    @property
    def store(self) -> Store: ...

    def runs(self) -> Sequence[Run]:
        """All, newest first."""
        ...

    def state(self, run: Run) -> str:
        """The run's status, or `interrupted` when it says running and nobody works on it."""
        ...

    def view(self, run_id: str) -> RunView:
        """The run as it stands. Raises UnknownRun."""
        ...

    def actions(self, run: Run) -> Sequence[Action]:
        """What can be done with it now."""
        ...

    def act(self, run_id: str, action: Action, values: Mapping[str, str]) -> str:
        """Do it; what was done, in a sentence. Raises Refused or Misconfigured."""
        ...


@dataclass(slots=True)
class StoreSource:
    """The runs of a store. Who works on one, in another process, is asked through the store."""

    workspace: Workspace
    _views: dict[str, tuple[object, RunView]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @property
    def store(self) -> Store:
        return self.workspace.store

    def runs(self) -> Sequence[Run]:
        return self.store.runs()

    def state(self, run: Run) -> str:
        if run.status == "running" and not self.workspace.at_work(run.id):
            return "interrupted"
        return run.status

    def view(self, run_id: str) -> RunView:
        run = self.store.run(run_id)
        with self._lock:
            as_of = run.status if run.status in ("succeeded", "failed", "cancelled") else object()
            kept = self._views.get(run.id)
            if kept is None or kept[0] != as_of:
                kept = self._views[run.id] = as_of, read(self.store, run.id)
            while len(self._views) > KEPT:
                del self._views[next(iter(self._views))]
            return kept[1]

    def actions(self, run: Run) -> Sequence[Action]:
        match self.state(run):
            case "running":
                return ("pause", "cancel")
            case "queued" | "paused" | "interrupted":
                return ("cancel",)
            case _:
                return ()

    def act(self, run_id: str, action: Action, values: Mapping[str, str]) -> str:
        run = self.store.run(run_id)
        if action not in self.actions(run):
            raise Refused(f"{run.id} is {self.state(run)}: there is nothing to {action}")
        if self.state(run) == "running":
            self.store.wish(run.id, "cancel" if action == "cancel" else "pause")
            return f"asked {run.id} to {action}"
        self.store.commit(run.id, [StatusSet("cancelled", "cancelled on request", clear_wish=True)])
        return f"{run.id} is cancelled"
