"""Who came from whom: the frontier, the line of the best, and a drawing of all candidates in lanes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from paretune.core import events
from paretune.core.candidate import CandidateId
from paretune.core.frontier import Frontier, FrontierType, cells
from paretune.views.run_view import Row, RunView
from paretune.views.scores import scores

TURNED_DOWN = ("rejected", "stopped")


def frontier_members(view: RunView) -> dict[CandidateId, int]:
    """Cells held by each candidate on the frontier as it stands, the dominated ones left out."""
    settings = view.run.job["settings"]
    kind = FrontierType(settings["frontier"])
    if kind is FrontierType.INSTANCE:
        return _instance_members(view, settings["epsilon"])
    frontier = Frontier(settings["epsilon"])
    for decision in view.decisions:
        if isinstance(decision, events.CandidateAdmitted):
            rewards = view.rewards(decision.candidate, "pareto")
            frontier.admit(decision.candidate, cells(kind, rewards, _objectives(view, decision.candidate)))
        elif isinstance(decision, events.CandidateRetired):
            frontier.retire(decision.candidate)
    return frontier.frequencies()


def _instance_members(view: RunView, epsilon: float) -> dict[CandidateId, int]:
    """The same as `Frontier.frequencies`, for cells that are examples: all at once."""
    alive: dict[CandidateId, None] = {}
    for decision in view.decisions:
        if isinstance(decision, events.CandidateAdmitted):
            alive[decision.candidate] = None
        elif isinstance(decision, events.CandidateRetired):
            del alive[decision.candidate]
    ids = list(alive)
    rewards = scores(view, "pareto").of(ids)
    if not rewards.size:
        return {}
    there = ~np.isnan(rewards)
    known = np.where(there, rewards, -np.inf)
    holds = there & (known >= known.max(axis=0) - epsilon)
    means = np.nansum(rewards, axis=1) / np.maximum(there.sum(axis=1), 1)
    holders, stays = holds.sum(axis=0), dict.fromkeys(range(len(ids)))
    for at in np.argsort(means, kind="stable").tolist():
        if (holders[holds[at]] > 1).all():
            holders -= holds[at]
            del stays[at]
    return {ids[at]: int(holds[at].sum()) for at in stays}


def _objectives(view: RunView, candidate: CandidateId) -> Mapping[str, Mapping[str, float]]:
    return {e: view.rollouts.objectives((candidate, e, 0)) for e in view.splits["pareto"]}


def ancestors(view: RunView, candidate: CandidateId) -> set[CandidateId]:
    """The candidate and all that it descends from."""
    found, left = set[CandidateId](), [candidate]
    while left:
        one = left.pop()
        if one not in found and one in view.rows:
            found.add(one)
            left += view.rows[one].parents
    return found


def children(view: RunView) -> dict[CandidateId, list[Row]]:
    """Candidate -> those that have it as a parent, in order of appearance."""
    found: dict[CandidateId, list[Row]] = defaultdict(list)
    for row in view.rows.values():
        for parent in dict.fromkeys(row.parents):
            found[parent].append(row)
    return found


@dataclass(frozen=True, slots=True)
class Place:
    """One line of the drawing: a candidate in its lane, a ghost (`row` was turned down) beside its parent's
    lane, or `folded`, so many ghosts in one line."""

    row: Row
    lane: float
    ghost: bool = False
    folded: tuple[Row, ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """From a place to a later one (as line numbers). `second`: from a further parent of a merge or join."""

    parent: int
    child: int
    kind: Literal["first", "second", "ghost"]
    best: bool = False


@dataclass(frozen=True, slots=True)
class Drawing:
    places: Sequence[Place]
    edges: Sequence[Edge]
    lanes: int


def draw(view: RunView, *, fold: bool) -> Drawing:
    """All candidates, one a line, each below its parents; those that were turned down and have no children
    of their own stand below their parent. With `fold` they share a line."""
    offspring, rows = children(view), view.rows
    fallen = {r.id for r in rows.values() if r.state in TURNED_DOWN and r.parents and not offspring.get(r.id)}
    alive = _below_parents([row for row in rows.values() if row.id not in fallen])
    at = {row.id: number for number, row in enumerate(alive)}
    ghosts: dict[CandidateId, list[Row]] = defaultdict(list)
    for row in (rows[candidate] for candidate in rows if candidate in fallen):
        ghosts[max(row.parents, key=lambda parent: at.get(parent, -1))].append(row)
    line = ancestors(view, view.best.id) if view.best else set()
    heirs = _heirs(alive, line)
    lanes, width = _lanes(alive, heirs)
    places: list[Place] = []
    for row in alive:
        places.append(Place(row, lanes[row.id]))
        below, beside = ghosts[row.id], lanes[row.id] + 0.5
        if fold and len(below) > 1:
            places.append(Place(below[0], beside, ghost=True, folded=tuple(below)))
        else:
            places += [Place(ghost, beside, ghost=True) for ghost in below]
    return Drawing(places, list(_edges(places, line)), width)


def _below_parents(rows: Sequence[Row]) -> list[Row]:
    """In order of appearance, parents first: a text that was proposed again has parents younger than it."""
    known = {row.id: row for row in rows}
    placed: dict[CandidateId, Row] = {}
    for row in rows:
        todo = [(row, False)]
        under = set[CandidateId]()
        while todo:
            one, ready = todo.pop()
            if ready:
                placed.setdefault(one.id, one)
            elif one.id not in placed and one.id not in under:
                under.add(one.id)
                todo.append((one, True))
                todo += [(known[p], False) for p in one.parents if p in known and p not in placed]
    return list(placed.values())


def _heirs(rows: Sequence[Row], line: set[CandidateId]) -> dict[CandidateId, CandidateId]:
    """Candidate -> the child that goes on in its lane: of the best's line, or with the most descendants."""
    at = {row.id: number for number, row in enumerate(rows)}
    heavy: dict[CandidateId, int] = defaultdict(int)
    heirs: dict[CandidateId, CandidateId] = {}
    rank: dict[CandidateId, tuple[bool, int]] = {}
    for row in reversed(rows):
        heavy[row.id] += 1
        if not row.parents or at.get(row.parents[0], len(at)) >= at[row.id]:
            continue
        parent = row.parents[0]
        heavy[parent] += heavy[row.id]
        mine = (row.id in line, heavy[row.id])
        if parent not in rank or mine >= rank[parent]:
            rank[parent], heirs[parent] = mine, row.id
    return heirs


