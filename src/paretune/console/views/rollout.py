"""One rollout: what was asked, what came back, what the verifier said, what it took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from paretune.console.paging import whole
from paretune.console.shape import raw, shape
from paretune.console.view import Asked, NoSuchView, View
from paretune.core.rollout import Rollout
from paretune.views.outcomes import cells_of, stored_outcome
from paretune.views.run_view import RunView
from paretune.views.verdicts import verdict_on

IN_REPORT = 400
"""So many rollouts of seed and best have a page in a report."""
NEIGHBOURS = 200
"""So many candidates are compared on the rollout's example."""


def show(asked: Asked) -> Mapping[str, Any]:
    run, candidate, example = asked.run, asked.params["candidate"], asked.params["example"]
    splits = [name for name, ids in run.splits.items() if example in ids]
    if "pareto" in splits:  # its minibatches are drawn from the same examples
        splits = ["pareto"]
    replicate = whole(asked.params["replicate"], -1)
    if candidate not in run.rows or not splits or replicate < 0:
        raise NoSuchView(f"this run has no rollout of {candidate[:80]!r} on {example[:80]!r}")
    stored = stored_outcome(asked.store, run, candidate, example, replicate)
    result = stored.outcome if stored else None
    answer = result.answer if isinstance(result, Rollout) else None
    others = [cell for cell in cells_of(run, example) if cell[0].id != candidate]
    return {
        "row": run.rows[candidate],
        "example": example,
        "replicate": replicate,
        "splits": splits,
        "stored": stored,
        "result": result,
        "answer": answer,
        "verdict": verdict_on(answer) if answer else None,
        "trace": shape(answer.trace) if answer and answer.trace is not None else None,
        "raw": raw(dict(stored.fact.body)) if stored else "",
        "before": _beside(run.splits[splits[0]], example, -1),
        "after": _beside(run.splits[splits[0]], example, 1),
        "others": others[-NEIGHBOURS:],
        "left_out": max(0, len(others) - NEIGHBOURS),
        "perfect": run.run.job["settings"]["perfect"],
        "elsewhere": bool(stored and stored.fact.paid_by not in ("", run.run.id)),
    }


def _beside(examples: list[str], example: str, by: int) -> str | None:
    at = examples.index(example) + by
    return examples[at] if 0 <= at < len(examples) else None


def pages(run: RunView) -> Iterable[Mapping[str, str]]:
    """Seed and best, each on every example that it was asked, as far as a report has room."""
    told = dict.fromkeys([run.seed.id, *([run.best.id] if run.best else [])])
    cells = [(c, e, r) for c, e, r in run.rollouts if c in told]
    return ({"candidate": c, "example": e, "replicate": str(r)} for c, e, r in cells[:IN_REPORT])


VIEW = View("rollout", "Rollout", "rollouts/{candidate}/{example}/{replicate}", show, pages=pages)
