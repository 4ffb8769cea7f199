"""`paretune console`: the pages of a store's runs."""

from __future__ import annotations

import socket
from pathlib import Path

import uvicorn

from paretune.cli.console import note, say
from paretune.cli.runs import find
from paretune.console.app import console_app
from paretune.console.report import report as written
from paretune.console.source import StoreSource
from paretune.core.address import DEFAULT_HOST
from paretune.core.errors import Misconfigured
from paretune.engine.workspace import Workspace
from paretune.server.door import Door, NoKeys

SHUTDOWN_SECONDS = 3
"""So long are pages that were begun waited for."""


def console(place: str | None, port: int) -> None:
    """Until interrupted. `place` is a store, or the folder of a run in one."""
    address, run_id = located(place)
    with Workspace.open(address) as workspace:
        first = f"runs/{workspace.store.run(run_id).id}/" if run_id else ""
        note(f"the console is at http://{DEFAULT_HOST}:{port}/{first}")
        source = StoreSource(workspace)
        config = uvicorn.Config(
            Door(console_app(source), NoKeys()),
            host=DEFAULT_HOST,
            port=port,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        _Server(config, source).run()


class _Server(uvicorn.Server):
    """Pages that follow a run would never end by themselves; at the end they are ended first."""

    def __init__(self, config: uvicorn.Config, source: StoreSource) -> None:
        super().__init__(config)
        self._source = source

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._source.closing = True
        await super().shutdown(sockets)


def report(run_id: str, output: Path, store: str | None) -> None:
    """One file. `run_id` may be the folder of a run instead."""
    if Path(run_id).is_dir():
        store, run_id = located(run_id)
    with Workspace.open(store) as workspace:
        found = find(workspace.store, run_id or "last")
        source = StoreSource(workspace)
        made = written(source.view(found.id), source.state(found), workspace.store)
    try:
        output.write_bytes(made.html)
    except OSError as error:
        raise Misconfigured(
            "--output", f"{output}: {error.strerror}; name a file that can be written"
        ) from error
    say(f"{found.id} is in {output}, {len(made.html) / 1e6:.1f} MB")
    for line in made.left_out:
        note(f"left out: {line}")


def located(place: str | None) -> tuple[str | None, str]:
    """The store's address and, where a run's folder is meant, the run's id. Raises Misconfigured."""
    if place is None or "://" in place:
        return place, ""
    path = Path(place)
    if path.is_dir() and path.parent.name == "runs":
        return str(_store_beside(path.parent)), path.name
    if not path.exists():
        raise Misconfigured("place", f"there is no store and no run's folder at {place}")
    return place, ""


def _store_beside(runs: Path) -> Path:
    """The store whose runs have their folders here, whatever it is called."""
    found = sorted(runs.parent.glob("*.sqlite"))
    return found[0] if len(found) == 1 else runs.parent
