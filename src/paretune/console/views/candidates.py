"""All candidates, admitted or turned down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from paretune.console.view import Asked, View
from paretune.views.coverage import Strip, coverage
from paretune.views.figures import Figures, figures, text_tokens
from paretune.views.lineage import frontier_members
from paretune.views.run_view import Row, RunView
from paretune.views.splits import called

MOST = 500
"""So many lines are shown; a filter brings up the others."""


@dataclass(frozen=True, slots=True)
class Line:
    """`strip` is there for those that were asked a train example, `held` the cells of a frontier member,
    `closing` the mean on the split that was scored last."""

    row: Row
    figures: Figures
    strip: Strip | None
    held: int | None
    closing: float | None
    size: int


Value = Callable[[Line], Any]
COLUMNS: Mapping[str, tuple[str, Value]] = {
    "index": ("#", lambda line: line.row.index),
    "state": ("state", lambda line: line.row.state),
    "origin": ("origin", lambda line: line.row.origin),
    "step": ("step", lambda line: line.row.step),
    "gate": ("gate", lambda line: line.row.gate and (line.row.gate[1] - line.row.gate[0]) / line.row.gate[2]),
    "mean": ("mean", lambda line: line.row.mean),
    "heldout": ("held-out", lambda line: line.closing),
    "new": ("new", lambda line: line.strip and line.strip.gained),
    "wins": ("wins", lambda line: line.strip and line.strip.wins),
    "rollouts": ("rollouts", lambda line: line.figures.rollouts),
    "size": ("size", lambda line: line.size),
    "cost": ("cost", lambda line: line.figures.money),
}
"""Name in the address -> heading and what the lines are sorted by; None comes last."""

RISING = ("index", "state", "origin", "step", "size")
"""Sorted from the lowest at first; the others from the highest."""


def show(asked: Asked) -> Mapping[str, Any]:
    run, query, split = asked.run, asked.query, _closing(asked.run)
    sort = query.get("sort", "index")
    sort = sort if sort in COLUMNS else "index"
    falling = query.get("order", "up" if sort in RISING else "down") == "down"
    found = _filtered(_lines(run), query)
    value = COLUMNS[sort][1]
    known = sorted((line for line in found if value(line) is not None), key=value, reverse=falling)
    lines = known + [line for line in found if value(line) is None]
    return {
        "lines": lines[:MOST],
        "left_out": max(0, len(lines) - MOST),
        "states": Counter(state for row in run.rows.values() for state in _states(row)),
        "state": query.get("state"),
        "text": query.get("text", ""),
        "parent": run.rows.get(query.get("parent", "")),
        "columns": [
            (name, heading if name != "heldout" else called(split), _address(asked, name, sort, falling))
            for name, (heading, _) in COLUMNS.items()
        ],
        "sort": sort,
        "falling": falling,
        "total": len(run.rows),
        "best": run.best,
        "priced": any(line.figures.money is not None for line in lines),
        "heldout": any(line.closing is not None for line in lines),
    }


def _address(asked: Asked, name: str, sort: str, falling: bool) -> str:
    """The same lines, sorted by this column, or the other way around."""
    order = ("up" if falling else "down") if name == sort else None
    kept = {key: asked.query[key] for key in ("state", "parent", "text") if key in asked.query}
    return asked.to("candidates", sort=name, order=order, **kept)


def _lines(run: RunView) -> list[Line]:
    strips = {strip.candidate: strip for strip in coverage(run)}
    members, took = frontier_members(run), figures(run)
    split = _closing(run)
    return [
        Line(
            row,
            took[row.id],
            strips.get(row.id),
            members.get(row.id),
            _mean(run, row, split),
            text_tokens(row),
        )
        for row in run.rows.values()
    ]


def _closing(run: RunView) -> str:
    """The split that was scored last: the untouched one, if there is one."""
    return next((name for name in ("test", "select") if run.splits[name]), "test")


def _states(row: Row) -> set[str]:
    """A seed that was retired is still the seed."""
    return {row.state, "seed"} if row.origin == "seed" else {row.state}


def _mean(run: RunView, row: Row, split: str) -> float | None:
    rewards = run.rewards(row.id, split)
    return sum(rewards.values()) / len(rewards) if rewards else None


def _filtered(lines: list[Line], query: Mapping[str, str]) -> list[Line]:
    state, parent, text = query.get("state"), query.get("parent"), query.get("text", "").casefold()
    if state == "frontier":
        lines = [line for line in lines if line.held is not None]
    elif state:
        lines = [line for line in lines if state in _states(line.row)]
    if parent:
        lines = [line for line in lines if parent in line.row.parents]
    if text:
        lines = [
            line
            for line in lines
            if text in "\n".join((line.row.id, *line.row.components.values())).casefold()
        ]
    return lines


VIEW = View("candidates", "Candidates", "candidates", show, key="c")
