"""Candidates as points between any two figures, and the front of those that nothing beats in both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paretune.console.view import Asked, View
from paretune.core.candidate import CandidateId
from paretune.evaluate.rollouts import Cell
from paretune.propose.guards import estimated_tokens
from paretune.views.run_view import Row, RunView
from paretune.views.trials import has_trials

LOOKED_AT = 20
LISTED = 100
"""Points in the table below the chart, from the best on; the chart has all."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A figure of candidates. `more` is whether more of it is better."""

    name: str
    title: str
    more: bool = True


@dataclass(frozen=True, slots=True)
class Point:
    row: Row
    x: float
    y: float
    front: bool = False


FIXED = (
    Axis("score", "score (train)"),
    Axis("selection", "score (selection)"),
    Axis("heldout", "score (held-out)"),
    Axis("tokens", "tokens of a rollout", more=False),
    Axis("cost", "cost of a rollout (USD)", more=False),
    Axis("length", "length of the text (tokens, estimated)", more=False),
    Axis("index", "candidate index"),
)


Cells = Mapping[CandidateId, Sequence[Cell]]
"""Fully evaluated candidate -> its rollouts on training examples."""


def show(asked: Asked) -> Mapping[str, Any]:
    run = asked.run
    cells = _cells(run)
    axes = axes_of(run, cells)
    by_name = {axis.name: axis for axis in axes}
    named = [axis.name for axis in axes if axis.name.startswith("objective:")]
    x = by_name.get(asked.query.get("x", ""), by_name[named[1] if len(named) > 1 else "tokens"])
    y = by_name.get(asked.query.get("y", ""), by_name[named[0] if len(named) > 1 else "score"])
    found = points(run, cells, x, y)
    front = sorted((p for p in found if p.front), key=lambda p: p.x)
    listed = sorted(found, key=lambda p: (not p.front, -p.y if y.more else p.y))[:LISTED]
    return {
        "axes": axes,
        "trials": has_trials(run),
        "x": x,
        "y": y,
        "points": found,
        "listed": listed,
        "front": front,
        "figure": _figure(asked, found, front, x, y),
        "without": sum(row.mean is not None for row in run.rows.values()) - len(found),
    }


def axes_of(run: RunView, cells: Cells) -> list[Axis]:
    """The fixed ones, and the objectives that the first rollouts of each candidate name."""
    named = (run.rollouts.objectives(cell) for mine in cells.values() for cell in mine[:LOOKED_AT])
    names = {name for objectives in named if objectives for name in objectives}
    absent = {name for name, split in (("selection", "select"), ("heldout", "test")) if not run.splits[split]}
    fixed = (axis for axis in FIXED if axis.name not in absent)
    return [*fixed, *(Axis(f"objective:{name}", name) for name in sorted(names))]


def points(run: RunView, cells: Cells, x: Axis, y: Axis) -> list[Point]:
    """Fully evaluated candidates that have both figures, those on the front marked."""
    take_x, take_y = _figure_of(run, cells, x), _figure_of(run, cells, y)
    found = []
    for row in run.rows.values():
        if row.mean is not None:
            at_x, at_y = take_x(row), take_y(row)
            if at_x is not None and at_y is not None:
                found.append(Point(row, at_x, at_y))
    front = pareto([(p.x if x.more else -p.x, p.y if y.more else -p.y) for p in found])
    return [Point(p.row, p.x, p.y, at in front) for at, p in enumerate(found)]


def pareto(points: Sequence[tuple[float, float]]) -> set[int]:
    """Places of the points that no other beats in one figure without losing in the other; ties stay."""
    order = sorted(range(len(points)), key=lambda at: (-points[at][0], -points[at][1]))
    front, best, where = set[int](), float("-inf"), float("nan")
    for at in order:
        x, y = points[at]
        if y > best or (y == best and x == where):
            front.add(at)
            best, where = y, x
    return front


def _cells(run: RunView) -> Cells:
    rollouts, train = run.rollouts, run.splits["pareto"]
    return {
        row.id: [cell for e in train if rollouts.reward(cell := (row.id, e, 0)) is not None]
        for row in run.rows.values()
        if row.mean is not None
    }


def _figure_of(run: RunView, cells: Cells, axis: Axis) -> Callable[[Row], float | None]:
    def on(split: str) -> Callable[[Row], float | None]:
        return lambda row: _mean(list(run.rewards(row.id, split).values()))

    def tokens(row: Row) -> float | None:
        counts = (run.rollouts.usage(cell) for cell in cells[row.id])
        return _mean([asked + answered for asked, answered, _ in counts]) or None  # 0: nobody counted them

    def cost(row: Row) -> float | None:
        usages = (run.rollouts.usage(cell) for cell in cells[row.id])
        return _mean([usd for *_, usd in usages if usd is not None])

    def objective(row: Row) -> float | None:
        named = (run.rollouts.objectives(cell) for cell in cells[row.id])
        return _mean([values[axis.title] for values in named if axis.title in values])

    plain: dict[str, Callable[[Row], float | None]] = {
        "score": lambda row: row.mean,
        "selection": on("select"),
        "heldout": on("test"),
        "tokens": tokens,
        "cost": cost,
        "length": lambda row: float(sum(map(estimated_tokens, row.components.values()))),
        "index": lambda row: float(row.index),
    }
    return plain.get(axis.name, objective)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _figure(asked: Asked, found: list[Point], front: list[Point], x: Axis, y: Axis) -> dict[str, Any]:
    """The chart: all others, then the front with a line through it. A point opens its candidate."""
    best, seed = asked.run.best, asked.run.seed

    def trace(name: str, of: list[Point], **style: Any) -> dict[str, Any]:
        return {
            "type": "scatter",
            "name": name,
            "x": [p.x for p in of],
            "y": [p.y for p in of],
            "text": [f"#{p.row.index} {p.row.id}{_told(p.row, seed, best)}" for p in of],
            "customdata": [asked.to("candidate", candidate=p.row.id) for p in of],
            "hovertemplate": "%{text}<br>%{x:.5g} / %{y:.3f}<extra></extra>",
            **style,
        }

    others = [p for p in found if not p.front]
    dot = {"size": 9, "color": "var(--win)", "opacity": 0.75}
    ahead = {"size": 11, "color": "var(--accent)"}
    line = {"shape": "linear", "color": "var(--accent)", "width": 1, "dash": "dot"}
    return {
        "data": [
            trace("others", others, mode="markers", marker=dot),
            trace("Pareto front", front, mode="lines+markers", marker=ahead, line=line),
        ],
        "layout": {
            "xaxis": {"title": {"text": x.title}},
            "yaxis": {"title": {"text": y.title}},
        },
    }


def _told(row: Row, seed: Row, best: Row | None) -> str:
    return " (best)" if best and row.id == best.id else " (seed)" if row.id == seed.id else ""


VIEW = View("objectives", "Objectives", "objectives", show, key="j")
