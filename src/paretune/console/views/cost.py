"""Money, tokens and calls: who spent them, when, and what they will have come to at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paretune.console.view import Asked, View
from paretune.core.budget import Spent
from paretune.engine.outlook import CAPS, Outlook, Range
from paretune.views.run_view import RunView
from paretune.views.spending import Measure, over_time

NAMES = {"rollout": "policy", "proposal": "proposer", "verdict": "verifier"}
"""Who is called in a role. A task that verifies its own rollouts has no verifier of its own here."""
COLOURS = {"rollout": "var(--ink)", "proposal": "var(--accent)", "verdict": "var(--good)"}
MEASURES: Mapping[str, tuple[Measure, str]] = {
    "money": ("usd", "USD"),
    "tokens": ("tokens", "tokens"),
    "calls": ("calls", "calls"),
}


@dataclass(frozen=True, slots=True)
class Ahead:
    """A figure of the forecast. `kind` is how it is written."""

    name: str
    kind: str
    range: Range


def show(asked: Asked) -> Mapping[str, Any]:
    run, ledger = asked.run, asked.run.ledger
    roles = {role: ledger.by_role[role] for role in NAMES if role in ledger.by_role}
    measure = asked.query.get("by", "")
    if measure not in MEASURES:
        measure = "money" if any(spent.usd for spent in roles.values()) else "tokens"
    over = asked.state in ("succeeded", "failed", "cancelled")
    outlook = None if over else run.outlook
    return {
        "roles": roles,
        "names": NAMES,
        "total": _total(roles),
        "limits": ledger.limits,
        "measure": measure,
        "measures": list(MEASURES),
        "figure": _figure(run, measure),
        "over": over,
        "ahead": _ahead(outlook) if outlook else [],
        "ends_by": CAPS.get(outlook.ends_by, "") if outlook else "",
    }


def _total(roles: Mapping[str, Spent]) -> Spent:
    fields = Spent.__dataclass_fields__
    return Spent(**{name: sum(getattr(spent, name) for spent in roles.values()) for name in fields})


def _ahead(outlook: Outlook) -> list[Ahead]:
    figures = (
        ("rollouts in all", "count", outlook.rollouts),
        ("tokens in all", "count", outlook.tokens),
        ("money in all", "money", outlook.usd),
        ("proposals still to come", "count", outlook.proposals),
        ("time left", "duration", outlook.seconds_left),
    )
    return [Ahead(name, kind, range) for name, kind, range in figures if range is not None]


def _figure(run: RunView, measure: str) -> dict[str, Any] | None:
    name, title = MEASURES[measure]
    lines = over_time(run, name)
    if not lines:
        return None
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "lines",
                "name": NAMES[line.role],
                "x": line.seconds,
                "y": line.total,
                "line": {"color": COLOURS[line.role], "width": 2, "shape": "hv"},
                "hovertemplate": "%{y:.5g} after %{x:.1f} s<extra>%{fullData.name}</extra>",
            }
            for line in lines
        ],
        "layout": {
            "xaxis": {"title": {"text": "active seconds"}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": title}, "rangemode": "tozero"},
            "legend": {"orientation": "h", "y": 1.1, "x": 0},
            "margin": {"l": 64, "r": 12, "t": 28, "b": 44},
        },
    }


VIEW = View("cost", "Cost", "cost", show, key="t")
