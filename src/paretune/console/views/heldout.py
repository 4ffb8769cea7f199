"""The result on examples that no choice was made on, and what speaks against it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paretune.console.view import Asked, View
from paretune.console.views.compare import OnSplit, on_split
from paretune.core.statistics import Interval, bootstrap_mean
from paretune.views.lift import noise
from paretune.views.run_view import Row, RunView
from paretune.views.warnings import warnings

FINALISTS = 20


def show(asked: Asked) -> Mapping[str, Any]:
    run, best = asked.run, asked.run.best
    lines = [on_split(run, run.seed, best, split) for split in ("test", "select", "pareto")] if best else []
    test = next((line for line in lines if line and line.split == "test"), None)
    chosen = run.chosen
    finalists = sorted(chosen.means.items(), key=lambda item: -item[1]) if chosen else []
    return {
        "best": best,
        "test": test,
        "bars": _bars(run, best, test),
        "others": [line for line in lines if line and line.split != "test"],
        "warnings": warnings(run),
        "noise": noise(run),
        "chosen": chosen,
        "finalists": [(run.rows[who], mean) for who, mean in finalists[:FINALISTS] if who in run.rows],
        "missing": len(run.splits["test"]) - test.comparison.difference.n if test else 0,
    }


def _bars(run: RunView, best: Row | None, test: OnSplit | None) -> list[tuple[str, Row, Interval]]:
    """Seed and best with the interval of their own mean."""
    if best is None or test is None:
        return []
    seed = run.run.job["settings"]["seed"]
    return [
        (name, row, bootstrap_mean(list(run.rewards(row.id, "test").values()), seed=seed))
        for name, row in (("seed", run.seed), ("best", best))
    ]


VIEW = View("heldout", "Held-out", "heldout", show, key="h")
