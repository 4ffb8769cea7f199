"""Where the console's runs come from, and what may be done with them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from paretune.console.kept import Views
from paretune.core.errors import ParetuneError
from paretune.engine import wishes
from paretune.engine.workspace import Workspace
from paretune.store import Run, Store
from paretune.views.run_view import RunView

Action = Literal["pause", "resume", "cancel", "extend"]
OVER = ("succeeded", "failed", "cancelled")


class Refused(ParetuneError):
    """That cannot be done with this run. HTTP 409."""


class NotYet(ParetuneError):
    """The run waits for its turn: nothing is on record of it. HTTP 202."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.run = run

    def __str__(self) -> str:
        return f"{self.run.name or self.run.id} waits for its turn: nothing is on record yet"


class Source(Protocol):
    """Runs, wherever they are. All but `act` may be called from any thread."""

    @property
    def store(self) -> Store: ...

    @property
    def closing(self) -> bool:
        """True once nobody is served any more: streams end."""
        ...

    def runs(self) -> Sequence[tuple[Run, str]]:
        """All with their states, newest first; as `Store.headings` gives them."""
        ...

    def state(self, run: Run) -> str:
        """The run's status, or `interrupted` when it says running and nobody works on it."""
        ...

    def view(self, run_id: str) -> RunView:
        """The run as it stands. Raises UnknownRun, NotYet."""
        ...

    def actions(self, run: Run) -> Sequence[Action]:
        """What can be done with it now."""
        ...

    async def act(self, run_id: str, action: str, values: Mapping[str, str]) -> str:
        """Do it; what was done, in a sentence. Raises Refused, UnknownRun or Misconfigured."""
        ...


@dataclass(slots=True)
class StoreSource:
    """The runs of a store. Who works on one, in another process, is asked through the store."""

    workspace: Workspace
    view: Views = field(init=False)
    closing: bool = False

    def __post_init__(self) -> None:
        self.view = Views(self.store)

    @property
    def store(self) -> Store:
        return self.workspace.store

    def runs(self) -> Sequence[tuple[Run, str]]:
        return [(run, self.state(run)) for run in self.store.headings()]

    def state(self, run: Run) -> str:
        return wishes.state(self.workspace, run)

    def actions(self, run: Run) -> Sequence[Action]:
        match self.state(run):
            case "running":
                return ("pause", "cancel")
            case "queued" | "paused" | "interrupted":
                return ("cancel",)
            case _:
                return ()

    async def act(self, run_id: str, action: str, values: Mapping[str, str]) -> str:
        return await asyncio.to_thread(self._act, run_id, action)

    def _act(self, run_id: str, action: str) -> str:
        run = self.store.run(run_id)
        if action == "resume":
            raise Refused(f"this console starts no runs: paretune resume {run.id}")
        if action == "extend":
            raise Refused(f"caps are raised with the run's resumption: paretune resume {run.id} --max-...")
        if action not in ("pause", "cancel") or action not in self.actions(run):
            raise Refused(f"{run.id} is {self.state(run)}: there is nothing to {action[:20]}")
        return wishes.wish(self.workspace, run, "pause" if action == "pause" else "cancel")
