"""The incremental frontier against a frontier computed from scratch, and cells against hand-made tables."""

import math
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.core.frontier import Cell, Frontier, FrontierType, cells, choose_parent

Table = dict[str, dict[Cell, float]]

# Few cells and few distinct scores: many ties, many gaps.
CELLS: list[Cell] = [("example", name) for name in "uvwxyz"]
lines = st.dictionaries(st.sampled_from(CELLS), st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0]))
tables: st.SearchStrategy[Table] = st.lists(lines, max_size=8).map(
    lambda found: {f"c{i}": line for i, line in enumerate(found)}
)


def from_scratch(table: Table, epsilon: float) -> dict[Cell, list[str]]:
    fronts = {}
    for cell in {cell for line in table.values() for cell in line}:
        best = max(line[cell] for line in table.values() if cell in line)
        fronts[cell] = [c for c, line in table.items() if line.get(cell, -math.inf) >= best - epsilon]
    return fronts


def undominated(fronts: Mapping[Cell, list[str]], means: Mapping[str, float]) -> dict[str, int]:
    """gepa 0.1.4's removal: worst first, again from the start after each; then cells per survivor."""
    staying = {c for front in fronts.values() for c in front}
    order = sorted(staying, key=lambda c: (means[c], c))  # ids sort as admitted: c0, c1, ...
    again = True
    while again:
        again = False
        for one in order:
            mine = [front for front in fronts.values() if one in front]
            if one in staying and all(staying & set(front) - {one} for front in mine):
                staying.discard(one)
                again = True
                break
    return dict(Counter(c for front in fronts.values() for c in front if c in staying))


def built(table: Table, epsilon: float = 0.0) -> Frontier:
    frontier = Frontier(epsilon)
    for candidate, line in table.items():
        frontier.admit(candidate, line)
    return frontier


def as_sets(fronts: Mapping[Cell, list[str]]) -> dict[Cell, set[str]]:
    return {cell: set(front) for cell, front in fronts.items()}


@given(tables, st.sampled_from([0.0, 1e-6]), st.data())
def test_any_order_of_admission_and_any_retirements_equal_computing_afresh(
    table: Table, epsilon: float, data: st.DataObject
) -> None:
    shuffled = {c: table[c] for c in data.draw(st.permutations(list(table)))}
    frontier = built(shuffled, epsilon)
    assert frontier.holders() == from_scratch(shuffled, epsilon)
    assert as_sets(frontier.holders()) == as_sets(from_scratch(table, epsilon))

    leavers = data.draw(st.lists(st.sampled_from(list(table)), unique=True)) if table else []
    for leaver in leavers:
        frontier.retire(leaver)
        del shuffled[leaver]
    assert frontier.holders() == from_scratch(shuffled, epsilon)
    assert frontier.candidates == list(shuffled)
    for candidate, line in shuffled.items():
        assert frontier.scores(candidate) == line
        assert frontier.wins(candidate) == sum(candidate in front for front in frontier.holders().values())
    for cell, best in frontier.best_scores().items():
        assert best == max(line[cell] for line in shuffled.values() if cell in line)


def test_a_tie_is_with_the_best_and_not_with_a_neighbour() -> None:
    scores = {"a": 0.0, "b": 0.75, "c": 1.5}
    for order in permutations(scores):
        frontier = built({c: {CELLS[0]: scores[c]} for c in order}, epsilon=1.0)
        assert set(frontier.holders()[CELLS[0]]) == {"b", "c"}
        assert frontier.wins("a") == 0


@given(tables, st.randoms(use_true_random=False))
def test_frequencies_are_those_of_removing_dominated_candidates_one_by_one(
    table: Table, rng: random.Random
) -> None:
    frontier = built(table)
    means = {c: sum(line.values()) / len(line) for c, line in table.items() if line}
    frequencies = frontier.frequencies()
    assert frequencies == undominated(from_scratch(table, 0.0), means)
    assert list(frequencies) == [c for c in table if c in frequencies]
    assert bool(frequencies) == any(table.values())
    held = {cell for cell, front in frontier.holders().items() if set(front) & frequencies.keys()}
    assert held == frontier.holders().keys()
    if frequencies:
        assert choose_parent(frequencies, rng) in frequencies


