"""What judges said: how far they agree with the environment, and with themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paretune.console.view import Asked, View
from paretune.views.verdicts import verdicts

SOURCES: Mapping[str, str] = {
    "task_app": "the environment's reward as it is; verdicts are told beside it",
    "judge": "the verdict alone",
    "fused": "environment and verdict together, by their weights",
}


def show(asked: Asked) -> Mapping[str, Any]:
    run, found = asked.run, verdicts(asked.run)
    return {
        "found": found,
        "calls": run.verdicts.calls,
        "spent": run.ledger.role("verdict"),
        "reward": SOURCES.get(found.source, found.source) if found else "",
        "counted": found is not None and found.source != "task_app",
    }


VIEW = View("verdicts", "Verdicts", "verdicts", show, key="u")
