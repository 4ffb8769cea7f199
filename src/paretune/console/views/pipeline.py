"""How the work flows: what is under way, how much at once, what was free, late, slow or failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paretune.console.plot import Plot, Series, plot
from paretune.console.view import Asked, View
from paretune.console.views.cost import NAMES
from paretune.views.flow import flow
from paretune.views.phases import algorithm
from paretune.views.pipeline import Busy, busy, staleness, under_way
from paretune.views.pool import PoolCourse, pool_course
from paretune.views.proxy import proxy, screened
from paretune.views.run_view import RunView

SKIPPED: Mapping[str, str] = {
    "all_perfect": "the parent solved the whole minibatch",
    "nothing_scored": "no example of the minibatch could be scored",
}
MOVES: Mapping[str, str] = {
    "accepted": "an edit passed its gate",
    "joined": "a late edit was carried onto the newer text",
    "fallback": "back to the incumbent",
    "won": "a child of the frontier won",
}
CHANGES = 12
"""So many changes of the number of lanes are shown, and candidates that were screened, the newest."""


def show(asked: Asked) -> Mapping[str, Any]:
    run = asked.run
    lines, late, now, pooled = busy(run), staleness(run), flow(run), pool_course(run)
    pipeline = run.run.job["settings"].get("pipeline", {})
    minutes = run.elapsed / 60
    return {
        "over": asked.state in ("succeeded", "failed", "cancelled"),
        "under_way": under_way(run),
        "algorithm": algorithm(run),
        "flow": now,
        "names": NAMES,
        "chart": _chart(lines),
        "at_once": {line.role: sum(line.calls) / len(line.calls) for line in lines},
        "most_allowed": _most_allowed(run),
        "pace": len(run.drawn_at) / minutes if minutes > 0 else None,
        "limited": now.failures.get("rate_limited", 0),
        "timeouts": now.failures.get("timeout", 0),
        "late": late,
        "lanes": late.lanes[-1][1] if late.lanes else pipeline.get("lanes", 0),
        "changes": late.lanes[-CHANGES:][::-1],
        "moves": MOVES,
        "skipped": SKIPPED,
        "screened": screened(run)[-CHANGES:][::-1],
        "cheap": proxy(run),
        "drawn": len(run.ledger.drawn),
        "pool": pooled,
        "pool_chart": _sizes(pooled, run.elapsed) if pooled else None,
    }


def _most_allowed(run: RunView) -> int | None:
    """Rollouts at once at most, as the job's document has it."""
    document = run.run.job.get("document", {}).get("prompt_learning", {})
    found = document.get("gepa", {}).get("rollout", {}).get("max_concurrent")
    return found if isinstance(found, int) else None


def _chart(lines: list[Busy]) -> Plot | None:
    series = [
        Series(
            f"{NAMES[line.role]} calls",
            NAMES[line.role],
            "line",
            list(zip(line.seconds, line.calls, strict=True)),
        )
        for line in lines
    ]
    return plot(series, x_title="active time", link=str, words="{:,g} s".format)


def _sizes(course: PoolCourse, elapsed: float) -> Plot | None:
    """Examples in the pool over the run's time."""
    spots = [(change.elapsed, float(change.size)) for change in course.changes]
    spots.append((max(elapsed, spots[-1][0]), spots[-1][1]))
    series = [Series("examples in the pool", NAMES["rollout"], "step", spots)]
    return plot(series, x_title="active time", link=str, words="{:,g} s".format)


VIEW = View("pipeline", "Pipeline", "pipeline", show, key="p")
