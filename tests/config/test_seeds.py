"""Seeds: lists and ranges, and how they are dealt into splits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.config import GEPAConfig, PromptLearningConfig, SeedRange
from paretune.core.errors import Misconfigured
from paretune.core.example import Example, Split, Splits
from paretune.engine.resolve.splits import LEAST_FEEDBACK, seed_splits


def gepa(**sections: Any) -> GEPAConfig:
    data = {"algorithm": "gepa", "task_app_url": "http://127.0.0.1:1", "gepa": sections}
    return PromptLearningConfig.from_mapping(data).gepa


def dealt(seeds: Any, *, rng_seed: int = 0, archive: Any = None, **evaluation: Any) -> Splits:
    return seed_splits(
        gepa(rng_seed=rng_seed, archive=archive or {}, evaluation={"seeds": seeds, **evaluation})
    )


def numbers(examples: tuple[Example, ...]) -> list[int]:
    return [int(example.id) for example in examples]


# -- ranges ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_as", "meant"),
    [
        ({"start": 0, "end": 10}, list(range(10))),
        ({"start": 0, "end": 100, "step": 2}, list(range(0, 100, 2))),
        ({"start": 5, "end": 5}, []),
        ([3, 1, 2], [3, 1, 2]),
        (SeedRange(start=0, end=3), [0, 1, 2]),
    ],
)
def test_a_range_is_the_list_it_stands_for(given_as: Any, meant: list[int]) -> None:
    evaluation = gepa(evaluation={"seeds": given_as, "test_pool": given_as}).evaluation
    assert evaluation.seeds == evaluation.test_pool == meant


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"start": 0}, "'start' and 'end'"),
        ({"start": 0, "end": 5, "step": 0}, "zero"),
        ("0-50", "list or a range"),
        (50, "list or a range"),
        ([1, "two"], "integer"),
        ({"start": 0, "end": 5, "stop": 3}, "unknown key"),
        ({"start": "a", "end": 5}, "integer"),
    ],
)
def test_a_wrong_range_is_refused_by_name_in_one_line(wrong: Any, said: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        gepa(evaluation={"seeds": wrong})
    assert caught.value.field.startswith("prompt_learning.gepa.evaluation.seeds")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


# -- dealing -----------------------------------------------------------------------------------------


def test_the_documented_file_deals_half_and_half() -> None:
    splits = dealt({"start": 0, "end": 50}, validation_seeds=[50, 51, 52, 53, 54])
    assert (len(splits.pareto), len(splits.reflect)) == (25, 25)
    assert sorted(numbers(splits.pareto) + numbers(splits.reflect)) == list(range(50))
    assert numbers(splits.select) == [50, 51, 52, 53, 54]
    assert splits.test == ()
    assert {e.split for e in splits.reflect} == {Split.REFLECT}
    assert {e.split for e in splits.pareto} == {Split.PARETO}
    assert {e.split for e in splits.select} == {Split.SELECT}
    assert all(e.data == {"seed": int(e.id)} for e in splits.all())


@given(count=st.integers(4, 80), size=st.integers(1, 100), seed=st.integers(0, 50))
def test_the_size_serves_the_frontier_and_the_rest_the_proposer(count: int, size: int, seed: int) -> None:
    splits = dealt({"start": 0, "end": count}, rng_seed=seed, archive={"pareto_set_size": size})
    pareto, reflect = numbers(splits.pareto), numbers(splits.reflect)
    if size > count:
        assert splits.shared
        assert pareto == reflect == list(range(count))
        assert {e.split for e in splits.reflect} == {Split.PARETO}, "one fact serves both"
        return
    assert sorted(pareto + reflect) == list(range(count))
    assert (pareto, reflect) == (sorted(pareto), sorted(reflect))
    assert len(pareto) == min(size, count - LEAST_FEEDBACK)
    assert len(reflect) >= LEAST_FEEDBACK


@given(count=st.integers(8, 80), fraction=st.floats(0.0, 0.6))
def test_without_a_size_the_fraction_deals(count: int, fraction: float) -> None:
    splits = dealt(list(range(count)), archive={"feedback_fraction": fraction})
    assert len(splits.reflect) == max(LEAST_FEEDBACK, round(fraction * count))
    assert len(splits.pareto) + len(splits.reflect) == count


@pytest.mark.parametrize("count", [1, 2, 3])
def test_with_so_few_that_nothing_can_be_dealt_all_serve_both(count: int) -> None:
    for archive in ({}, {"pareto_set_size": 1}, {"pareto_set_size": 9}):
        splits = dealt(list(range(count)), archive=archive)
        assert splits.shared
        assert numbers(splits.pareto) == list(range(count))


def test_the_runs_seed_draws() -> None:
    drawn = [numbers(dealt({"start": 0, "end": 40}, rng_seed=seed).pareto) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_order_of_the_seeds_is_kept() -> None:
    seeds = [9, 3, 7, 1, 5, 11, 13, 2]
    splits = dealt(seeds, archive={"pareto_set_size": 4})
    for part in (splits.pareto, splits.reflect):
        assert numbers(part) == [seed for seed in seeds if seed in numbers(part)]


def test_either_spelling_names_the_split() -> None:
    evaluation = {"train_seeds": list(range(10)), "val_seeds": [20, 21], "test_pool": [30]}
    splits = seed_splits(gepa(evaluation=evaluation))
    assert len(splits.pareto) + len(splits.reflect) == 10
    assert (numbers(splits.select), numbers(splits.test)) == ([20, 21], [30])


@pytest.mark.parametrize(
    ("evaluation", "said"),
    [
        ({}, "gepa.evaluation.seeds"),
        ({"seeds": []}, "gepa.evaluation.seeds"),
        ({"seeds": [1, 2], "train_seeds": [3]}, "gepa.evaluation.train_seeds"),
        ({"seeds": [1, 2], "validation_seeds": [3], "val_seeds": [4]}, "gepa.evaluation.validation_seeds"),
        ({"seeds": list(range(9)), "validation_seeds": [7, 8, 9]}, "7, 8"),
        ({"seeds": list(range(9)), "test_pool": [0, 30]}, "share the examples 0;"),
        ({"seeds": list(range(9)), "validation_seeds": [20], "test_pool": [20]}, "share the examples 20;"),
        ({"seeds": [1, 2, 3, 4, 5, 1]}, "evaluation.seeds: seed 1 is listed twice"),
        ({"seeds": list(range(9)), "test_pool": [20, 20]}, "evaluation.test_pool: seed 20 is listed twice"),
    ],
)
def test_what_does_not_fit_is_refused_and_named(evaluation: dict[str, Any], said: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        seed_splits(gepa(evaluation=evaluation))
    assert said in str(caught.value)
