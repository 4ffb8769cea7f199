"""`paretune serve`."""

from __future__ import annotations

from paretune.cli.console import note
from paretune.engine.workspace import Workspace
from paretune.server.app import Settings, serve


def serve_jobs(store: str | None, settings: Settings) -> None:
    """Until interrupted."""
    with Workspace.open(store, new=True) as workspace:
        address = f"http://{settings.host}:{settings.port}"
        note(f"jobs are served at {address}, and kept in {workspace.folder}; {address}/console/ shows them")
        serve(workspace, settings)
