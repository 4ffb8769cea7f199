"""The evidence packet: a folder that shows what a run found, how, and how sure it is."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import Any

from paretune.core import events
from paretune.core.canonical import finite
from paretune.core.events import to_record
from paretune.propose.diff import by_component
from paretune.views.coverage import coverage
from paretune.views.lift import flips, lift_table, noise
from paretune.views.proposals import made_in
from paretune.views.run_view import Row, RunView

MANIFEST = "manifest.json"


def write_packet(view: RunView, folder: Path) -> Path:
    """Write the packet into `folder` (made if missing; its own files are replaced). Returns the folder.

    Files: result.json, best/COMPONENT.txt, diff/COMPONENT.diff, candidates.json, coverage.json,
    lift.json, usage.json, flips.json, rejected.json, decisions.jsonl, config.json, environment.json,
    and manifest.json with the SHA-256 of each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = packet(view)
    for name, text in texts.items():
        _write(folder / name, text)
    return folder


def packet(view: RunView) -> dict[str, str]:
    """File name -> text of all files of the packet, the manifest last."""
    texts = {name: _json(value) for name, value in _tables(view).items()}
    texts["decisions.jsonl"] = "".join(_line(to_record(d)) + "\n" for d in view.decisions)
    best = view.best
    if best:
        for component, text in best.components.items():
            texts[f"best/{_file_name(component)}.txt"] = text
        for component, diff in by_component(view.seed.components, best.components).items():
            texts[f"diff/{_file_name(component)}.diff"] = diff + "\n"
    texts[MANIFEST] = _json(_manifest(view, texts))
    return texts


def check_packet(folder: Path) -> list[str]:
    """Names of files that are missing or differ from the manifest; empty when all is as written."""
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    wrong = []
    for entry in manifest["files"]:
        path = folder / entry["path"]
        if not path.is_file() or _sha256(path.read_bytes()) != entry["sha256"]:
            wrong.append(entry["path"])
    return wrong


def result(view: RunView) -> dict[str, Any]:
    """The canonical result: the same for equal runs, whenever and however often they were interrupted."""
    best, finished, ended = view.best, view.finished, view.ended
    return {
        "run_id": view.run.id,
        "status": view.run.status,
        "stopped": {"reason": ended.reason, "detail": ended.detail} if ended else None,
        "seed": _candidate(view.seed),
        "best": _candidate(best) if best else None,
        "chosen": to_record(view.chosen) if view.chosen else None,
        "test": finished.test if finished else None,
        "lift": [dataclasses.asdict(lift) for lift in lift_table(view) if lift.role == "best"],
        "rollouts": len(view.ledger.drawn),
        "proposals": proposals(view),
        "trials": len(view.of_kind(events.TrialEnded)),
        "accepted": sum(
            d.passed for d in view.of_kind(events.GateDecided) if isinstance(d, events.GateDecided)
        ),
        "candidates": sum(row.mean is not None for row in view.rows.values()),
    }


def proposals(view: RunView) -> int:
    """What was made of texts so far, refused ones among them; a combination of a trial is no proposal."""
    return sum(map(made_in, view.decisions))


def usage(view: RunView) -> dict[str, Any]:
    """Calls, tokens and money by role; lost attempts stand apart."""
    return {
        "by_role": {role: dataclasses.asdict(spent) for role, spent in sorted(view.ledger.by_role.items())},
        "cost_usd": view.ledger.cost_usd,
        "distinct_rollouts": len(view.ledger.drawn),
        "active_seconds": round(view.elapsed, 3),
    }


def rejected(view: RunView) -> dict[str, Any]:
    """Proposals that were turned down: by a guard before a rollout, or by the gate."""
    return {
        "by_reason": turned_down(view),
        "guards": [to_record(decision) for decision in _guarded(view)],
        "gate": [_candidate(row) for row in _gated(view)],
    }


def turned_down(view: RunView) -> dict[str, int]:
    """Reason -> proposals that were turned down for it."""
    return dict(Counter([*(d.reason for d in _guarded(view)), *(row.reason for row in _gated(view))]))


def _guarded(view: RunView) -> list[events.ProposalRejected]:
    return [d for d in view.decisions if isinstance(d, events.ProposalRejected)]


def _gated(view: RunView) -> list[Row]:
    return [row for row in view.rows.values() if row.state == "rejected"]


def _tables(view: RunView) -> dict[str, Any]:
    floor = noise(view)
    return {
        "result.json": result(view),
        "candidates.json": [_candidate(row) for row in view.rows.values()],
        "coverage.json": [dataclasses.asdict(strip) for strip in coverage(view)],
        "lift.json": {
            "lifts": [dataclasses.asdict(lift) for lift in lift_table(view)],
            "noise_floor": dataclasses.asdict(floor) if floor else None,
        },
        "usage.json": usage(view),
        "flips.json": [dataclasses.asdict(flip) for s in ("test", "pareto") for flip in flips(view, s)],
        "rejected.json": rejected(view),
        "config.json": dict(view.run.job),
        "environment.json": environment(),
    }


def environment() -> dict[str, str]:
    """Versions of what decides how a run goes; nothing of the machine's user."""
    packages = ("paretune", "numpy", "pydantic", "aiohttp", "SQLAlchemy", "openai")
    versions = {name: metadata.version(name) for name in packages if _installed(name)}
    return {"python": platform.python_version(), "system": platform.system(), **versions}


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _candidate(row: Row) -> dict[str, Any]:
    return dataclasses.asdict(row)


def _manifest(view: RunView, texts: dict[str, str]) -> dict[str, Any]:
    files = [
        {"path": name, "sha256": _sha256(text.encode("utf-8")), "bytes": len(text.encode("utf-8"))}
        for name, text in sorted(texts.items())
    ]
    return {"version": 1, "run_id": view.run.id, "files": files}


def _file_name(component: str) -> str:
    """A component's name as a file name: nothing but letters, digits, dash and underscore."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in component) or "component"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text, "utf-8", newline="")
    os.replace(part, path)


def _json(value: Any) -> str:
    return json.dumps(finite(value), indent=2, ensure_ascii=False, default=str) + "\n"


def _line(value: Any) -> str:
    return json.dumps(finite(value), ensure_ascii=False)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
