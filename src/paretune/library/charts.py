"""A result as Plotly figures. Plotly is imported when one is drawn."""

from __future__ import annotations

import html
from importlib import import_module
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeAlias

from paretune.library.lineage import best_of, earlier_parents, frontier_members, rank, spots

if TYPE_CHECKING:
    from paretune.library.result import GEPAResult

Figure: TypeAlias = Any
"""`plotly.graph_objects.Figure`: the package has no types."""

INK, ACCENT, QUIET, BAND = "#1b1b19", "#b44d08", "#8d8a80", "rgba(141, 138, 128, 0.35)"
HOVER = 600
"""Characters of a candidate's texts in a hover label."""


def progress(result: GEPAResult[Any, Any]) -> Figure:
    """Each candidate's mean with its 95% interval, and the best so far, by metric calls at discovery."""
    figure = _figure(result, "Progress", "metric calls", "mean on validation")
    spent, means = result.discovery_eval_counts, result.val_aggregate_scores
    spreads = result.intervals
    figure.add_scatter(
        x=spent,
        y=list(accumulate(map(rank, means), max)),
        mode="lines",
        line={"shape": "hv", "color": ACCENT},
        name="best so far",
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=spent,
        y=means,
        mode="markers",
        marker={"color": QUIET, "size": 8},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [s.high - s.mean if s and s.n > 1 else 0 for s in spreads],
            "arrayminus": [s.mean - s.low if s and s.n > 1 else 0 for s in spreads],
            "color": BAND,
        },
        name="candidates, with 95% intervals",
        text=_labels(result),
        hoverinfo="text",
    )
    return figure


def lineage(result: GEPAResult[Any, Any]) -> Figure:
    """Who came from whom, the best and the frontier's members marked."""
    figure = _figure(result, "Lineage")
    count, means = result.num_candidates, result.val_aggregate_scores
    places = spots(result.parents, count)
    for second, name in ((False, "parent"), (True, "second parent of a merge")):
        x, y = list[float | None](), list[float | None]()
        for child, known in enumerate(earlier_parents(result.parents, count)):
            for parent in known[1:] if second else known[:1]:
                x += [places[parent].across, places[child].across, None]
                y += [-places[parent].layer, -places[child].layer, None]
        dash = "dot" if second else "solid"
        figure.add_scatter(
            x=x, y=y, mode="lines", line={"color": QUIET, "dash": dash}, name=name, hoverinfo="skip"
        )
    best, members = best_of(means), frontier_members(result.per_val_instance_best_candidates, means)
    figure.add_scatter(
        x=[place.across for place in places],
        y=[-place.layer for place in places],
        mode="markers+text",
        marker={
            "size": 30,
            "color": [ACCENT if i in members else "#ffffff" for i in range(count)],
            "line": {
                "color": [INK if i == best else ACCENT for i in range(count)],
                "width": [4 if i == best else 1 for i in range(count)],
            },
        },
        text=[f"{i}" for i in range(count)],
        textfont={"color": ["#ffffff" if i in members else INK for i in range(count)]},
        hovertext=_labels(result),
        hoverinfo="text",
        name="candidates; filled: on the frontier, ringed: best",
    )
    figure.update_layout(height=200 + 60 * max((place.layer for place in places), default=0))
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure


def frontier(result: GEPAResult[Any, Any]) -> Figure:
    """The candidates by their means on the first two objectives; without two, the validation ids that each
    holds the best score of, alone and with others."""
    names = list(dict.fromkeys(name for scores in result.val_aggregate_subscores or () for name in scores))
    return _by_objective(result, names[0], names[1]) if len(names) > 1 else _by_example(result)


def _by_objective(result: GEPAResult[Any, Any], across: str, up: str) -> Figure:
    figure = _figure(result, "Frontier by objective", html.escape(across), html.escape(up))
    points = [
        (i, scores[across], scores[up])
        for i, scores in enumerate(result.val_aggregate_subscores or ())
        if across in scores and up in scores
    ]
    ahead = [
        (i, x, y)
        for i, x, y in points
        if not any(a >= x and b >= y and (a, b) != (x, y) for _, a, b in points)
    ]
    labels = _labels(result)
    others = [point for point in points if point not in ahead]
    for name, shown, colour in (
        ("dominated on these two", others, QUIET),
        ("frontier", sorted(ahead, key=lambda p: p[1]), ACCENT),
    ):
        figure.add_scatter(
            x=[x for _, x, _ in shown],
            y=[y for _, _, y in shown],
            mode="markers" if colour == QUIET else "lines+markers",
            line={"color": colour, "dash": "dot"},
            marker={"color": colour, "size": 9},
            text=[labels[i] for i, _, _ in shown],
            hoverinfo="text",
            name=name,
        )
    return figure


def _by_example(result: GEPAResult[Any, Any]) -> Figure:
    figure = _figure(result, "Frontier by validation example", "candidate", "examples held")
    alone, shared = [0] * result.num_candidates, [0] * result.num_candidates
    for holders in result.per_val_instance_best_candidates.values():
        for i in holders:
            (alone if len(holders) == 1 else shared)[i] += 1
    labels = _labels(result)
    for name, held, colour in (("alone", alone, ACCENT), ("with others", shared, BAND)):
        figure.add_bar(
            x=[f"#{i}" for i in range(result.num_candidates)],
            y=held,
            marker={"color": colour},
            name=name,
            hovertext=labels,
            hoverinfo="text+y",
            textposition="none",
        )
    figure.update_layout(barmode="stack")
    return figure


def _figure(result: GEPAResult[Any, Any], title: str, across: str = "", up: str = "") -> Figure:
    try:
        objects = import_module("plotly.graph_objects")
    except ImportError as missing:
        raise ImportError("charts need the package plotly: pip install plotly") from missing
    return objects.Figure(
        layout={
            "title": {"text": f"{title}: {result.num_candidates} candidates"},
            "template": "plotly_white",
            "xaxis": {"title": {"text": across}},
            "yaxis": {"title": {"text": up}},
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        }
    )


def _labels(result: GEPAResult[Any, Any]) -> list[str]:
    """What a hover label says of each candidate. Plotly reads some HTML in labels: texts are escaped."""
    found = list[str]()
    for i, texts in enumerate(result.candidates):
        said = "\n".join(f"{name}: {text}" for name, text in texts.items())
        said = said if len(said) <= HOVER else f"{said[:HOVER]}..."
        about = f"#{i}, mean {result.val_aggregate_scores[i]:.4f}"
        found.append("<br>".join(html.escape(line) for line in (about, *said.splitlines())))
    return found
