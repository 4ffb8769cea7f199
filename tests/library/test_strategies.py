"""Strategies: parents, components, minibatches, tasks, acceptance, selection, policy."""

import os
import random
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.core.errors import Misconfigured
from paretune.library.acceptance import ImprovementOrEqualAcceptance, StrictImprovementAcceptance
from paretune.library.components import AllReflectionComponentSelector, RoundRobinReflectionComponentSelector
from paretune.library.loaders import ListDataLoader
from paretune.library.policies import FullEvaluationPolicy
from paretune.library.proposals import CandidateProposal
from paretune.library.samplers import EpochShuffledBatchSampler
from paretune.library.sampling import (
    IndependentSampling,
    PxNSampling,
    SameParentSampling,
    SamplingStrategy,
    SingleMutationSampling,
)
from paretune.library.selection import AllImprovements, BestImprovement, SelectionStrategy, TopKImprovements
from paretune.library.selectors import (
    CurrentBestCandidateSelector,
    EpsilonGreedyCandidateSelector,
    ParetoCandidateSelector,
    TopKParetoCandidateSelector,
    draw,
    essential,
)
from paretune.library.state import GEPAState
from support.gepa_states import at, state_of

# -- parents ----------------------------------------------------------------------------------------

PROGRAMS = 6
fronts = st.dictionaries(
    st.sampled_from("abcdefg"), st.sets(st.integers(0, PROGRAMS - 1), min_size=1), min_size=1
)
scores = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=PROGRAMS, max_size=PROGRAMS)


def by_restarting(held_by: dict[str, set[int]], means: list[float]) -> dict[str, set[int]]:
    """The rule as it is usually told: drop the worst that can be spared, and begin again."""
    gone: set[int] = set()
    while True:
        on_some = {p for held in held_by.values() for p in held} - gone
        spare = [
            p
            for p in sorted(on_some, key=lambda p: (means[p], p))
            if all(held - gone - {p} for held in held_by.values() if p in held)
        ]
        if not spare:
            return {cell: held - gone for cell, held in held_by.items()}
        gone.add(spare[0])


@given(fronts, scores)
def test_one_pass_spares_whom_restarting_would(held_by: dict[str, set[int]], means: list[float]) -> None:
    left = essential(held_by, means)
    assert left == by_restarting(held_by, means)
    assert all(left.values())


def test_a_parent_is_drawn_by_the_number_of_its_fronts() -> None:
    # 0 is spared: whatever it leads, 1 leads too. 1 is on three fronts then, 2 on two.
    held_by = {"w": {0, 1}, "x": {0, 1}, "y": {2}, "z": {1, 2}}
    rng = random.Random(7)
    drawn = Counter(draw(held_by, [0.1, 0.2, 0.3], rng) for _ in range(5_000))
    assert set(drawn) == {1, 2}
    assert drawn[1] / 5_000 == pytest.approx(3 / 5, abs=0.03)


def test_without_a_front_the_best_is_taken_and_nothing_raises() -> None:
    state = state_of({}, {})
    assert ParetoCandidateSelector(random.Random(0)).select_candidate_idx(state) == 0
    assert TopKParetoCandidateSelector(1, None).select_candidate_idx(state) == 0


def test_the_best_of_equals_is_the_oldest_and_what_is_no_number_is_behind() -> None:
    state = state_of({0: float("nan")}, {0: 0.5}, {0: 0.5})
    assert CurrentBestCandidateSelector().select_candidate_idx(state) == 1
    assert FullEvaluationPolicy[Any, Any]().get_best_program(state) == 1


def test_top_k_looks_at_no_others() -> None:
    # 2 leads an example of its own, but its mean is the worst.
    state = state_of({0: 1.0, 1: 0.0, 2: 0.6}, {0: 0.9, 1: 0.9, 2: 0.0}, {0: 0.0, 1: 0.0, 2: 0.7})
    selector = TopKParetoCandidateSelector(2, random.Random(3))
    assert {selector.select_candidate_idx(state) for _ in range(50)} == {0, 1}


