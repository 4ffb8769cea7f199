"""A result as a notebook shows it."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from paretune.library.lineage import rank

if TYPE_CHECKING:
    from paretune.core.statistics import Interval
    from paretune.library.result import GEPAResult

MOST_ROWS = 30
MOST_CHARACTERS = 300
"""Of one text."""


def table(result: GEPAResult[Any, Any]) -> str:
    """The candidates, best first, in HTML that is text only."""
    scores = result.val_aggregate_scores
    order = sorted(range(result.num_candidates), key=lambda i: (-rank(scores[i]), i))
    held = [0] * result.num_candidates
    for holders in result.per_val_instance_best_candidates.values():
        for i in holders:
            held[i] += 1
    head = ["", "mean", "95% interval", "n", "best at", "parents", "found at", "texts"]
    if result.costs is not None:
        head.insert(-1, "US$")
    shown = order[:MOST_ROWS]
    spreads = result._intervals(shown, 0.95)
    rows = [_row(result, i, held[i], spread, i == shown[0]) for i, spread in zip(shown, spreads, strict=True)]
    left = len(order) - len(rows)
    about = (
        f"{result.num_candidates} candidates on {result.num_val_instances} validation examples, "
        f"{'unknown' if result.total_metric_calls is None else result.total_metric_calls} metric calls. "
        "The best was selected on these examples, so its mean flatters."
    )
    more = f"<p>{left} more, with lower means, are left out.</p>" if left else ""
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    return (
        f"<p>{html.escape(about)}</p><table><thead><tr>{heads}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>{more}"
    )


def _row(result: GEPAResult[Any, Any], i: int, held: int, spread: Interval | None, best: bool) -> str:
    parents = ", ".join(f"#{parent}" for parent in result.parents[i] if parent is not None)
    cells = [
        f"#{i}{' best' if best else ''}",
        f"{result.val_aggregate_scores[i]:.4f}",
        f"{spread.low:.3f} to {spread.high:.3f}" if spread else "",
        str(len(result.val_subscores[i])),
        str(held),
        parents or "seed",
        str(result.discovery_eval_counts[i]),
    ]
    if result.costs is not None:
        cost = result.costs[i]
        cells.append("" if cost is None else f"{cost:.4f}")
    texts = "\n\n".join(f"{name}: {_short(text)}" for name, text in result.candidates[i].items())
    written = "".join(f'<td style="white-space: nowrap">{html.escape(cell)}</td>' for cell in cells)
    return (
        f"<tr>{written}<td style='text-align: left'><pre style='white-space: pre-wrap'>"
        f"{html.escape(texts)}</pre></td></tr>"
    )


def _short(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}..."
