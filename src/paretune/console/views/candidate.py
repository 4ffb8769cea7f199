"""One candidate: its texts and what changed in them, what it reached and took, where it came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from paretune.console.paging import pickable
from paretune.console.view import Asked, NoSuchView, View
from paretune.console.views.trials import tried_as
from paretune.core import events
from paretune.core.demonstrations import Demonstration
from paretune.propose.guards import estimated_tokens
from paretune.views.conversation import demonstrations
from paretune.views.coverage import coverage
from paretune.views.figures import figures, objective_means
from paretune.views.lineage import children, frontier_members
from paretune.views.proposals import minibatch_rewards, step_told
from paretune.views.run_view import Row, RunView
from paretune.views.worddiff import Run, word_diff

MOST_CHILDREN = 200


@dataclass(frozen=True, slots=True)
class Shown:
    """A demonstration of the candidate; `fresh` where the one it is compared with does not show it."""

    demonstration: Demonstration
    fresh: bool


@dataclass(frozen=True, slots=True)
class Text:
    """One component: its text, and the difference to the other candidate's where one is compared with.

    Of demonstrations also the list, and those that only the other one shows.
    """

    name: str
    text: str
    tokens: int
    runs: list[Run] | None
    shown: tuple[Shown, ...] | None = None
    gone: tuple[Demonstration, ...] = ()

    @property
    def changed(self) -> bool:
        return bool(self.runs) and any(run.kind != "same" for run in self.runs or ())


def show(asked: Asked) -> Mapping[str, Any]:
    run = asked.run
    row = _row(run, asked.params["candidate"])
    against = _against(run, row, asked.query.get("against"))
    strips = {strip.candidate: strip for strip in coverage(run)}
    offspring = children(run).get(row.id, [])
    told = step_told(run, row.step) if row.step else None
    return {
        "row": row,
        "others": pickable(run, *([against] if against else [])),
        "parents": [run.rows[parent] for parent in row.parents if parent in run.rows],
        "against": against,
        "texts": list(_texts(run, row, against)),
        "figures": figures(run, row.id)[row.id],
        "held": frontier_members(run).get(row.id),
        "strip": strips.get(row.id),
        "reached": [found for split in ("test", "select", "pareto") if (found := _reached(run, row, split))],
        "objectives": _objectives(run, row),
        "started": told.started if told else None,
        "gate": told.gate(row.id) if told else None,
        "evidence": _evidence(run, row, told.started) if told and told.started else [],
        "tried": tried_as(run, row.id),
        "children": offspring[:MOST_CHILDREN],
        "children_left_out": max(0, len(offspring) - MOST_CHILDREN),
        "best": run.best,
        "perfect": run.run.job["settings"]["perfect"],
    }


@dataclass(frozen=True, slots=True)
class Reached:
    """The candidate's mean on a split, and the difference to the seed on the `paired` examples of both."""

    split: str
    scored: int
    mean: float
    difference: float | None
    paired: int


def _reached(run: RunView, row: Row, split: str) -> Reached | None:
    own, seeds = run.rewards(row.id, split), run.rewards(run.seed.id, split)
    if not own:
        return None
    both = [own[example] - seeds[example] for example in own if example in seeds]
    difference = sum(both) / len(both) if both and row.parents else None
    return Reached(split, len(own), sum(own.values()) / len(own), difference, len(both))


def _row(run: RunView, candidate: str) -> Row:
    if candidate not in run.rows:
        raise NoSuchView(f"this run has no candidate {candidate[:80]!r}")
    return run.rows[candidate]


def _against(run: RunView, row: Row, wanted: str | None) -> Row | None:
    """Whom the texts are compared with: who was asked for, the first parent, nobody (`none`)."""
    if wanted == "none":
        return None
    names = {"seed": run.seed.id, "best": run.best.id if run.best else ""}
    found = run.rows.get(names.get(wanted or "", wanted or ""))
    if found is None and wanted:
        raise NoSuchView(f"this run has no candidate {wanted[:80]!r} to compare with")
    return found or next((run.rows[parent] for parent in row.parents if parent in run.rows), None)


def _texts(run: RunView, row: Row, against: Row | None) -> Iterable[Text]:
    own, others = (_demonstrations(run, one) for one in (row, against))
    for name, text in row.components.items():
        runs = word_diff(against.components.get(name, ""), text) if against else None
        told = Text(name, text, estimated_tokens(text), runs)
        if name in own:
            before = others.get(name, ())
            shown = (Shown(one, against is not None and one not in before) for one in own[name])
            gone = (one for one in before if one not in own[name])
            told = replace(told, shown=tuple(shown), gone=tuple(gone))
        yield told


def _demonstrations(run: RunView, row: Row | None) -> dict[str, tuple[Demonstration, ...]]:
    return demonstrations(row.components, run.run.job.get("surface", {})) if row else {}


def _objectives(run: RunView, row: Row) -> list[tuple[str, float, float | None]]:
    """(name, mean of this candidate, mean of the seed), on the pareto examples."""
    own, seeds = (objective_means(run, who, "pareto") for who in (row.id, run.seed.id))
    return [(name, value, seeds.get(name)) for name, value in own.items()]


def _evidence(
    run: RunView, row: Row, started: events.StepStarted
) -> list[tuple[str, float | None, float | None]]:
    """(example, the parent's reward, the child's) of the minibatch that the proposer was shown."""
    parent = minibatch_rewards(run, started.parent, started.minibatch)
    child = minibatch_rewards(run, row.id, started.minibatch)
    return [(example, before, after) for (example, before), (_, after) in zip(parent, child, strict=True)]


def pages(run: RunView) -> Iterable[Mapping[str, str]]:
    """Seed and best, then those that were fully evaluated, by their means, then the others."""
    first = {run.seed.id, run.best.id if run.best else ""}
    rows = sorted(
        run.rows.values(),
        key=lambda row: (row.id not in first, row.mean is None, -(row.mean or 0.0), row.index),
    )
    return ({"candidate": row.id} for row in rows)


VIEW = View("candidate", "Candidate", "candidates/{candidate}", show, pages=pages)
