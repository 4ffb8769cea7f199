"""Which examples each candidate covers, and which it was the first to cover."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paretune.console.view import Asked, View
from paretune.console.views.matrix import packed
from paretune.views.coverage import coverage
from paretune.views.grid import coverage_grid

MOST_SQUARES = 3_000
"""More are drawn, not written."""


def show(asked: Asked) -> Mapping[str, Any]:
    run = asked.run
    strips = coverage(run)
    many = sum(len(strip.squares) for strip in strips) > MOST_SQUARES
    notes = [f"+{strip.gained} / {strip.wins}" for strip in strips]
    return {
        "strips": strips,
        "covered": strips[-1].covered if strips else 0,
        "total": len(run.splits["pareto"]),
        "perfect": run.run.job["settings"]["perfect"],
        "partly": sum(run.rows[strip.candidate].mean is None for strip in strips),
        "elsewhere": len(run.rows) - len(strips),
        "matrix": packed(coverage_grid(run, strips), asked.to, notes, kinds=True) if many else None,
    }


VIEW = View("coverage", "Coverage", "coverage", show, key="v")