def test_gained_are_the_cells_that_got_strictly_better() -> None:
    u, v, w = CELLS[:3]
    frontier = built({"a": {u: 0.5, v: 0.5}})
    assert frontier.admit("b", {u: 0.5, v: 1.0, w: 1.0}) == [v]
    assert frontier.holders() == {u: ["a", "b"], v: ["b"], w: ["b"]}
    assert frontier.coverage(1.0) == 2
    with pytest.raises(ValueError, match="already on record"):
        frontier.admit("b", {})


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (FrontierType.INSTANCE, {("example", "1"): 0.5, ("example", "2"): 1.0}),
        (FrontierType.OBJECTIVE, {("objective", "brief"): 0.6, ("objective", "right"): 0.75}),
        (
            FrontierType.HYBRID,
            {
                ("example", "1"): 0.5,
                ("example", "2"): 1.0,
                ("objective", "brief"): 0.6,
                ("objective", "right"): 0.75,
            },
        ),
        (
            FrontierType.CARTESIAN,
            {("pair", "1", "right"): 0.5, ("pair", "2", "right"): 1.0, ("pair", "2", "brief"): 0.6},
        ),
    ],
)
def test_cells_hold_what_was_measured_and_nothing_else(
    kind: FrontierType, expected: dict[Cell, float]
) -> None:
    rewards = {"1": 0.5, "2": 1.0}
    objectives = {"1": {"right": 0.5}, "2": {"right": 1.0, "brief": 0.6}, "not scored": {"right": 0.0}}
    assert cells(kind, rewards, objectives) == expected


@pytest.mark.parametrize("kind", FrontierType)
def test_without_named_objectives_the_reward_is_the_one_objective(kind: FrontierType) -> None:
    expected: dict[FrontierType, dict[Cell, float]] = {
        FrontierType.INSTANCE: {("example", "1"): 0.25},
        FrontierType.OBJECTIVE: {("objective", "reward"): 0.25},
        FrontierType.HYBRID: {("example", "1"): 0.25, ("objective", "reward"): 0.25},
        FrontierType.CARTESIAN: {("pair", "1", "reward"): 0.25},
    }
    assert cells(kind, {"1": 0.25}) == expected[kind]
    assert cells(kind, {}, {"1": {"right": 1.0}}) == {}


def test_parents_are_drawn_in_proportion_to_their_cells() -> None:
    def share(pressure: float) -> float:
        rng = random.Random(0)
        return sum(choose_parent({"a": 3, "b": 1}, rng, pressure) == "a" for _ in range(4000)) / 4000

    assert share(1.0) == pytest.approx(3 / 4, abs=0.03)
    assert share(0.0) == pytest.approx(1 / 2, abs=0.03)
    assert share(2.0) == pytest.approx(9 / 10, abs=0.03)
    with pytest.raises(ValueError, match="empty"):
        choose_parent({}, random.Random(0))


SCRIPT = """
import random
from paretune.core.frontier import *
rng, frontier = random.Random(3), Frontier()
for i in range(30):
    rewards = {f"e{j}": float(rng.randint(0, 2)) for j in range(20)}
    frontier.admit(f"c{i}", cells(FrontierType.HYBRID, rewards))
    if i % 4 == 3:
        frontier.retire(f"c{i - 2}")
frequencies = frontier.frequencies()
print(frequencies, frontier.holders(), [choose_parent(frequencies, rng) for _ in range(20)])
"""


def test_nothing_depends_on_the_order_of_hashes() -> None:
    def printed(hash_seed: str) -> str:
        env = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        ran = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=True
        )
        return ran.stdout

    assert len({printed(hash_seed) for hash_seed in ("0", "1", "2")}) == 1
