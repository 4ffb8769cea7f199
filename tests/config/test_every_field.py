"""Every field of the job document changes what the engine gets, is refused, or is listed with the reason.

A row of `support.field_changes` is a dotted field with a value that differs from what stands there; what the
engine gets of the two documents must differ. A field that is in none of the tables fails the test.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import paretune
from paretune.algorithms.mipro.settings import Bootstrap, MiproSettings, Stage
from paretune.algorithms.settings import GepaSettings, Pipeline, PoolSettings, Rungs
from paretune.config import PromptLearningConfig, SeedRange, not_available
from paretune.config.base import Section, _sections_in
from paretune.core.budget import Limits
from paretune.core.errors import Misconfigured
from support.engine_view import engine_view
from support.field_changes import CHANGES, ENVIRONMENT, GEPA, IGNORED, JUDGE, MIPRO, SPEC

TESTS = Path(__file__).parents[1]

SEEN = {
    # Seed 001's job API, of which nothing is a field of the document: who tests it.
    "PromptLearningJob, its arguments": "sdk/test_arguments.py::test_argument",
    "PromptLearningJob.from_config(overrides)": (
        "sdk/test_submit.py::test_overrides_are_merged_and_told_without_keys"
    ),
    "PromptLearningJob.submit": "sdk/test_submit.py::test_each_class_submits_in_its_dialect",
    "PromptLearningJob.submit, ValueError": (
        "sdk/test_submit.py::test_a_task_app_that_is_not_well_is_a_value_error_that_says_what_to_do"
    ),
    "PromptLearningJob.poll_until_complete(on_status)": (
        "sdk/test_poll.py::test_each_status_is_told_when_it_is_read"
    ),
    "PromptLearningJob.poll_until_complete(timeout)": (
        "sdk/test_poll.py::test_a_job_that_outlives_the_wait_is_a_timeout_error"
    ),
    "PromptLearningJob.get_results": "sdk/test_results.py::test_results_are_the_same_in_either_family",
    "PromptLearningJob.get_best_prompt_text(rank)": "sdk/test_results.py::test_ranks_begin_with_one",
    "PromptLearningJobPoller.poll_job": "sdk/test_poll.py::test_the_poller_waits_as_long_as_it_was_told",
    "judge.synth_verifier_id": (
        "engine/test_judging.py::test_a_registered_verifier_is_written_into_the_document"
    ),
    "MIPROConfig.simple": "config/test_mipro.py::test_what_a_budget_lays_out",
    "resolve_adaptive_pool_config": "config/test_adaptive.py::test_overrides_go_before_the_preset",
    "resolve_adaptive_batch_config": "config/test_adaptive.py::test_batch_presets",
}
"""What is no field, or only seen in a run -> the test that sees it."""


# -- two documents ---------------------------------------------------------------------------------


def documents(field: str, tmp_path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    change = CHANGES[field]
    (tmp_path / "spec.md").write_text(SPEC)
    of_mipro = any(name.split(".")[0] == "mipro" for name in (field, *change.given))
    first = copy.deepcopy(MIPRO if of_mipro else GEPA)
    for name, value in change.given.items():
        _put(first, name, value, tmp_path)
    second = copy.deepcopy(first)
    for name, value in {field: change.value, **change.too}.items():
        _put(second, name, value, tmp_path)
    return first, second


def _put(data: dict[str, Any], name: str, value: Any, tmp_path: Path) -> None:
    *path, key = name.strip(".").split(".")
    place: Any = data
    for part in path:
        place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
    value = str(tmp_path / "spec.md") if value == "@SPEC" else copy.deepcopy(value)
    if isinstance(value, dict) and value.get("spec_path") == "@SPEC":
        value["spec_path"] = str(tmp_path / "spec.md")
    place[int(key) if isinstance(place, list) else key] = value


@pytest.mark.parametrize("field", CHANGES)
def test_a_field_that_changes_is_heard(field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = documents(field, tmp_path)
    if CHANGES[field].refused:
        with pytest.raises(Misconfigured, match=CHANGES[field].refused):
            PromptLearningConfig.from_mapping(second)
        return
    if missing := not_available(PromptLearningConfig.from_mapping(second)):
        assert any(field.strip(".").startswith(name.removeprefix("prompt_learning.")) for name in missing)
        return
    one, other = (engine_view(data, ENVIRONMENT, monkeypatch) for data in (first, second))
    assert [part for part, text in one.items() if text != other.get(part)]


def test_the_same_document_gives_the_same_view(monkeypatch: pytest.MonkeyPatch) -> None:
    data = GEPA | {"judge": JUDGE}
    assert engine_view(data, ENVIRONMENT, monkeypatch) == engine_view(data, ENVIRONMENT, monkeypatch)


# -- all there are ---------------------------------------------------------------------------------


def _passed(field: str) -> Iterator[str]:
    """`Class.field` of every section on the way, as the class that declares the field."""
    section: type[Section] = PromptLearningConfig
    for part in field.strip(".").split("."):
        if part.isdigit():
            continue
        yield _name(section, part)
        inner = _sections_in(section.model_fields[part].annotation)
        section = inner[0] if inner else SeedRange


def _name(section: type[Section], field: str) -> str:
    return f"{_declares(section, field).__name__}.{field}"


def _declares(section: type[Section], field: str) -> type[Section]:
    return next(k for k in reversed(section.__mro__) if issubclass(k, Section) and field in k.model_fields)


def _below(section: type[Section]) -> Iterator[type[Section]]:
    for kind in section.__subclasses__():
        yield kind
        yield from _below(kind)


def test_no_field_is_forgotten() -> None:
    every = {_name(kind, field) for kind in _below(Section) for field in kind.model_fields}
    exercised = {name for field in CHANGES for name in _passed(field)}
    assert sorted(every - exercised - IGNORED.keys()) == []
    assert sorted(IGNORED.keys() & exercised) == []
    assert sorted(IGNORED.keys() - every) == []


def test_what_is_ignored_is_documented() -> None:
    told = (TESTS.parent / "docs" / "job.md").read_text()
    listed = told.split("## Read and not used")[1].split("\n## ")[0]
    fields = [name.partition(".")[2] for name in IGNORED]
    assert [field for field in fields if not re.search(rf"[`.]{field}`", listed)] == []
    assert len(IGNORED) <= 12


@pytest.mark.parametrize("what", SEEN)
def test_what_only_a_run_shows_has_its_test(what: str) -> None:
    file, _, name = SEEN[what].partition("::")
    assert re.search(rf"^(async )?def {name}\(", (TESTS / file).read_text(), re.MULTILINE)


SETTINGS = (GepaSettings, Pipeline, PoolSettings, Rungs, MiproSettings, Stage, Bootstrap, Limits)


@pytest.mark.parametrize("kind", SETTINGS, ids=lambda kind: kind.__name__)
def test_what_a_search_is_told_it_reads(kind: type[Any]) -> None:
    """A field that reaches the settings, and that no search reads, would change nothing either."""
    home = Path(paretune.__file__).parent
    files = [*(home / "algorithms").rglob("*.py"), home / "core" / "budget.py", home / "engine" / "run.py"]
    code = "\n".join(file.read_text() for file in files)
    unread = [f.name for f in dataclasses.fields(kind) if not re.search(rf"\.{f.name}\b", code)]
    assert unread == []
