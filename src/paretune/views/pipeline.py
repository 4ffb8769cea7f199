"""How a run's work flows: what is under way, how much at once, what was reused, late or failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from paretune.core import events
from paretune.views.calls import ROLES
from paretune.views.run_view import RunView
from paretune.views.spending import active_seconds

BINS = 120
"""Stretches of a run whose concurrency is averaged, at most. None is shorter than a second: the time of an
attempt is that of the group that it was written with."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """Steps by the stage that they are in, and calls that are out. `evaluation` counts candidates: the seed,
    children that passed their gate, and heads that are validated. `closing`: the search has ended, and the
    closing evaluation has not. `trials` are combinations of MIPRO on their batch."""

    proposing: int
    gate: int
    evaluation: int
    closing: bool
    rollouts: int
    proposals: int
    trials: int = 0


@dataclass(frozen=True, slots=True)
class Busy:
    """Calls of one role at once, on average over each stretch of active time that ends at `seconds`."""

    role: str
    seconds: tuple[float, ...]
    calls: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Staleness:
    """What became of edits whose text had moved on meanwhile.

    `joined` were carried onto the newer head and accepted; `clashed` could not be carried, `stale` were about
    a text that is too old. `moves` are the head's moves by reason, `skipped` the steps that asked for nothing
    by reason, `lanes` each change as (number of the decision, lanes from then on).
    """

    joined: int
    clashed: int
    stale: int
    moves: Mapping[str, int]
    skipped: Mapping[str, int]
    lanes: tuple[tuple[int, int], ...]


def under_way(view: RunView) -> UnderWay:
    """As the record stands: what a run that is over has left behind counts too."""
    proposing, gate, trials = set[int](), set[int](), set[int]()
    # Step -> who is evaluated in full; a validation goes on beside the step that began it.
    evaluation, validation = dict[int, str](), set[str]()
    closing = False
    for decision in view.decisions:
        match decision:
            case events.RunStarted():
                evaluation[0] = decision.candidate
            case events.StepStarted():
                proposing.add(decision.step)
                closing = False
            case events.TrialStarted():
                trials.add(decision.step)
                closing = False
            case events.TrialEnded():
                trials.discard(decision.step)
            case events.ChildProposed() if decision.step not in trials:
                proposing.discard(decision.step)
                gate.add(decision.step)
                evaluation.pop(decision.step, None)
            case events.ProposalRejected() | events.StepSkipped():
                proposing.discard(decision.step)
                evaluation.pop(decision.step, None)
            case events.GateDecided():
                gate.discard(decision.step)
                evaluation.pop(decision.step, None)
                if decision.passed:
                    evaluation[decision.step] = decision.child
            case (
                events.HeadMoved()
                | events.EvaluationDeferred()
                | events.RungEnded(stopped=True)
                | events.ProxyDecided(stopped=True)
            ):
                evaluation.pop(decision.step, None)
            case events.CandidateAdmitted():
                evaluation.pop(decision.step, None)
                validation.discard(decision.candidate)
            case events.ValidationStarted():
                validation.add(decision.candidate)
            case events.ValidationEnded():
                validation.discard(decision.candidate)
            case events.SearchEnded():
                closing = True
            case events.BestChosen() | events.RunFinished():
                for stage in (proposing, gate, trials, evaluation, validation):
                    stage.clear()
                closing = isinstance(decision, events.BestChosen)
            case _:
                pass
    full = {*evaluation.values(), *validation}
    roles = Counter(begun.role for begun in view.in_flight)
    calls = roles["rollout"], roles["proposal"]
    return UnderWay(len(proposing), len(gate), len(full), closing, *calls, len(trials))


def busy(view: RunView, bins: int = BINS) -> list[Busy]:
    """A line for each role that was called; calls that never came back have no length and are left out."""
    table = view.spent[view.spent["seconds"] > 0]
    if not len(table):
        return []
    starts = active_seconds(view, table["at"] - table["seconds"])
    ends = active_seconds(view, table["at"])
    end = max(float(ends.max()), 1e-9)
    edges = np.linspace(0.0, end, max(1, min(bins, int(end))) + 1)
    width = edges[1] - edges[0]
    lines = []
    for number, role in enumerate(ROLES):
        mine = table["role"] == number
        if mine.any():
            worked = _since(starts[mine], edges) - _since(ends[mine], edges)
            calls = np.diff(worked) / width
            lines.append(Busy(role, tuple(edges[1:].round(3).tolist()), tuple(calls.round(3).tolist())))
    return lines


def _since(times: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """At each edge, the seconds that have passed since each of `times` before it, summed."""
    ordered = np.sort(times)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    before = np.searchsorted(ordered, edges)
    since: np.ndarray = before * edges - sums[before]
    return since


def staleness(view: RunView) -> Staleness:
    """From the decisions; all empty for a run that does one thing at a time."""
    turned_down, moves, skipped = Counter[str](), Counter[str](), Counter[str]()
    lanes: list[tuple[int, int]] = []
    for seq, decision in enumerate(view.decisions):
        match decision:
            case events.LanesChanged():
                lanes.append((seq, decision.lanes))
            case events.ProposalRejected():
                turned_down[decision.reason] += 1
            case events.HeadMoved():
                moves[decision.reason] += 1
            case events.StepSkipped():
                skipped[decision.reason] += 1
            case _:
                pass
    return Staleness(
        joined=moves["joined"],
        clashed=turned_down["clash"],
        stale=turned_down["stale"],
        moves=dict(moves.most_common()),
        skipped=dict(skipped.most_common()),
        lanes=tuple(lanes),
    )
