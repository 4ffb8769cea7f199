"""Choices: repeatable, never twice, spread first, and better than chance."""

from __future__ import annotations

import statistics
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

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


def test_the_best_of_sixty_is_found_sooner_than_by_chance() -> None:
    best = max(product(*map(range, SPACE.values())), key=value)
    needed = []
    for seed in range(12):
        tpe, told, seen = Tpe(seed, startup=6), list[tuple[Choice, float]](), set[Choice]()
        while best not in seen:
            choice = tpe.ask(len(seen), SPACE, told, (), seen)
            assert choice is not None
            seen.add(choice)
            told.append((choice, value(choice)))
        needed.append(len(seen))
    assert statistics.median(needed) <= 20  # 30 by chance
