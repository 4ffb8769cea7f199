"""MIPRO's parts: sets of demonstrations, options, and estimates that know how much stands behind them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretune.algorithms.mipro.demos import demonstration_sets, labelled, qualified
from paretune.algorithms.mipro.effects import Effects
from paretune.algorithms.mipro.options import Options
from paretune.algorithms.mipro.settings import Bootstrap, MiproSettings, Stage
from paretune.algorithms.mipro.trials import Trials, Tried
from paretune.core.candidate import Candidate
from paretune.core.demonstrations import COMPONENT, NONE, Demonstration
from paretune.core.example import Example, Split, Splits
from paretune.core.rollout import Answer, Identity, Rollout, RolloutKey

SEED = Candidate({"system": "Answer.", "user": "{question}", COMPONENT: NONE})


def rollout(number: int, reward: float, trace: object = None, **texts: str) -> Rollout:
    key = RolloutKey(SEED.id, str(number), Split.REFLECT, 0, Identity("t", "1", "p"))
    told = {"input": f"in {number}", "output": f"out {number}", "expected": f"gold {number}"} | texts
    return Rollout(key, Answer(reward, trace=trace, **told))  # type: ignore[arg-type]


def test_rollouts_from_the_threshold_on_qualify_with_the_models_own_answer() -> None:
    outcomes = [rollout(0, 1.0), rollout(1, 0.8), rollout(2, 0.79), rollout(3, 1.0, output=" ")]
    own = qualified(outcomes, 0.8, "", ())
    assert [(d.example, d.input, d.output) for d in own] == [("0", "in 0", "out 0"), ("1", "in 1", "out 1")]
    expected = labelled(outcomes, "", ())
    assert [d.output for d in expected] == ["gold 0", "gold 1", "gold 2", "gold 3"]
    assert {d.source for d in own} == {"bootstrapped"}
    assert {d.source for d in expected} == {"labelled"}


def test_an_example_that_a_container_would_fill_is_not_shown() -> None:
    outcomes = [rollout(0, 1.0, input="what is {question} here?"), rollout(1, 1.0)]
    assert [d.example for d in qualified(outcomes, 0.5, "", ("question",))] == ["1"]


def test_a_stages_demonstrations_come_from_the_trace() -> None:
    trace = {"stages": {"find": {"input": "the query", "output": "the page"}}}
    outcomes = [rollout(0, 1.0, trace), rollout(1, 1.0, {"stages": {"other": {}}}), rollout(2, 1.0)]
    assert [(d.input, d.output) for d in qualified(outcomes, 0.5, "find", ())] == [("the query", "the page")]
    assert labelled(outcomes, "find", ()) == []


@given(
    own=st.integers(0, 6),
    expected=st.integers(0, 8),
    bootstrapped=st.integers(0, 4),
    most=st.integers(0, 5),
    count=st.integers(0, 8),
    seed=st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_sets_differ_are_not_empty_and_keep_to_their_sizes(
    own: int, expected: int, bootstrapped: int, most: int, count: int, seed: int
) -> None:
    mine = [Demonstration(f"in {n}", f"own {n}", str(n)) for n in range(own)]
    gold = [Demonstration(f"in {n}", f"gold {n}", str(n), "labelled") for n in range(expected)]
    limits = Bootstrap(bootstrapped=bootstrapped, labelled=most)
    sets = demonstration_sets(mine, gold, limits, count, random.Random(seed))
    assert len(sets) <= count
    assert len(set(sets)) == len(sets)
    for shown in sets:
        assert 1 <= len(shown) <= max(bootstrapped, most, 1)
        assert len({d.example for d in shown}) == len(shown)
        assert sum(d.source == "bootstrapped" for d in shown) <= bootstrapped


def test_option_zero_of_everything_is_the_initial_candidate() -> None:
    stage = Stage("", ("system", "user"), COMPONENT)
    options = Options.of(SEED, MiproSettings((stage,)))
    assert options.candidate(options.first, 3) is SEED
    assert options.dimensions["instruction"].add({"system": "Be brief.", "user": "{question}"}) == 1
    assert options.dimensions["instruction"].add({"system": "Answer.", "user": "{question}"}) is None
    made = options.candidate((1, 0), 3)
    assert made.components["system"] == "Be brief."
    assert (made.parents, made.origin, made.generation) == ((SEED.id,), "trial", 3)
    assert list(made.components) == list(SEED.components)
    assert options.choice(made) == (1, 0)
    assert options.choice(Candidate({**SEED.components, "system": "Else."})) is None


def tried(choice: int, rewards: dict[str, float]) -> Tried:
    return Tried((choice,), Candidate({"system": str(choice)}), times=1, rewards=rewards)


def trials(*combinations: Tried) -> Trials:
    return Trials({one.choice: one for one in combinations})


def test_a_score_of_few_examples_is_believed_less() -> None:
    many = {str(n): 1.0 for n in range(60)}
    found = trials(
        tried(0, dict.fromkeys(many, 0.0)), tried(1, many), tried(2, {str(n): 1.0 for n in range(4)})
    ).estimates()
    assert found[(1,)] > found[(2,)] > found[(0,)]


def test_who_was_asked_harder_examples_does_not_lose_by_it() -> None:
    easy, hard = [f"e{n}" for n in range(30)], [f"h{n}" for n in range(30)]
    both = {**dict.fromkeys(easy, 0.9), **dict.fromkeys(hard, 0.1)}
    better = {**dict.fromkeys(easy, 1.0), **dict.fromkeys(hard, 0.2)}
    on_hard = {e: better[e] for e in hard}
    found = trials(tried(0, both), tried(1, dict(both)), tried(2, on_hard)).estimates()
    assert found[(0,)] == pytest.approx(found[(1,)])
    assert found[(2,)] > found[(0,)] + 0.02


def test_the_best_that_is_neither_settled_nor_out_is_evaluated_in_full_next() -> None:
    best, second, out = tried(0, {"a": 1.0}), tried(1, {"a": 0.5}), tried(2, {"a": 1.0})
    best.settled, out.out = True, 1
    known = trials(best, second, out)
    assert known.best_open() is second
    second.settled = True
    assert known.best_open() is None


def examples(count: int) -> tuple[Example, ...]:
    return tuple(Example(str(n), Split.PARETO) for n in range(count))


def table(worth: dict[tuple[int, int], float], examples: int) -> Trials:
    """Each combination solves the same first part of the examples."""
    return Trials(
        {
            choice: Tried(
                choice, SEED, rewards={str(n): float(n < share * examples) for n in range(examples)}
            )
            for choice, share in worth.items()
        }
    )


def test_what_options_add_says_what_a_combination_is_worth_that_was_never_tried() -> None:
    known = table({(0, 0): 0.1, (1, 0): 0.5, (0, 1): 0.5, (2, 2): 0.1}, 10)
    effects = Effects.of([(one.choice, one.rewards) for one in known])
    assert effects.mean((1, 1)) > effects.mean((1, 0)) > effects.mean((0, 0))
    assert effects.mean((1, 1)) > effects.mean((1, 2)) > effects.mean((2, 2))


def test_the_likeliest_is_one_of_those_asked_for_and_the_same_again() -> None:
    known = table({(0, 0): 0.1, (1, 0): 0.5, (0, 1): 0.5, (2, 2): 0.1}, 40)
    asked = [(0, 0), (1, 1), (2, 2), (3, 2)]
    found = [known.likely(asked, random.Random(n)) for n in range(50)]
    assert found == [known.likely(asked, random.Random(n)) for n in range(50)]
    assert set(found) <= set(asked)
    assert found.count((1, 1)) > 25
    assert known.likely([], random.Random(0)) is None
    assert Trials().likely(asked, random.Random(0)) is None


def test_an_option_that_nobody_tried_may_be_the_best() -> None:
    known = table({(0, 0): 0.1, (1, 0): 0.1}, 10)
    assert any(known.likely([(0, 0), (2, 1)], random.Random(n)) == (2, 1) for n in range(20))


@pytest.mark.parametrize(
    ("rollouts", "first"),
    [(None, 100), (800, 100), (799, 10), (100, 10)],
    ids=["any", "eighth", "less", "least"],
)
def test_the_initial_prompt_takes_an_eighth_of_the_budget_at_most(rollouts: int | None, first: int) -> None:
    splits = Splits((Example("a", Split.REFLECT),), examples(100))
    assert MiproSettings((Stage("", ("system",)),), batch=10).first(splits, rollouts) == first


def test_examples_that_are_asked_for_demonstrations_anyhow_cost_the_initial_prompt_nothing() -> None:
    shared = Splits(examples(100), examples(100))
    assert MiproSettings((Stage("", ("system",)),), batch=10).first(shared, 110) == 100


def test_choices_are_listed_or_drawn() -> None:
    options = Options.of(SEED, MiproSettings((Stage("", ("system", "user"), COMPONENT),)))
    for text in ("Be brief.", "Be kind."):
        options.dimensions["instruction"].add({"system": text, "user": "{question}"})
    options.dimensions[COMPONENT].add({COMPONENT: "one"})
    whole = options.listed(6, random.Random(0))
    assert sorted(whole) == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    drawn = options.listed(5, random.Random(0))
    assert len(drawn) == 5
    assert set(drawn) <= set(whole)
