"""A record: print, verify, replay it, and hand it on."""

from __future__ import annotations

from pathlib import Path

from paretune.cli.console import as_json, say
from paretune.cli.runs import find
from paretune.core.errors import ParetuneError
from paretune.engine.verify import check_record, replay_record
from paretune.engine.workspace import Workspace
from paretune.store.files import export_run
from paretune.views.evidence import MANIFEST, check_packet, write_packet
from paretune.views.run_view import read
from paretune.views.study import write_study


def print_log(run_id: str, store: str | None, *, json: bool) -> None:
    with Workspace.open(store) as workspace:
        log = workspace.store.decisions(find(workspace.store, run_id).id)
    if json:
        as_json([{"seq": d.seq, "key": d.key, "at": d.at, **d.body} for d in log])
        return
    for decision in log:
        fields = {k: v for k, v in decision.body.items() if k not in ("kind", "version", "components")}
        say(f"{decision.seq:>4} {decision.key:<14} {decision.body['kind']:<20} {fields}")


def verify(run_id: str, store: str | None) -> None:
    """Says that all holds. Raises ParetuneError if anything is wrong."""
    with Workspace.open(store) as workspace:
        run = find(workspace.store, run_id)
        problems = check_record(workspace.store, run.id)
        count = len(workspace.store.decisions(run.id))
    folders = [f for f in (workspace.run_folder(run.id), workspace.folder) if (f / MANIFEST).is_file()]
    for folder in folders:
        problems += [f"{folder / name} is not as it was written" for name in check_packet(folder)]
    if problems:
        raise ParetuneError("; ".join(problems))
    packet = "the evidence packet is as it was written" if folders else "there is no evidence packet here"
    say(f"{run.id}: {count} decisions, chain and sums hold; {packet}")


def replay(run_id: str, store: str | None) -> None:
    """Raises Diverged at the first decision that comes out differently."""
    with Workspace.open(store) as workspace:
        run = find(workspace.store, run_id)
        count = replay_record(workspace.store, run.id)
    say(f"{run.id}: {count} decisions made again from the facts, all the same")


def export(run_id: str, folder: Path, store: str | None) -> None:
    with Workspace.open(store) as workspace:
        found = find(workspace.store, run_id)
        export_run(workspace.store, found.id, folder)
        write_packet(read(workspace.store, found.id), folder)
    say(f"{found.id} is in {folder}")


def study(run_id: str, file: Path, store: str | None) -> None:
    with Workspace.open(store) as workspace:
        count = write_study(read(workspace.store, find(workspace.store, run_id).id), file)
    say(f"{count} combinations are in {file}: optuna-dashboard sqlite:///{file}")
