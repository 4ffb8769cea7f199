"""The result by gepa's names."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError, replace
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.core.statistics import Interval
from paretune.library.result import GEPAResult
from paretune.library.state import GEPAState, ValsetEvaluation
from support.hostile import HOSTILE

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
IDS = st.recursive(
    PLAIN | st.binary(max_size=3) | st.sampled_from(["1", "true", "null", "~", "1 "]),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=2),
    max_leaves=4,
)
OUTPUTS = st.recursive(
    IDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(IDS, inner, max_size=3)
        | st.dictionaries(st.sampled_from(["~", "is", "a"]), inner)
    ),
    max_leaves=6,
)


def two(**other: Any) -> GEPAResult[Any, Any]:
    """Two candidates, the second better on average."""
    known: dict[str, Any] = {
        "candidates": [{"a": "A"}, {"a": "B"}],
        "parents": [[None], [0]],
        "val_aggregate_scores": [0.5, 0.75],
        "val_subscores": [{0: 0.0, 1: 1.0}, {0: 1.0, 1: 0.5}],
        "per_val_instance_best_candidates": {0: {1}, 1: {0}},
        "discovery_eval_counts": [0, 8],
    }
    return GEPAResult(**(known | other))


def through_json(result: GEPAResult[Any, Any]) -> GEPAResult[Any, Any]:
    return GEPAResult.from_dict(json.loads(result.to_json()))


def typed(value: Any) -> Any:
    """Equal only if the types within are, too: 1, 1.0 and True are not."""
    if isinstance(value, dict):
        return dict, [(typed(key), typed(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [typed(item) for item in value]
    if isinstance(value, set | frozenset):
        return type(value), sorted(repr(typed(item)) for item in value)
    return type(value), value


@given(st.lists(IDS, min_size=1, max_size=5), st.data())
def test_json_loses_nothing(val_ids: list[Any], data: st.DataObject) -> None:
    scores = {val_id: data.draw(st.floats(0, 1)) for val_id in val_ids}
    outputs = {val_id: [(1, data.draw(OUTPUTS)), (0, data.draw(OUTPUTS))] for val_id in val_ids}
    result = two(
        parents=[[None], [0, None]],
        val_subscores=[scores, {val_ids[0]: 1}],
        per_val_instance_best_candidates={val_id: {0, 1} for val_id in val_ids},
        val_aggregate_subscores=[{"x": 1.0}, {}],
        per_objective_best_candidates={"x": {0}},
        objective_pareto_front={"x": 1.0},
        best_outputs_valset=outputs,
        total_metric_calls=9,
        num_full_val_evals=2,
        run_dir="runs/1",
        seed=0,
        _str_candidate_key="a",
        costs=[0.25, None],
    )
    for again in (through_json(result), GEPAResult.from_dict(result.to_dict())):
        assert again == result
        assert typed(again.val_subscores) == typed(result.val_subscores)
        assert typed(again.best_outputs_valset) == typed(result.best_outputs_valset)


class Answer(NamedTuple):
    text: str


class Grade(IntEnum):
    GOOD = 3


def test_subclasses_and_numbers_of_other_libraries_come_back_as_their_equals() -> None:
    outputs = {0: [(0, Answer("a")), (1, [np.int64(3), np.float64(0.5), Grade.GOOD])]}
    again = through_json(two(best_outputs_valset=outputs, val_subscores=[{np.int64(0): 1.0}, {1: 0.5}]))
    assert again.best_outputs_valset == outputs
    assert [type(val_id) for row in again.val_subscores for val_id in row] == [int, int]


def test_what_json_cannot_hold_is_said_unless_somebody_has_a_word_for_it(tmp_path: Path) -> None:
    result = two(best_outputs_valset={0: [(1, Path("x"))]})
    assert GEPAResult.from_dict(result.to_dict()) == result
    with pytest.raises(TypeError, match="Path is not JSON serializable"):
        result.to_json()
    text = result.to_json(tmp_path / "result.json", default=str)
    assert (tmp_path / "result.json").read_text("utf-8") == text
    assert GEPAResult.from_dict(json.loads(text)).best_outputs_valset == {0: [(1, "x")]}


def test_documents_of_every_schema_are_read() -> None:
    by_position: dict[str, Any] = {
        "candidates": [{"a": "A"}, {"a": "B"}],
        "parents": [[None], [0]],
        "val_aggregate_scores": [0.5, 0.75],
        "val_subscores": [[0.0, 1.0], [1.0, 0.5]],
        "per_val_instance_best_candidates": [[1], [0]],
        "discovery_eval_counts": [0, 8],
        "best_outputs_valset": [[[1, "o"]], [[0, "p"]]],
        "total_metric_calls": 5,
    }
    expected = two(best_outputs_valset={0: [(1, "o")], 1: [(0, "p")]}, total_metric_calls=5)
    assert GEPAResult.from_dict(by_position) == expected
    for version in (None, 0, 1):
        assert GEPAResult.from_dict(by_position | {"validation_schema_version": version}) == expected
    theirs = expected.to_dict()
    del theirs["paretune"]
    assert theirs["validation_schema_version"] == 2
    assert GEPAResult.from_dict(theirs) == expected
    # Without what we keep beside, a string may have been an integer or not: it stays what it is.
    assert GEPAResult.from_dict(json.loads(json.dumps(theirs))).val_subscores[0] == {"0": 0.0, "1": 1.0}
    with pytest.raises(
        ValueError, match="Unsupported GEPAResult validation schema version 3; max supported is 2"
    ):
        GEPAResult.from_dict(theirs | {"validation_schema_version": 3})


def test_the_document_is_gepas_with_one_key_more() -> None:
    known = two(best_outputs_valset={0: [(1, "o")]}, seed=3).to_dict()
    del known["paretune"]
    assert known == {
        "candidates": [{"a": "A"}, {"a": "B"}],
        "parents": [[None], [0]],
        "val_aggregate_scores": [0.5, 0.75],
        "val_subscores": [{0: 0.0, 1: 1.0}, {0: 1.0, 1: 0.5}],
        "best_outputs_valset": {0: [(1, "o")]},
        "per_val_instance_best_candidates": {0: [1], 1: [0]},
        "val_aggregate_subscores": None,
        "per_objective_best_candidates": None,
        "objective_pareto_front": None,
        "discovery_eval_counts": [0, 8],
        "total_metric_calls": None,
        "num_full_val_evals": None,
        "run_dir": None,
        "seed": 3,
        "_str_candidate_key": None,
        "best_idx": 1,
        "validation_schema_version": 2,
    }


def test_the_best_is_the_first_of_the_highest_means() -> None:
    assert (two().best_idx, two().best_score, two().best_candidate) == (1, 0.75, {"a": "B"})
    assert two(val_aggregate_scores=[0.5, 0.5]).best_idx == 0
    assert two(val_aggregate_scores=[math.nan, -math.inf]).best_idx == 0
    assert two(val_aggregate_scores=[math.nan, 0.1]).best_idx == 1
    assert two(_str_candidate_key="a").best_candidate == "B"
    assert two(_str_candidate_key="b").best_candidate == {"a": "B"}
    assert two().best_refiner_prompt is None
    assert two(candidates=[{}, {"refiner_prompt": "again"}]).best_refiner_prompt == "again"
    assert (two().num_candidates, two().num_val_instances, two(total_metric_calls=7).total_evals) == (2, 2, 7)
    with pytest.raises(ValueError, match="no candidate was scored"):
        _ = two(val_aggregate_scores=[]).best_idx
    with pytest.raises(FrozenInstanceError):
        two().seed = 1  # type: ignore[misc]


def test_a_snapshot_does_not_follow_the_run() -> None:
    first = ValsetEvaluation({0: "o", 1: "p"}, {0: 0.5, 1: 1.0}, {0: {"x": 1.0}})
    state = GEPAState({"a": "A"}, first, track_best_outputs=True)
    taken = GEPAResult.from_state(state, run_dir="r", seed=3, str_candidate_key="a")
    before = replace(taken, **{name: getattr(through_json(taken), name) for name in vars(taken)})
    state._spend(5)
    state._admit({"a": "B"}, [0], ValsetEvaluation({0: "q"}, {0: 0.5}, {0: {"x": 2.0}}), 7)
    assert taken == before
    assert (taken.total_metric_calls, taken.num_full_val_evals, taken.best_candidate) == (2, 1, "A")
    after = GEPAResult.from_state(state)
    assert after.parents == [[None], [0]]
    assert after.best_outputs_valset == {0: [(0, "o"), (1, "q")], 1: [(0, "p")]}
    assert (after.objective_pareto_front, after.per_objective_best_candidates) == ({"x": 2.0}, {"x": {1}})
    assert (after.total_metric_calls, after.num_full_val_evals, after.discovery_eval_counts) == (7, 2, [0, 7])
    plain = GEPAResult.from_state(GEPAState({"a": "A"}, ValsetEvaluation({0: "o"}, {0: 0.5})))
    assert (plain.val_aggregate_subscores, plain.objective_pareto_front) == (None, None)
    assert plain.best_outputs_valset is None


def test_two_candidates_are_compared_on_what_both_were_scored_on() -> None:
    better = {val_id: 0.5 + 0.1 * (val_id % 3) for val_id in range(20)}
    result = two(val_subscores=[dict.fromkeys(range(15), 0.25), better])
    found = result.compare()
    assert (found.before, found.after, found.n, found.gained, found.lost) == (0, 1, 15, 15, 0)
    assert found.difference.mean == pytest.approx(sum(better[v] for v in range(15)) / 15 - 0.25)
    assert found.difference.low > 0
    assert found.p_value < 0.001
    assert found.selected_on
    assert "Selected on these very examples" in str(found)
    assert result.compare(1, 0).difference.mean == pytest.approx(-found.difference.mean)
    with pytest.raises(ValueError, match="#0 and #1 were scored on no example in common"):
        two(val_subscores=[{0: 1.0}, {1: 1.0}]).compare()
    spread = result.interval(1)
    assert spread is not None
    assert spread.mean == pytest.approx(sum(better.values()) / 20)
    assert spread.low < spread.mean < spread.high
    few = two(val_subscores=[{}, {0: 1.0, 1: 0.0}])
    assert few.intervals == [few.interval(0), few.interval(1)]
    assert few.interval(0) is None
    assert few.interval(1) == Interval(0.5, 0.0, 1.0, 2)
    wide = two(val_subscores=[{}, {0: 9.0, 1: 0.0}]).interval(-1)
    assert wide is not None
    assert (wide.mean, wide.low < 0, wide.high > 9) == (4.5, True, True)


def test_a_notebook_shows_texts_as_text() -> None:
    shown = two(candidates=[{HOSTILE: HOSTILE}, {"a": HOSTILE}], costs=[None, 0.5])._repr_html_()
    assert "&lt;img data-hostile" in shown
    assert {part.split(">")[0].split()[0].strip("/") for part in shown.split("<")[1:]} == {
        *("p", "table", "thead", "tbody", "tr", "th", "td", "pre")
    }
    assert "#1 best" in shown
    many = two(
        candidates=[{"a": "A"}] * 50,
        parents=[[None]] * 50,
        val_aggregate_scores=[0.5] * 50,
        val_subscores=[{0: 0.5}] * 50,
        discovery_eval_counts=[0] * 50,
    )
    assert "20 more, with lower means, are left out" in many._repr_html_()


def test_charts_are_drawn_from_the_record() -> None:
    result = two(candidates=[{"a": "A"}, {"a": "<a href='javascript:1'>x</a>"}])
    best, points = result.plot_progress().data
    assert (list(best.y), list(points.y), list(points.x)) == ([0.5, 0.75], [0.5, 0.75], [0, 8])
    assert "<a" not in points.text[1]
    edges = result.plot_tree().data[0]
    assert list(edges.y) == [0, -1, None]
    alone, shared = result.plot_frontier().data
    assert (list(alone.y), list(shared.y)) == ([1, 1], [0, 0])
    named = two(val_aggregate_subscores=[{"x": 1.0, "y": 0.0}, {"x": 0.5, "y": 0.0}]).plot_frontier()
    beaten, ahead = named.data
    assert (list(beaten.x), list(ahead.x)) == ([0.5], [1.0])


def test_dspy_is_needed_only_for_its_own_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "dspy", None)
    with pytest.raises(ImportError, match="pip install dspy"):
        two().to_dspy(object())
