"""Score against rollouts, money and time: a part of the overview."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paretune.console.bounds import between
from paretune.console.plot import Dot, Plot, Series, Spot, plot
from paretune.console.view import Asked
from paretune.core.statistics import Interval
from paretune.views.curve import Curve, Evaluated, Taken
from paretune.views.glance import Entry


@dataclass(frozen=True, slots=True)
class Axis:
    """What a run takes: `of` a moment, and how that is told."""

    words: str
    title: str
    of: Callable[[Taken], float]
    told: Callable[[float], str]


AXES: Mapping[str, Axis] = {
    "rollouts": Axis("rollouts", "rollouts", lambda taken: taken.rollouts, lambda value: f"{value:,.0f}"),
    "money": Axis("money", "USD, all roles", lambda taken: taken.usd, lambda value: f"${value:,.4g}"),
    "time": Axis("wall time", "active time", lambda taken: taken.seconds, lambda value: f"{value:,g} s"),
}


def show(asked: Asked, entries: Sequence[Entry], found: Curve) -> Mapping[str, Any]:
    wanted = asked.query.get("x", "rollouts")
    axis = wanted if wanted in AXES else "rollouts"
    ledger = asked.run.ledger
    end = Taken(len(ledger.drawn), ledger.tokens, ledger.cost_usd, asked.run.elapsed)
    priced = axis != "money" or ledger.cost_usd > 0
    return {
        "axes": {name: each.words for name, each in AXES.items()},
        "axis": axis,
        "priced": priced,
        "score": _plot(asked, found, entries, AXES[axis], end) if found.evaluated and priced else None,
    }


def _plot(asked: Asked, found: Curve, entries: Sequence[Entry], axis: Axis, end: Taken) -> Plot | None:
    evaluated = found.evaluated
    last = max(
        [
            axis.of(end),
            *(axis.of(e.taken) for e in evaluated),
            *(axis.of(g.taken) for g in found.gated),
            *(axis.of(t.taken) for t in found.trials),
        ]
    )
    gates = [
        Dot(
            axis.of(gate.taken),
            gate.after,
            f"#{gate.index} at its gate: {gate.before:.3f} to {gate.after:.3f} on {gate.pairs}, "
            + ("passed" if gate.passed else "turned down"),
            gate.candidate,
        )
        for gate in found.gated
    ]
    gates += [
        Dot(
            axis.of(trial.taken),
            trial.mean,
            f"#{trial.index} in a trial: {trial.mean:.3f} on {trial.scored}",
            trial.candidate,
        )
        for trial in found.trials
    ]
    full = [
        Dot(
            axis.of(each.taken),
            each.mean,
            f"#{each.index} on all {each.scored}: {each.mean:.3f}{_told(each)}",
            each.candidate,
        )
        for each in evaluated
    ]
    seed = evaluated[0].mean
    low, high = _band(found, axis, last)
    series = [
        Series("95 % of the best", "band-train", "band", spots=high, under=low),
        Series("seed", "seed", "line", [(0.0, seed), (last, seed)]),
        Series("minibatch", "gate", "dots", dots=gates, listed=bool(gates)),
        Series("best train", "train", "step", [*_best(found, axis), (last, evaluated[-1].best)]),
        Series("full evaluation", "train", "dots", dots=full),
        *_heldout(entries, last),
    ]
    return plot(
        series,
        x_title=axis.title,
        link=lambda who: asked.to("candidate", candidate=who),
        x_range=(0.0, (last or 1.0) * 1.02),
        words=axis.told,
    )


def _interval(each: Evaluated) -> Interval:
    return Interval(each.mean, each.low, each.high, each.scored)


def _told(each: Evaluated) -> str:
    told = between(_interval(each))
    return f" ({told})" if told else ""


def _best(found: Curve, axis: Axis) -> list[Spot]:
    return [(axis.of(each.taken), each.best) for each in found.evaluated]


def _band(found: Curve, axis: Axis, last: float) -> tuple[list[Spot], list[Spot]]:
    """The interval of whoever leads, below and above, to the end."""
    low, high = list[Spot](), list[Spot]()
    for each in found.evaluated:
        if each.mean == each.best and each.scored > 1 and math.isfinite(each.low):
            low.append((axis.of(each.taken), each.low))
            high.append((axis.of(each.taken), each.high))
    if low:
        low.append((last, low[-1][1]))
        high.append((last, high[-1][1]))
    return low, high


def _heldout(found: Sequence[Entry], last: float) -> list[Series]:
    """What the closing evaluation measured, at the end: it belongs to no moment of the search."""
    series = []
    for split, name, tone in (("select", "selection", "selection"), ("test", "held-out", "heldout")):
        dots = [
            Dot(
                last,
                entry.closing[split],
                f"#{entry.row.index}, {name}: {entry.closing[split]:.3f}",
                entry.row.id,
            )
            for entry in found
            if split in entry.closing
        ]
        if dots:
            series.append(Series(name, tone, "dots", dots=dots))
    return series