@pytest.mark.parametrize(("epsilon", "drawn"), [(0.0, {1}), (1.0, {0, 1, 2})])
def test_epsilon_is_the_share_of_blind_draws(epsilon: float, drawn: set[int]) -> None:
    state = state_of({0: 0.1}, {0: 0.9}, {0: 0.2})
    selector = EpsilonGreedyCandidateSelector(epsilon, random.Random(5))
    assert {selector.select_candidate_idx(state) for _ in range(60)} == drawn


def test_draws_do_not_depend_on_the_hash_seed() -> None:
    program = (
        "import random\n"
        "from paretune.library.selectors import draw\n"
        "fronts = {name: {1, 17, 33, 64} - {n} for n, name in enumerate(['a', 'bb', 'ccc', 'd' * 9])}\n"
        "rng = random.Random(1)\n"
        "print([draw(fronts, [0.5] * 65, rng) for _ in range(40)])\n"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(said) == 1


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: EpsilonGreedyCandidateSelector(1.5, None), "epsilon"),
        (lambda: TopKParetoCandidateSelector(0, None), "k"),
        (lambda: EpochShuffledBatchSampler(0), "minibatch_size"),
        (lambda: SameParentSampling(0), "n"),
        (lambda: PxNSampling(0, 1), "p"),
        (lambda: TopKImprovements(0), "k"),
    ],
)
def test_what_cannot_be_meant_names_its_parameter(make: Any, field: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        make()
    assert refused.value.field == field


# -- components -------------------------------------------------------------------------------------


def test_components_take_turns_per_candidate() -> None:
    state = state_of({0: 0.0}, {0: 1.0}, texts=("x", "y", "z"))
    turn = RoundRobinReflectionComponentSelector()
    names = [turn(state, [], [], 1, state.program_candidates[1]) for _ in range(4)]
    assert names == [["x"], ["y"], ["z"], ["x"]]
    assert turn(state, [], [], 0, state.program_candidates[0]) == ["x"]


def test_all_components_at_once() -> None:
    state = state_of({0: 0.0}, texts=("x", "y"))
    assert AllReflectionComponentSelector()(state, [], [], 0, state.program_candidates[0]) == ["x", "y"]


# -- minibatches ------------------------------------------------------------------------------------


@given(count=st.integers(1, 17), size=st.integers(1, 6), seed=st.integers(0, 9))
def test_each_example_is_seen_once_an_epoch(count: int, size: int, seed: int) -> None:
    loader, state = ListDataLoader(list("x" * count)), state_of({0: 0.0})
    sampler = EpochShuffledBatchSampler[int, str](size, random.Random(seed))
    parts = -(-count // size)
    for epoch in range(3):
        drawn = [sampler.next_minibatch_ids(loader, at(state, epoch * parts + p)) for p in range(parts)]
        assert all(len(ids) == min(size, count) and len(set(ids)) == len(ids) for ids in drawn)
        assert [place for ids in drawn for place in ids][:count] != []
        assert sorted([place for ids in drawn for place in ids][:count]) == list(range(count))


def test_a_resumed_run_draws_what_it_would_have_drawn() -> None:
    loader, state = ListDataLoader(list(range(10))), state_of({0: 0.0})
    whole = EpochShuffledBatchSampler[int, int](3, random.Random(4))
    resumed = EpochShuffledBatchSampler[int, int](3, random.Random(4))
    drawn = [whole.next_minibatch_ids(loader, at(state, i)) for i in range(9)]
    assert [resumed.next_minibatch_ids(loader, at(state, i)) for i in range(5, 9)] == drawn[5:]


def test_two_draws_of_one_iteration_share_no_example() -> None:
    loader, state = ListDataLoader(list(range(9))), at(state_of({0: 0.0}), 2)
    sampler = EpochShuffledBatchSampler[int, int](3)
    drawn = [sampler.next_minibatch_ids(loader, state) for _ in range(3)]
    assert sorted(place for ids in drawn for place in ids) == list(range(9))


def test_no_examples_no_minibatch() -> None:
    with pytest.raises(ValueError, match="no training examples"):
        EpochShuffledBatchSampler[int, int](3).next_minibatch_ids(ListDataLoader([]), state_of({0: 0.0}))


# -- tasks ------------------------------------------------------------------------------------------


class Counting:
    """Selects and samples in turn, so that the order of calls shows."""

    def __init__(self) -> None:
        self.parents = self.batches = -1

    def select_candidate_idx(self, state: GEPAState[Any, Any]) -> int:
        self.parents += 1
        return self.parents

    def next_minibatch_ids(self, loader: Any, state: Any) -> list[int]:
        self.batches += 1
        return [self.batches]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (SingleMutationSampling(), [(0, 0)]),
        (SameParentSampling(2), [(0, 0), (0, 1)]),
        (IndependentSampling(2), [(0, 0), (1, 1)]),
        (PxNSampling(2, 2), [(0, 0), (0, 1), (1, 2), (1, 3)]),
    ],
)
def test_tasks_pair_parents_and_minibatches(strategy: SamplingStrategy, expected: list[Any]) -> None:
    state, both = state_of({0: 0.0}, {0: 1.0}), Counting()
    tasks = strategy.sample_tasks(state, both, both, ListDataLoader(["A", "B", "C", "D"]))
    assert [(t.parent_idx, t.minibatch_ids[0]) for t in tasks] == expected
    assert [t.minibatch[0] for t in tasks] == ["ABCD"[batch] for _, batch in expected]
    assert [t.parent_candidate for t in tasks] == [state.program_candidates[p] for p, _ in expected]


