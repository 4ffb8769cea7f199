"""Where the candidates of a lineage stand in a drawing, and which of them matter."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

Parents = Sequence[Sequence[int | None]]
GAP = 1.0
"""Between neighbours of one layer."""


@dataclass(frozen=True, slots=True)
class Spot:
    """`across` from the left, in gaps; `layer` from the top, 0 for a seed."""

    across: float
    layer: int


def earlier_parents(parents: Parents, count: int) -> list[list[int]]:
    """By candidate, the distinct parents that were there before it: no other edge is lineage."""
    found = list[list[int]]()
    for child in range(count):
        known = parents[child] if child < len(parents) else ()
        found.append([p for p in dict.fromkeys(known) if p is not None and 0 <= p < child])
    return found


def spots(parents: Parents, count: int) -> list[Spot]:
    """A tidy tree over first parents, each candidate one layer below the lowest of all its parents.

    Subtrees stand as close as their outlines allow (after Reingold and Tilford 1981), so no two candidates
    overlap; a line that passes layers by has a place of its own in them.
    """
    lines = earlier_parents(parents, count)
    layers = list[int]()
    children: dict[int, list[int]] = defaultdict(list)
    for child, known in enumerate(lines):
        layers.append(1 + max((layers[p] for p in known), default=-1))
        children[known[0] if known else -1].append(child)
    shift = [0.0] * count  # relative to the first parent
    outlines: dict[int, dict[int, tuple[float, float]]] = {}
    for node in range(count - 1, -2, -1):  # children come after their parents, so they are done
        outline = _side_by_side(children[node], outlines, shift)
        middle = (shift[children[node][0]] + shift[children[node][-1]]) / 2 if children[node] else 0.0
        for child in children[node]:
            shift[child] -= middle
        own = outline  # a line without branches is not copied
        if middle:
            own = {at: (left - middle, right - middle) for at, (left, right) in outline.items()}
        if node >= 0:
            above = layers[lines[node][0]] if lines[node] else -1
            own |= dict.fromkeys(range(above + 1, layers[node] + 1), (0.0, 0.0))  # itself, and its line
            outlines[node] = own
    across = list[float]()
    for node in range(count):
        across.append(shift[node] + (across[lines[node][0]] if lines[node] else 0.0))
    left = min(across, default=0.0)
    return [Spot(x - left, layer) for x, layer in zip(across, layers, strict=True)]


def _side_by_side(
    nodes: Sequence[int], outlines: dict[int, dict[int, tuple[float, float]]], shift: list[float]
) -> dict[int, tuple[float, float]]:
    """The outline (layer -> leftmost, rightmost) of subtrees put in a row; their shifts are noted."""
    row = outlines.pop(nodes[0]) if nodes else {}
    for node in nodes[1:]:
        outline = outlines.pop(node)
        needed = (row[at][1] + GAP - left for at, (left, _) in outline.items() if at in row)
        shift[node] = by = max(needed, default=0.0)
        for at, (left, right) in outline.items():
            row[at] = (row[at][0] if at in row else left + by, right + by)
    return row


def rank(score: float) -> float:
    """To order by: what is not a number comes last."""
    return -math.inf if math.isnan(score) else score


def best_of(scores: Sequence[float]) -> int | None:
    """The first of the highest; None of none."""
    return max(range(len(scores)), key=lambda i: rank(scores[i])) if scores else None


def frontier_members(fronts: Mapping[Any, Set[int]], scores: Sequence[float]) -> dict[int, int]:
    """Candidate -> cells that it holds, for those that are not dominated.

    Dominated is who holds no cell but those that others who stay hold, too; the lowest means go first
    (GEPA paper, algorithm 2).
    """
    cells: dict[int, list[int]] = defaultdict(list)
    holders = list[int]()  # how many hold a cell
    for cell, held in enumerate(fronts.values()):
        known = [candidate for candidate in held if 0 <= candidate < len(scores)]
        holders.append(len(known))
        for candidate in known:
            cells[candidate].append(cell)
    stays: dict[int, int] = {}
    for candidate in sorted(cells, key=lambda c: (rank(scores[c]), c)):
        if any(holders[cell] == 1 for cell in cells[candidate]):
            stays[candidate] = len(cells[candidate])
        else:
            for cell in cells[candidate]:
                holders[cell] -= 1
    return stays
