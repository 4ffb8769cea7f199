"""Money, tokens and calls: who spent them, when, and what they will have come to at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paretune.console.plot import Plot, Series, plot
from paretune.console.view import Asked, View
from paretune.core.budget import Spent
from paretune.engine.outlook import CAPS, Outlook, Range
from paretune.views.proxy import proxy, told
from paretune.views.run_view import RunView
from paretune.views.spending import Measure, over_time

NAMES = {"rollout": "policy", "proposal": "proposer", "verdict": "verifier", "proxy": "cheap policy"}
"""Who is called in a role. A task that verifies its own rollouts has no verifier of its own here."""
SIZES = ((1e7, 1e6, "million "), (1e4, 1e3, "thousand "), (0, 1, ""))
"""How large figures are counted on the side of a chart."""
MEASURES: Mapping[str, tuple[Measure, str]] = {
    "money": ("usd", "USD, paid and lost"),
    "tokens": ("tokens", "tokens"),
    "calls": ("calls", "calls that were done"),
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
    chart, unit = _chart(run, measure)
    over = asked.state in ("succeeded", "failed", "cancelled")
    outlook = None if over else run.outlook
    return {
        "roles": roles,
        "names": NAMES,
        "total": _total(roles),
        "limits": ledger.limits,
        "measure": measure,
        "measures": list(MEASURES),
        "chart": chart,
        "unit": unit,
        "over": over,
        "cheap": told(found) if (found := proxy(run)) else [],
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


def _chart(run: RunView, measure: str) -> tuple[Plot | None, str]:
    """The chart, None where there is only zero to draw; and what its figures are counted in."""
    name, unit = MEASURES[measure]
    lines = over_time(run, name)
    most = max((line.total[-1] for line in lines), default=0.0)
    if not most:
        return None, unit
    size, many = next((size, many) for least, size, many in SIZES if most >= least)
    series = [
        Series(
            NAMES[line.role],
            NAMES[line.role],
            "step",
            [(at, total / size) for at, total in zip(line.seconds, line.total, strict=True)],
        )
        for line in lines
    ]
    return plot(series, x_title="active time", link=str, words="{:,g} s".format), many + unit


def pages(_: RunView) -> list[dict[str, str]]:
    return [{}, *({"by": name} for name in MEASURES)]


VIEW = View("cost", "Cost", "cost", show, key="t", pages=pages)
