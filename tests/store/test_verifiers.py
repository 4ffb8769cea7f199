"""Registered verifiers, in a file and in a database."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from paretune.core.errors import Misconfigured
from paretune.store import SqlJobs, SqlStore, SqlVerifiers, UnknownVerifier

RUBRIC = {"rubric": {"outcome": [{"id": "right", "description": "It is right. \ud800"}]}}
OTHER = {"rubric": {"outcome": [{"id": "right", "description": "It is."}]}}


@pytest.fixture
def verifiers(place: Path | str) -> Iterator[SqlVerifiers]:
    made = SqlVerifiers(place)
    yield made
    made.close()


def test_versions_count_up_and_the_same_is_no_new_one(verifiers: SqlVerifiers) -> None:
    first = verifiers.add("words", "rubric", RUBRIC, {"owner": "me"})
    assert verifiers.add("words", "rubric", RUBRIC) == first
    second = verifiers.add("words", "rubric", OTHER)
    assert [first.reference, second.reference] == ["words@1", "words@2"]
    third = verifiers.add("words", "rubric", RUBRIC)
    assert third.version == 3
    assert [verifiers.find(r) for r in ("words@1", first.id, "words", "words@2")] == [
        first,
        first,
        third,
        second,
    ]
    other = verifiers.add("a", "rubric", OTHER)
    assert verifiers.all() == [other, third, second, first]
    assert verifiers.all("words", 2) == [third, second]


@pytest.mark.parametrize(
    "reference", ["", "nobody", "words@2", "words@", "words@1.0", "@1", "\x00", "vf_1", "a@b@c"]
)
def test_what_is_not_there_is_not_found(verifiers: SqlVerifiers, reference: str) -> None:
    verifiers.add("words", "rubric", RUBRIC)
    with pytest.raises(UnknownVerifier):
        verifiers.find(reference)


@pytest.mark.parametrize("name", ["", "vf_x", "a b", "a@1", "-a", "é", "a" * 81, "a/b"])
def test_what_is_no_name_is_refused(verifiers: SqlVerifiers, name: str) -> None:
    with pytest.raises(Misconfigured):
        verifiers.add(name, "rubric", RUBRIC)


def test_several_may_add_at_once_and_no_version_is_left_out(
    place: Path | str, verifiers: SqlVerifiers
) -> None:
    others = [SqlVerifiers(place) for _ in range(3)]
    documents = [{"rubric": {"outcome": [{"id": str(n), "description": "x"}]}} for n in range(12)]
    with ThreadPoolExecutor(4) as pool:
        adders = [verifiers, *others]
        calls = [partial(adders[n % 4].add, "words", "rubric", one) for n, one in enumerate(documents)]
        made = list(pool.map(lambda call: call(), calls))
    assert sorted(one.version for one in made) == list(range(1, 13))
    for other in others:
        other.close()


def test_it_shares_its_place_with_runs_and_jobs(place: Path | str) -> None:
    for kind in (SqlVerifiers, SqlStore, SqlJobs, SqlVerifiers):
        kind(place).close()
