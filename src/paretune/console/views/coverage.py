"""Which examples each candidate covers, and which it was the first to cover."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paretune.console.view import Asked, View
from paretune.views.coverage import coverage


def show(asked: Asked) -> Mapping[str, Any]:
    run = asked.run
    strips = coverage(run)
    return {
        "strips": strips,
        "covered": strips[-1].covered if strips else 0,
        "total": len(run.splits["pareto"]),
        "perfect": run.run.job["settings"]["perfect"],
    }


VIEW = View("coverage", "Coverage", "coverage", show, key="v")
