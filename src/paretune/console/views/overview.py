"""The run at a glance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paretune.console.view import Asked, View
from paretune.views.coverage import coverage
from paretune.views.lift import lift_on


def show(asked: Asked) -> Mapping[str, Any]:
    run = asked.run
    best = run.best
    strips = coverage(run)
    return {
        "best": best,
        "covered": strips[-1].covered if strips else 0,
        "examples": len(run.splits["pareto"]),
        "train": lift_on(run, best, "best", "pareto") if best else None,
        "heldout": (lift_on(run, best, "best", "test") or lift_on(run, best, "best", "select"))
        if best
        else None,
        "rollouts": len(run.ledger.drawn),
    }


VIEW = View("overview", "Overview", "", show, key="o")
