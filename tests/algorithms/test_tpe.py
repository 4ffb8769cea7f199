"""Choices: repeatable, never twice, spread first, and better than chance."""

from __future__ import annotations

import statistics
from collections import deque
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from paretune.algorithms.surrogate import Surrogate
from paretune.algorithms.tpe import Choice, Space, Tpe

SPACE: Space = {"instruction": 5, "demonstrations": 4, "top_k": 3}


def value(choice: Choice) -> float:
    return -sum((option - place - 1) ** 2 for place, option in enumerate(choice))


def test_the_same_question_gets_the_same_answer() -> None:
    told = [(choice, value(choice)) for choice in [(0, 0, 0), (1, 2, 1), (4, 3, 2), (2, 2, 2)]]
    ask = [Tpe(3, startup=2).ask(9, SPACE, told, [(1, 1, 1)]) for _ in range(2)]
    assert ask[0] == ask[1]
    assert Tpe(4, startup=2).ask(9, SPACE, told, [(1, 1, 1)]) is not None


def test_the_first_choices_take_every_option_in_turn() -> None:
    asked = [Tpe(0, startup=20).ask(number, SPACE, []) for number in range(20)]
    for place, options in enumerate(SPACE.values()):
        counts = [sum(choice is not None and choice[place] == o for choice in asked) for o in range(options)]
        assert max(counts) - min(counts) <= 2


@given(seed=st.integers(0, 50), sizes=st.lists(st.integers(1, 4), min_size=1, max_size=3))
@settings(max_examples=20, deadline=None)
def test_every_choice_comes_once_and_then_there_is_none(seed: int, sizes: list[int]) -> None:
    space = {f"d{n}": size for n, size in enumerate(sizes)}
    tpe, told, seen = Tpe(seed, startup=3), list[tuple[Choice, float]](), set[Choice]()
    for number in range(len(list(product(*map(range, sizes))))):
        choice = tpe.ask(number, space, told, (), seen)
        assert choice is not None
        assert choice not in seen
        seen.add(choice)
        told.append((choice, value(choice)))
    assert tpe.ask(999, space, told, (), seen) is None


def test_an_option_that_joins_later_is_found() -> None:
    told = [((a, b), float(-a)) for a in range(3) for b in range(2)]
    asked = {
        Tpe(seed, startup=0).ask(7, {"a": 4, "b": 2}, told, (), {c for c, _ in told}) for seed in range(6)
    }
    assert all(choice is not None and choice[0] == 3 for choice in asked)


def needed(seed: int, at_once: int) -> int:
    """Trials begun until the best is among them, the first one begun told first."""
    best = max(product(*map(range, SPACE.values())), key=value)
    told, seen, out = list[tuple[Choice, float]](), set[Choice](), deque[Choice]()
    while best not in seen:
        choice = Tpe(seed).ask(len(seen), SPACE, told, out, seen)
        assert choice is not None
        seen.add(choice)
        out.append(choice)
        if len(out) == at_once:
            ended = out.popleft()
            told.append((ended, value(ended)))
    return len(seen)


def test_the_best_of_sixty_is_found_sooner_than_by_chance() -> None:
    assert statistics.median(needed(seed, 1) for seed in range(12)) <= 12  # 30 by chance


def test_eight_at_once_need_few_more_than_the_seven_that_are_under_way() -> None:
    one, eight = ([needed(seed, at_once) for seed in range(12)] for at_once in (1, 8))
    assert statistics.median(eight) <= statistics.median(one) + 9


def test_no_more_choices_are_spread_than_give_each_option_one_turn() -> None:
    told = [((option, option), -float(option)) for option in range(4)]
    asked = [Tpe(seed, startup=99).ask(4, {"a": 4, "b": 4}, told, (), dict(told)) for seed in range(6)]
    assert all(choice in {(0, 1), (1, 0)} for choice in asked)  # nearest to the best of those told


def test_a_choice_promises_more_the_better_and_the_less_known_what_resembles_it_is() -> None:
    told = [((0, 0), 3.0), ((0, 1), 2.0), ((1, 0), 2.0), ((1, 2), 0.0), ((2, 1), 0.0)]
    good, bad, new = Surrogate(told).promise([(0, 2), (2, 2), (3, 3)])
    assert good > bad
    assert new > bad
    assert Surrogate(told, [(3, 3)]).promise([(3, 2)]) < Surrogate(told).promise([(3, 2)])