# -- acceptance and selection -------------------------------------------------------------------------


def proposal(name: str, before: list[float] | None, after: list[float] | None) -> CandidateProposal[int]:
    return CandidateProposal(
        {"name": name}, [0], subsample_scores_before=before, subsample_scores_after=after
    )


@pytest.mark.parametrize(
    ("before", "after", "strict", "equal"),
    [([1, 0], [1, 0], False, True), ([1, 0], [1, 1], True, True), ([1, 1], [1, 0], False, False)],
)
def test_acceptance_compares_sums(before: Any, after: Any, strict: bool, equal: bool) -> None:
    child, state = proposal("c", before, after), state_of({0: 0.0})
    assert StrictImprovementAcceptance().should_accept(child, state) is strict
    assert ImprovementOrEqualAcceptance().should_accept(child, state) is equal


@pytest.mark.parametrize(
    ("strategy", "names"),
    [(AllImprovements(), "abde"), (TopKImprovements(2), "bd"), (BestImprovement(), "b")],
)
def test_selection_goes_by_what_was_gained(strategy: SelectionStrategy, names: str) -> None:
    children = [
        proposal("a", [5], [6]),
        proposal("b", [0], [3]),
        proposal("c", [1], [1]),
        proposal("d", [0], [3]),
        proposal("e", [9], [10.5]),
    ]
    picked = strategy.select(children, state_of({0: 0.0}), StrictImprovementAcceptance())
    assert "".join(p.candidate["name"] for p in picked) == names
    assert strategy.select(children[2:3], state_of({0: 0.0}), StrictImprovementAcceptance()) == []


# -- policy -----------------------------------------------------------------------------------------


def test_everybody_is_validated_on_everything_and_coverage_breaks_ties() -> None:
    policy = FullEvaluationPolicy[int, str]()
    state = state_of({0: 0.5}, {0: 0.5, 1: 0.5}, {0: 0.5, 1: 0.5})
    assert policy.get_eval_batch(ListDataLoader(["a", "b"]), state) == [0, 1]
    assert policy.get_best_program(state) == 1
    assert policy.get_valset_score(1, state) == 0.5
