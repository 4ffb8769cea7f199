"""The family of candidates: who came from whom, merges with both parents, ghosts of those turned down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paretune.console.view import Asked, View
from paretune.views.lineage import Drawing, Edge, Place, ancestors, draw, frontier_members

ROW = 30
"""The height of a line, in pixels, as in console.css."""
WIDEST, NARROWEST, ALL_LANES = 22, 8, 320
"""Lanes are so far apart, and closer where there are many."""
FOLD_ABOVE = 40
"""Ghosts share a line in runs of more candidates, unless the reader wants them apart."""


@dataclass(frozen=True, slots=True)
class Dot:
    x: float
    y: float
    place: Place


def show(asked: Asked) -> Mapping[str, Any]:
    run = asked.run
    fold = asked.query.get("ghosts", "fold" if len(run.rows) > FOLD_ABOVE else "all") == "fold"
    drawing = draw(run, fold=fold)
    apart = max(NARROWEST, min(WIDEST, ALL_LANES / max(1, drawing.lanes)))
    dots = [Dot(12 + p.lane * apart, (i + 0.5) * ROW, p) for i, p in enumerate(drawing.places)]
    order = {"ghost": 0, "second": 1, "first": 2}
    edges = sorted(drawing.edges, key=lambda edge: (edge.best, order[edge.kind]))
    return {
        "dots": dots,
        "paths": [(_path(drawing, edge, dots), edge) for edge in edges],
        "width": round(24 + drawing.lanes * apart),
        "height": ROW * len(dots),
        "fold": fold,
        "ghosts": sum(len(p.folded) or 1 for p in drawing.places if p.ghost),
        "frontier": frontier_members(run),
        "best": run.best,
        "line": ancestors(run, run.best.id) if run.best else set(),
        "merges": sum(row.origin == "merge" for row in run.rows.values()),
        "joins": sum(row.origin == "join" for row in run.rows.values()),
    }


def _path(drawing: Drawing, edge: Edge, dots: list[Dot]) -> str:
    """Over into the child's lane at once, then down in it; from a further parent, over at the end."""
    one, other = dots[edge.parent], dots[edge.child]
    if one.x == other.x:
        return f"M{one.x:g} {one.y:g}V{other.y:g}"
    if edge.kind == "second" or edge.kind == "ghost":
        top = max(one.y, other.y - ROW) if other.y > one.y else one.y
        return (
            f"M{one.x:g} {one.y:g}V{top:g}C{one.x:g} {other.y:g} {other.x:g} {top:g} {other.x:g} {other.y:g}"
        )
    turn = one.y + ROW
    curve = f"C{one.x:g} {turn:g} {other.x:g} {one.y:g} {other.x:g} {turn:g}"
    return f"M{one.x:g} {one.y:g}{curve}V{other.y:g}"


VIEW = View("lineage", "Lineage", "lineage", show, key="l")
