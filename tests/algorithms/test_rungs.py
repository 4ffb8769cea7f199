"""Rungs: what they rule out is ruled out, at the error that was asked for."""

import asyncio
from dataclasses import replace
from itertools import combinations, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretune.algorithms.rungs import Contest, chance_to_win, most_wins, rung_ends
from paretune.algorithms.settings import Rungs
from paretune.core import events
from paretune.views.run_view import read
from support.runs import CASES, carry

reward = st.integers(0, 4).map(lambda n: n / 4)
LEVELS = (0.05, 0.2, 0.5)


@given(st.integers(0, 40), st.integers(1, 400))
def test_looks_double_and_each_could_still_save_a_first_rung(first: int, examples: int) -> None:
    *looks, last = rung_ends(first, examples)
    assert last == examples
    assert looks == [first * 2**i for i in range(len(looks))]
    assert all(look + first <= examples for look in looks)
    assert bool(looks) == (0 < 2 * first <= examples)


@given(st.lists(st.tuples(reward, reward, reward), min_size=2, max_size=12), st.data())
def test_what_is_impossible_never_happens(
    rows: list[tuple[float, float, float]], data: st.DataObject
) -> None:
    order = [f"e{i}" for i in range(len(rows))]
    child, rival, front = (dict(zip(order, line, strict=True)) for line in zip(*rows, strict=True))
    measured = data.draw(st.integers(1, len(rows)))
    known = {e: child[e] for e in order[:measured]}
    standing = Contest(order, rival, front, 1.0).standing(measured, known, level=0.05)
    if standing.chance == 0:
        assert sum(child.values()) <= sum(rival.values())
    won = [e for e in order[:measured] if child[e] > front[e]]
    assert len(won) <= standing.cells <= len(won) + len(rows) - measured
    assert (measured < len(rows)) or standing.cells == len(won)


@settings(max_examples=25)
@given(
    st.lists(st.tuples(reward, reward), min_size=4, max_size=5).filter(lambda p: sum(a - b for a, b in p) > 0)
)
def test_who_is_better_is_given_up_no_more_often_than_the_level_says(
    pairs: list[tuple[float, float]],
) -> None:
    most = 1.0 - min(rival for _, rival in pairs)
    orders = list(permutations([child - rival for child, rival in pairs]))
    looks = range(1, len(pairs))
    least = [min(chance_to_win(order[:n], len(order), most) for n in looks) for order in orders]
    for level in LEVELS:
        assert sum(chance <= level for chance in least) <= level * len(orders)


@pytest.mark.parametrize("wins", range(9))
def test_more_wins_than_the_bound_are_no_more_frequent_than_the_level_says(wins: int) -> None:
    prefixes = [sum(i < wins for i in prefix) for prefix in combinations(range(8), 3)]
    for level in LEVELS:
        missed = sum(most_wins(won, 3, 5, level) < wins for won in prefixes)
        assert missed <= level * len(prefixes)


def test_a_child_far_behind_is_given_up_early_and_an_equal_one_never() -> None:
    rival = [1.0 if i % 2 else 0.0 for i in range(300)]
    behind = [-r if i % 3 else 0.0 for i, r in enumerate(rival)]
    assert chance_to_win(behind[:32], 300, 1.0) < 0.05
    level = [(0.0, 1.0, -1.0)[i % 3] for i in range(300)]
    assert all(chance_to_win(level[:n], 300, 1.0) > 0.05 for n in range(300))


def test_with_rewards_above_the_best_possible_nothing_is_ruled_out() -> None:
    order = [f"e{i}" for i in range(64)]
    rival = dict.fromkeys(order, 80.0)
    known = dict.fromkeys(order[:32], 0.0)
    assert Contest(order, rival, rival, 1.0).standing(32, known, 0.05).chance == 1.0
    assert Contest(order, rival, rival, 100.0).standing(32, known, 0.05).chance < 0.05


def test_where_finalists_meet_a_child_is_stopped_only_if_it_can_be_none_of_them() -> None:
    case = CASES["judged"](1)
    stern = replace(case.settings, rungs=Rungs(first=2, level=0.99, cells=1.0), finalists=2)
    run = asyncio.run(carry(replace(case, settings=stern)))
    admitted: list[events.CandidateAdmitted] = []
    rungs = 0
    for decision in read(run.store, run.run_id).decisions:
        if isinstance(decision, events.CandidateAdmitted) and decision.step:
            admitted.append(decision)
        if isinstance(decision, events.RungEnded):
            rungs += 1
            means = sorted((a.mean for a in admitted), reverse=True)
            rival = next(a for a in admitted if a.candidate == decision.rival)
            assert rival.mean == means[1]
    assert rungs > 3


@pytest.mark.parametrize("cells", [0.0, 0.3, 1.0])
def test_who_will_have_no_cells_is_stopped_whatever_share_of_them_would_be_enough(cells: float) -> None:
    case = CASES["rungs"](1)
    told = replace(case.settings, rungs=replace(case.settings.rungs, level=0.5, cells=cells))
    run = asyncio.run(carry(replace(case, settings=told)))
    rungs = [d for d in read(run.store, run.run_id).decisions if isinstance(d, events.RungEnded)]
    enough = cells * len(case.splits.pareto)
    assert any(d.stopped for d in rungs)
    assert all(d.stopped == (d.chance <= 0.5 and (d.cells == 0 or d.cells < enough)) for d in rungs)
