"""MIPRO's trials: combinations and what they reached, what mattered, and what there was to choose from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paretune.console.paging import Page, page_of
from paretune.console.parallel import Parallel, Through, parallel
from paretune.console.view import Asked, NoSuchView, View
from paretune.core import events
from paretune.core.candidate import CandidateId
from paretune.views.phases import algorithm
from paretune.views.run_view import RunView
from paretune.views.trials import Combination, Dimension, Option, Trial, Trials, has_trials, trials
from paretune.views.worddiff import Run, word_diff

DRAWN = 60
"""Combinations in the drawing, at most: the best by their estimates."""
SIZE = 100
"""Trials of a page of the table."""
ORDERS = ("number", "estimate")


@dataclass(frozen=True, slots=True)
class Line:
    """A trial in the table, and the combination that it is of. `best` marks the run's best."""

    trial: Trial
    combination: Combination
    names: Sequence[tuple[str, str]]
    best: bool


@dataclass(frozen=True, slots=True)
class Offered:
    """An option as it is shown: its texts against those of option 0 (`changes`)."""

    option: Option
    anchor: str
    changes: Sequence[tuple[str, Sequence[Run]]]


def show(asked: Asked) -> Mapping[str, Any]:
    run = asked.run
    if not has_trials(run):
        raise NoSuchView("this run has no trials: it does not search combinations")
    found = trials(run)
    best = _best(run, found)
    order = asked.query.get("order", "")
    order = order if order in ORDERS else "number"
    return {
        "found": found,
        "best": best,
        "best_names": _names(found, best.choice) if best else (),
        "order": order,
        "page": _page(asked, found, best, order),
        "drawing": drawing(asked, found, best),
        "drawn_at_most": DRAWN,
        "possible": math.prod(len(one.options) for one in found.dimensions),
        "planned": _planned(run),
        "dimensions": [
            (one, _title(one), [_offered(one, option) for option in one.options]) for one in found.dimensions
        ],
        "kinds": _by_kind(found),
        "examples": len(run.splits["pareto"]),
    }


def _planned(run: RunView) -> int:
    settings, mipro = run.run.job["settings"], run.run.job["mipro"]
    if algorithm(run) == "mipro":
        return int(settings["generations"] * settings["children_per_generation"])
    return int(mipro["iterations"] * mipro["evaluations"])


def _best(run: RunView, found: Trials) -> Combination | None:
    """The run's best where it is a combination; else the one that did best, fully evaluated ones first."""
    chosen = run.best.id if run.best else ""
    known = [one for one in found.combinations if one.estimate is not None]
    return max(
        known,
        key=lambda one: (one.candidate == chosen, one.full is not None, one.full or one.estimate or 0.0),
        default=None,
    )


def _by_kind(found: Trials) -> dict[str, float]:
    """Kind of dimension -> its share: instructions of all stages together, and so on."""
    shares: dict[str, float] = {}
    for one in found.dimensions:
        if one.importance is not None:
            shares[one.kind] = shares.get(one.kind, 0.0) + one.importance
    return shares


def _title(dimension: Dimension) -> str:
    return dimension.name.replace(".", ": ").replace("_", " ")


def anchor(dimension: Dimension, number: int) -> str:
    """The id of an option's place on the page: names of stages may hold anything."""
    safe = "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in dimension.name)
    return f"option-{safe}-{number}"


def _names(found: Trials, choice: Sequence[int]) -> list[tuple[str, str]]:
    """`instruction 3` and its place on the page, dimension by dimension."""
    return [
        (f"{_title(one)} {one.options[number].label}", anchor(one, number))
        for one, number in zip(found.dimensions, choice, strict=True)
    ]


def tried_as(run: RunView, candidate: CandidateId) -> tuple[int, list[tuple[str, str]]]:
    """How often this candidate was tried, and the options that it is a combination of (names and places)."""
    started = [d for d in run.decisions if isinstance(d, events.TrialStarted) and d.candidate == candidate]
    return len(started), _names(trials(run), started[0].choice) if started else []


def _page(asked: Asked, found: Trials, best: Combination | None, order: str) -> Page[Line]:
    def value(trial: Trial) -> tuple[bool, float, int]:
        estimate = found.by_choice[trial.choice].estimate
        return estimate is None, -(estimate or 0.0), trial.number

    listed = sorted(found.trials, key=value) if order == "estimate" else found.trials
    page = page_of(listed, asked.query, SIZE)
    lines = [
        Line(one, found.by_choice[one.choice], _names(found, one.choice), best is found.by_choice[one.choice])
        for one in page.items
    ]
    return Page(lines, page.number, page.pages, page.first, page.total)


def drawing(asked: Asked, found: Trials, best: Combination | None) -> Parallel | None:
    """The best combinations; options are in the order of what those with them reached, the best on top."""
    known = [one for one in found.combinations if one.estimate is not None]
    known.sort(key=lambda one: -(one.estimate or 0.0))
    orders = [
        sorted(one.options, key=lambda option: (option.mean is None, -(option.mean or 0.0), option.number))
        for one in found.dimensions
    ]
    places = [{option.number: place for place, option in enumerate(order)} for order in orders]
    lines = [
        Through(
            [place[number] for place, number in zip(places, one.choice, strict=True)],
            one.estimate or 0.0,
            _words(asked.run, found, one),
            asked.to("candidate", candidate=one.candidate),
            loud=one is best,
            firm=one.full is not None,
        )
        for one in known[:DRAWN]
    ]
    axes = [
        (_title(one), [option.label for option in order])
        for one, order in zip(found.dimensions, orders, strict=True)
    ]
    return parallel(axes, "estimate", lines)


def _words(run: RunView, found: Trials, one: Combination) -> str:
    row = run.rows.get(one.candidate)
    names = ", ".join(name for name, _ in _names(found, one.choice))
    full = "" if one.full is None else f", {one.full:.3f} on all"
    return f"#{row.index if row else '?'}: {names}; estimate {one.estimate:.3f} from {one.examples}{full}"


def _offered(dimension: Dimension, option: Option) -> Offered:
    first = dimension.options[0].texts
    shown = () if dimension.kind == "demonstrations" else option.texts.items()
    changes = [(name, word_diff(first[name] if option.number else text, text)) for name, text in shown]
    return Offered(option, anchor(dimension, option.number), changes)


VIEW = View("trials", "Trials", "trials", show, key="i", there=has_trials)