def _lanes(
    rows: Sequence[Row], heirs: Mapping[CandidateId, CandidateId]
) -> tuple[dict[CandidateId, int], int]:
    """A lane for each candidate: heirs in that of their parent, others in the first one that is free from
    their parent's line to the last of their own heirs."""
    at = {row.id: number for number, row in enumerate(rows)}
    lanes: dict[CandidateId, int] = {}
    busy: list[list[tuple[int, int]]] = []  # by lane: from line to line
    inherited = set(heirs.values())
    shared = -1  # the lane of combinations: they all come from the initial prompt, and nothing from most
    for row in rows:
        if row.id in inherited:
            continue
        last, line = row.id, [row.id]
        while last in heirs:
            last = heirs[last]
            line.append(last)
        if row.origin == "trial" and len(line) == 1:
            if shared < 0:
                shared = len(busy)
                busy.append([(0, len(rows))])
            lanes[row.id] = shared
            continue
        parent = row.parents[0] if row.parents and row.parents[0] in at else row.id
        span = (at[parent] + (parent != row.id), at[last])
        lane = next((i for i, taken in enumerate(busy) if all(_apart(span, t) for t in taken)), len(busy))
        if lane == len(busy):
            busy.append([])
        busy[lane].append(span)
        lanes |= dict.fromkeys(line, lane)
    return lanes, len(busy)


def _apart(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[1] < other[0] or other[1] < one[0]


def _edges(places: Sequence[Place], line: set[CandidateId]) -> list[Edge]:
    at = {place.row.id: number for number, place in enumerate(places) if not place.folded}
    found: list[Edge] = []
    owner = 0
    for number, place in enumerate(places):
        if not place.ghost:
            owner = number
        if place.ghost:
            found.append(Edge(owner, number, "ghost"))
            others = [] if place.folded else [p for p in place.row.parents if at.get(p, owner) != owner]
            found += [Edge(at[p], number, "second") for p in others]
            continue
        for rank, parent in enumerate(dict.fromkeys(place.row.parents)):
            if parent in at and at[parent] < number:
                best = place.row.id in line and parent in line
                found.append(Edge(at[parent], number, "second" if rank else "first", best))
    return found
