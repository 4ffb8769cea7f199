"""Every decision survives JSON; nothing else gets in."""

import dataclasses
import json
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.core.canonical import canonical_json
from paretune.core.events import KINDS, RECORD_VERSION, Decision, RunFinished, from_record, to_record

numbers = st.floats(allow_nan=False, allow_infinity=False)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(),
    int: st.integers(),
    bool: st.booleans(),
    float: numbers,
    list[str]: st.lists(st.text(), max_size=3),
    list[float]: st.lists(numbers),
    list[int]: st.lists(st.integers(), max_size=3),
    float | None: st.none() | numbers,
    dict[str, str]: st.dictionaries(st.text(), st.text(), max_size=3),
    dict[str, float]: st.dictionaries(st.text(), numbers, max_size=3),
}


def made(kind: type[Any]) -> st.SearchStrategy[Decision]:
    hints = typing.get_type_hints(kind)
    fields = {field.name: VALUES[hints[field.name]] for field in dataclasses.fields(kind)}
    return st.builds(kind, **fields)


@given(st.one_of([made(kind) for kind in KINDS.values()]))
def test_a_decision_is_the_same_after_json(decision: Decision) -> None:
    record = to_record(decision)
    assert (record["kind"], record["version"]) == (decision.kind, RECORD_VERSION)
    again = from_record(json.loads(canonical_json(record)))
    assert type(again) is type(decision)
    assert again == decision


def test_the_union_is_closed_and_each_kind_has_one_class() -> None:
    assert set(KINDS.values()) == set(typing.get_args(Decision))
    assert len(KINDS) == len(typing.get_args(Decision))


@pytest.mark.parametrize(
    "change", [{"kind": "no_such_kind"}, {"kind": None}, {"version": RECORD_VERSION + 1}, {"version": "1"}]
)
def test_an_unknown_kind_and_a_newer_version_are_refused(change: dict[str, Any]) -> None:
    record = to_record(RunFinished(best="c_1", test={}))
    with pytest.raises(ValueError, match=r"unknown decision|of version"):
        from_record(record | change)


@pytest.mark.parametrize("missing", ["kind", "version"])
def test_a_record_without_kind_or_version_is_refused(missing: str) -> None:
    record = to_record(RunFinished(best="c_1", test={}))
    del record[missing]
    with pytest.raises(ValueError, match=r"unknown decision|of version"):
        from_record(record)


def test_a_record_with_wrong_fields_is_refused_alike() -> None:
    record = to_record(RunFinished(best="c_1", test={}))
    del record["test"]
    with pytest.raises(ValueError, match="test"):
        from_record(record)
