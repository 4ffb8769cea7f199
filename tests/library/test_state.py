"""What strategies see of a run."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.core.errors import Misconfigured
from paretune.library.state import (
    EvaluationCache,
    FrontierType,
    GEPAState,
    ValsetEvaluation,
    initialize_gepa_state,
)

SCORES = st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0])
OBJECTIVES = st.dictionaries(st.sampled_from("xyz"), SCORES, min_size=1)


@st.composite
def evaluations(draw: st.DrawFn, least: int = 1) -> ValsetEvaluation[str, int]:
    scores = draw(st.dictionaries(st.integers(0, 5), SCORES, min_size=least))
    return ValsetEvaluation(
        {val_id: f"{draw(st.integers(0, 99))}" for val_id in scores},
        scores,
        {val_id: draw(OBJECTIVES) for val_id in scores},
    )


def fronts(columns: list[dict[Any, float]]) -> dict[Any, tuple[float, set[int]]]:
    """Cell -> best score and who has it, from all at once."""
    found = {}
    for cell in {cell for column in columns for cell in column}:
        best = max(column[cell] for column in columns if cell in column)
        found[cell] = best, {p for p, column in enumerate(columns) if column.get(cell) == best}
    return found


def means(evaluation: ValsetEvaluation[str, int]) -> dict[str, float]:
    rows = (evaluation.objective_scores_by_val_id or {}).values()
    return {
        name: sum(row[name] for row in rows if name in row) / sum(name in row for row in rows)
        for name in {name for row in rows for name in row}
    }


@given(st.sampled_from(get_args(FrontierType)), st.lists(evaluations(), min_size=1, max_size=8), st.data())
def test_what_is_kept_step_by_step_is_what_a_recount_finds(
    frontier_type: FrontierType, evaluated: list[ValsetEvaluation[str, int]], data: st.DataObject
) -> None:
    state = GEPAState({"a": "0", "b": "0"}, evaluated[0], True, frontier_type)
    for number, evaluation in enumerate(evaluated[1:], start=1):
        parents = data.draw(st.lists(st.integers(0, number - 1), min_size=1, max_size=2, unique=True))
        pointers = state.named_predictor_id_to_update_next_for_program_candidate
        pointers[parents[0]] = data.draw(st.integers(0, 1))
        assert state._admit({"a": f"{number}", "b": "0"}, parents, evaluation, 10 * number) == number
        assert pointers[number] == max(pointers[parent] for parent in parents)
        assert state.parent_program_for_candidate[number] == parents

    rows = [evaluation.scores_by_val_id for evaluation in evaluated]
    by_example = fronts(list(rows))
    by_objective = fronts([means(evaluation) for evaluation in evaluated])
    pairs = [
        {
            (v, name): score
            for v, row in (one.objective_scores_by_val_id or {}).items()
            for name, score in row.items()
        }
        for one in evaluated
    ]
    by_pair = fronts(list(pairs)) if frontier_type == "cartesian" else {}
    kept: tuple[tuple[dict[Any, float], dict[Any, set[int]], dict[Any, Any]], ...] = (
        (state.pareto_front_valset, state.program_at_pareto_front_valset, by_example),
        (state.objective_pareto_front, state.program_at_pareto_front_objectives, by_objective),
        (state.pareto_front_cartesian, state.program_at_pareto_front_cartesian, by_pair),
    )
    for best, programs, recounted in kept:
        assert {cell: (best[cell], programs[cell]) for cell in programs} == recounted
        assert best.keys() == programs.keys()
    assert (
        state.get_pareto_front_mapping()
        == {
            "instance": {v: held for v, (_, held) in by_example.items()},
            "objective": {name: held for name, (_, held) in by_objective.items()},
            "hybrid": {("val_id", v): held for v, (_, held) in by_example.items()}
            | {("objective", name): held for name, (_, held) in by_objective.items()},
            "cartesian": {("cartesian", *pair): held for pair, (_, held) in by_pair.items()},
        }[frontier_type]
    )
    assert state.program_full_scores_val_set == [sum(row.values()) / len(row) for row in rows]
    assert state.per_program_tracked_scores == state.program_full_scores_val_set
    assert state.get_program_average_val_subset(len(rows) - 1) == (
        state.program_full_scores_val_set[-1],
        len(rows[-1]),
    )
    assert state.valset_evaluations == {
        v: [p for p, row in enumerate(rows) if v in row] for row in rows for v in row
    }
    assert state.best_outputs_valset == {
        v: [(p, evaluated[p].outputs_by_val_id[v]) for p in sorted(held)]
        for v, (_, held) in by_example.items()
    }
    assert state.num_full_ds_evals == len(rows)
    assert state.is_consistent()


def seeded(**given: Any) -> GEPAState[str, int]:
    return GEPAState({"a": "A"}, ValsetEvaluation({0: "o", 1: "p"}, {0: 0.5, 1: 1.0}), **given)


def test_the_seed_counts_and_so_does_what_is_spent() -> None:
    state, heard = seeded(), list[tuple[int, int]]()
    assert (state.i, state.total_num_evals, state.num_full_ds_evals) == (-1, 2, 1)
    assert (state.parent_program_for_candidate, state.num_metric_calls_by_discovery) == ([[None]], [0])
    state.add_budget_hook(lambda total, added: heard.append((total, added)))
    state._spend(3)
    state.increment_evals(0)
    assert heard == [(5, 3), (5, 0)]
    state._advance()
    state._advance()
    assert (state.i, state.full_program_trace) == (1, [{"i": 0}, {"i": 1}])


def test_a_look_changes_nothing() -> None:
    state = seeded(track_best_outputs=True)
    state.get_pareto_front_mapping()[0].add(7)
    state.program_full_scores_val_set.append(7.0)
    assert state.valset_evaluations[99] == []
    assert (99 in state.valset_evaluations, state.is_consistent()) == (False, True)
    assert state.program_at_pareto_front_valset == {0: {0}, 1: {0}}


def test_what_was_not_measured_leads_nothing() -> None:
    state = seeded()
    state._admit({"a": "B"}, [0], ValsetEvaluation({}, {}), 2)
    state._admit({"a": "C"}, [0], ValsetEvaluation({0: "o"}, {0: math.nan, 1: 0.5}), 3)
    assert state.program_full_scores_val_set[:2] == [0.75, -math.inf]
    assert state.get_program_average_val_subset(1) == (-math.inf, 0)
    assert state.program_at_pareto_front_valset == {0: {0}, 1: {0}}
    state.program_candidates.pop()
    assert not state.is_consistent()


def test_what_does_not_fit_is_refused_and_leaves_no_trace() -> None:
    with pytest.raises(ValueError, match=r"frontier_type: 'hybrid' needs objective_scores.*'instance'"):
        seeded(frontier_type="hybrid")
    with pytest.raises(ValueError, match="one of instance, objective, hybrid, cartesian, not 'nope'"):
        seeded(frontier_type="nope")
    named = ValsetEvaluation({0: "o"}, {0: 0.5}, {0: {"x": 1.0}})
    state = GEPAState({"a": "A"}, named, frontier_type="cartesian")
    with pytest.raises(Misconfigured):
        state._admit({"a": "B"}, [0], ValsetEvaluation({0: "o"}, {0: 1.0}), 2)
    for stranger in (1, -1):
        with pytest.raises(ValueError, match=f"no program {stranger}"):
            state._admit({"a": "B"}, [stranger], named, 2)
    assert (len(state.program_candidates), state.is_consistent()) == (1, True)
    assert state.pareto_front_valset == {0: 0.5}


def test_nothing_is_saved_or_loaded() -> None:
    state = seeded()
    state.save(None)
    with pytest.raises(Misconfigured, match="is not saved: the engine keeps"):
        state.save("runs")
    with pytest.raises(Misconfigured, match="a pickle executes what is in it"):
        GEPAState.load("runs")
    with pytest.raises(Misconfigured, match="a pickle executes what is in it"):
        initialize_gepa_state("runs", None, {"a": "A"}, ValsetEvaluation({}, {}))
    fresh = initialize_gepa_state(None, None, {"a": "A"}, ValsetEvaluation({0: "o"}, {0: 0.5}))
    assert fresh.program_full_scores_val_set == [0.5]


def test_a_cache_answers_what_it_knows_and_never_for_another_split() -> None:
    asked = list[list[int]]()

    def evaluate(ids: list[int], candidate: dict[str, str]) -> tuple[list[str], list[float], None]:
        asked.append(ids)
        return [f"{candidate['a']}{val_id}" for val_id in ids], [float(val_id) for val_id in ids], None

    cache: EvaluationCache[str, int] = EvaluationCache()
    cache.put({"b": "B", "a": "A"}, 1, "known", 0.5, {"x": 1.0})
    candidate = {"a": "A", "b": "B"}
    state = seeded(evaluation_cache=cache)
    assert state.cached_evaluate(candidate, [2, 1], list, evaluate) == ([2.0, 0.5], 1)
    assert state.cached_evaluate_full(candidate, [1, 2], list, evaluate) == (
        {1: "known", 2: "A2"},
        {1: 0.5, 2: 2.0},
        {1: {"x": 1.0}},
        0,
    )
    assert cache.get(candidate, 1, split="val") is None
    assert cache.evaluate_with_cache_full(candidate, [1], list, evaluate, split="val")[3] == 1
    assert seeded().cached_evaluate(candidate, [1], list, evaluate) == ([1.0], 1)
    assert asked == [[2], [1], [1]]
    with pytest.raises(ValueError, match="shorter"):
        cache.put_batch(candidate, [7, 8], ["o"], [1.0, 1.0])
    assert cache.get(candidate, 7) is None
