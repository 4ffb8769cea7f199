"""The result on examples that no choice was made on, and what speaks against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paretune.console.bounds import between
from paretune.console.view import Asked, View
from paretune.console.views.compare import OnSplit, compared, on_split
from paretune.core.statistics import Interval
from paretune.views.intervals import mean_of
from paretune.views.lift import noise
from paretune.views.run_view import Row, RunView
from paretune.views.warnings import checked, warnings

FINALISTS = 20


def show(asked: Asked) -> Mapping[str, Any]:
    run, best = asked.run, asked.run.best
    lines = [on_split(run, run.seed, best, split) for split in ("test", "select", "pareto")] if best else []
    test = next((line for line in lines if line and line.split == "test"), None)
    if best and best.id == run.seed.id:
        test = None
    chosen = run.chosen
    finalists = sorted(chosen.means.items(), key=lambda item: -item[1]) if chosen else []
    return {
        "best": best,
        "test": test,
        "comparison": compared(run, run.seed, best, "test") if best and test else None,
        "bars": _bars(run, best, test),
        "others": [line for line in lines if line and line.split != "test"],
        "warnings": warnings(run),
        "checked": checked(run),
        "over": asked.state in ("succeeded", "failed", "cancelled"),
        "noise": noise(run),
        "chosen": chosen,
        "finalists": [(run.rows[who], mean) for who, mean in finalists[:FINALISTS] if who in run.rows],
    }


@dataclass(frozen=True, slots=True)
class Bar:
    """A mean with its own interval, also in words, and where they stand on a line from 0 to 100."""

    name: str
    row: Row
    mean: Interval
    low: float
    at: float
    high: float
    between: str


def _bars(run: RunView, best: Row | None, test: OnSplit | None) -> list[Bar]:
    """Seed and best on all of their test examples."""
    if best is None or test is None or test.examples < 2:
        return []
    both = (("seed", run.seed), ("best", best))
    means = [(name, row, mean) for name, row in both if (mean := mean_of(run, row.id, "test"))]
    least = min(0.0, *(mean.low for *_, mean in means))
    most = max(1.0, *(mean.high for *_, mean in means))

    def place(value: float) -> float:
        return 100 * (value - least) / (most - least)

    return [
        Bar(name, row, m, place(m.low), place(m.mean), place(m.high), between(m)) for name, row, m in means
    ]


VIEW = View("heldout", "Held-out", "heldout", show, key="h")
