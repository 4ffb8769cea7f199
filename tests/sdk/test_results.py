"""Results and candidates: read from either family of events, whole or in part, never made up."""

from __future__ import annotations

from typing import Any

import pytest

from paretune.sdk import Algorithm, PolicyCandidate, PolicyJobStatus, PolicyOptimizationJob, PromptLearningJob
from paretune.sdk import PolicyOptimizationResult as Result
from paretune.sdk.wait import PAGE
from support.far_server import FarJob, FarServer
from support.twins import Twin

ID = "pl_9c58b711c2644083"
SECTIONS = [{"role": "system", "name": "rules", "content": "Be brief.", "order": 0}]
BEST = {"id": "p", "name": "P", "sections": SECTIONS}
TEXT = "[system | rules]\nBe brief."


def log(*rows: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"seq": place + 1, "type": kind, "data": data} for place, (kind, data) in enumerate(rows)]


OPTIMIZED: list[dict[str, Any]] = [
    {"rank": 1, "score": {"accuracy": 0.9}, "template": {"sections": SECTIONS}}
]
ATTEMPTED: list[dict[str, Any]] = [{"accuracy": 0.4}, {"accuracy": 0.9}]
TOPS: list[dict[str, Any]] = [
    {"rank": 2, "train_accuracy": 0.7, "val_accuracy": 0.6, "full_text": "second"},
    {"rank": 1, "train_accuracy": 0.9, "val_accuracy": 0.8, "full_text": TEXT},
]
CHECKED: list[dict[str, Any]] = [{"rank": 1, "accuracy": 0.8, "is_baseline": False}]
LAST = {"optimized_candidates": OPTIMIZED, "attempted_candidates": ATTEMPTED}

FIRST_FAMILY: list[tuple[str, dict[str, Any]]] = [
    ("prompt.learning.best.prompt", {"best_prompt": BEST, "best_score": 0.9}),
    *(("prompt.learning.top.prompt.content", top) for top in TOPS),
    ("prompt.learning.validation.scored", CHECKED[0]),
    ("prompt.learning.final.results", {**LAST, "best_prompt": BEST, "best_score": 0.9}),
    ("prompt.learning.gepa.complete", {"best_score": 0.9}),
]
SECOND_FAMILY: list[tuple[str, dict[str, Any]]] = [
    ("learning.policy.gepa.candidate.evaluated", {"candidate_id": "on its way"}),
    ("learning.policy.gepa.candidate.new_best", {"best_prompt": BEST, "outcome_objectives": {"reward": 0.9}}),
    *(("learning.policy.gepa.candidate.evaluated", top) for top in TOPS),
    ("learning.policy.gepa.validation.completed", CHECKED[0]),
    ("learning.policy.gepa.job.completed", LAST),
]


@pytest.mark.parametrize(
    "rows",
    [FIRST_FAMILY, SECOND_FAMILY, FIRST_FAMILY + SECOND_FAMILY],
    ids=["first family", "second family", "both"],
)
@pytest.mark.parametrize("kind", [PromptLearningJob, PolicyOptimizationJob])
def test_results_are_the_same_in_either_family(
    far: FarServer, play: Twin, kind: type[PromptLearningJob], rows: list[tuple[str, dict[str, Any]]]
) -> None:
    far.add(FarJob(ID, events=log(*rows)))
    job = kind.from_job_id(ID)
    assert play(job, "get_results") == {
        "best_prompt": BEST,
        "best_score": 0.9,
        "top_prompts": [TOPS[1], TOPS[0]],
        "optimized_candidates": OPTIMIZED,
        "attempted_candidates": ATTEMPTED,
        "validation_results": CHECKED,
    }
    texts = [play(job, "get_best_prompt_text", rank) for rank in (1, 2, 3)]
    assert texts == [TEXT, "second", None]
    assert play(job, "get_best_prompt_text") == TEXT


def test_before_there_are_results_nothing_is_made_up(far: FarServer, play: Twin) -> None:
    far.add(FarJob(ID, statuses=["running"]))
    job = PromptLearningJob.from_job_id(ID)
    found = play(job, "get_results")
    assert (found["best_prompt"], found["best_score"]) == (None, None)
    assert [found[name] for name in list(found)[2:]] == [[], [], [], []]
    assert play(job, "get_best_prompt_text") is None


def test_what_events_do_not_tell_comes_from_the_status(far: FarServer) -> None:
    far.add(FarJob(ID, told={"best_score": 0.0, "best_prompt": BEST}))
    found = PromptLearningJob.from_job_id(ID).get_results()
    assert (found["best_prompt"], found["best_score"]) == (BEST, 0.0)
    assert PromptLearningJob.from_job_id(ID).get_best_prompt_text() == TEXT


@pytest.mark.parametrize(
    ("candidate", "text"),
    [
        (OPTIMIZED[0], TEXT),
        ({"object": {"data": {"sections": SECTIONS}}}, TEXT),
        (
            {"object": {"data": {"text_replacements": [{"new_text": "x", "apply_to_role": "user"}]}}},
            "[user]\nx",
        ),
        ({"pattern": {"messages": [{"role": "system", "pattern": "a {b}"}]}}, "[system]\na {b}"),
        ({"template": {"sections": []}}, None),
        ({"score": 0.5}, None),
    ],
)
def test_winners_that_were_not_told_one_by_one(
    far: FarServer, candidate: dict[str, Any], text: str | None
) -> None:
    far.add(FarJob(ID, events=log(("prompt.learning.final.results", {"optimized_candidates": [candidate]}))))
    assert PromptLearningJob.from_job_id(ID).get_best_prompt_text(rank=1) == text


def test_logs_longer_than_a_page_are_read_to_the_end(far: FarServer, play: Twin) -> None:
    rows: list[tuple[str, dict[str, Any]]] = [("prompt.learning.progress", {})] * PAGE + FIRST_FAMILY
    far.add(FarJob(ID, events=log(*rows)))
    assert play(PromptLearningJob.from_job_id(ID), "get_best_prompt_text") == TEXT
    assert [call.query["since_seq"] for call in far.asked("GET", "/events")] == ["0", "10000", "10006"]


@pytest.mark.parametrize("rank", [0, -1])
def test_ranks_begin_with_one(far: FarServer, play: Twin, rank: int) -> None:
    far.add(FarJob(ID))
    with pytest.raises(ValueError, match="rank begins with 1"):
        play(PromptLearningJob.from_job_id(ID), "get_best_prompt_text", rank)


@pytest.mark.parametrize(
    "data", [None, 3, {"rank": [1]}, {"best_score": float("nan")}, {"best_score": "0.9"}, {"validation": 1}]
)
def test_events_that_make_no_sense_are_passed_over(far: FarServer, data: Any) -> None:
    kinds = {kind for kind, _ in FIRST_FAMILY + SECOND_FAMILY}
    far.add(FarJob(ID, events=log(*((kind, data) for kind in sorted(kinds)))))
    found = PromptLearningJob.from_job_id(ID).get_results()
    assert found["best_score"] is None
    assert found["top_prompts"] == []


@pytest.mark.parametrize(
    ("written", "status"),
    [
        ("success", "succeeded"),
        ("COMPLETED", "succeeded"),
        ("error", "failed"),
        ("canceled", "cancelled"),
        ("in_progress", "running"),
        ("paused", "paused"),
        ("whatever", "pending"),
    ],
)
def test_statuses_in_all_spellings(written: str, status: str) -> None:
    assert PolicyJobStatus.from_string(written) == status


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ({"best_score": 0.0, "best_reward": 0.5}, 0.0),
        ({"best_score": None, "best_reward": 0.5}, 0.5),
        ({"best_train_score": 0.25}, 0.25),
        ({"best_score": "high"}, None),
        ({}, None),
    ],
)
def test_a_result_takes_the_first_score_there_is_and_zero_is_one(
    answer: dict[str, Any], score: float | None
) -> None:
    result = Result.from_response(ID, {"status": "succeeded", **answer}, algorithm=Algorithm.GEPA)
    assert (result.best_score, result.best_reward, result.algorithm) == (score, score, "gepa")


@pytest.mark.parametrize(
    ("data", "field", "value"),
    [
        ({"candidate_id": " c1 "}, "candidate_id", "c1"),
        ({}, "artifact_kind", "unknown"),
        ({"candidate_artifact": {"a": 1}}, "artifact_payload", {"a": 1}),
        ({"candidate_content": "  text\n"}, "candidate_content", "  text\n"),
        ({"prompt_text": "text"}, "candidate_content", "text"),
        ({"artifact_payload": {"candidate_code": "x = 1"}}, "candidate_content", "x = 1"),
        ({"candidate_content": " ", "instruction": "do"}, "candidate_content", "do"),
        ({"mode": "context"}, "optimization_mode", "context"),
        ({"score": 0.0, "reward": 0.5}, "score", 0.0),
        ({"objective": {"reward": 0.25}}, "score", 0.25),
        ({"objective": 0.25}, "objective", 0.25),
        ({"avg_reward": 0.5}, "score", 0.5),
        ({"instance_objectives": [{"reward": 1}, {"reward": 0}, {}]}, "reward", 0.5),
        ({"outcome": {"reward": 0.75}}, "reward", 0.75),
        ({"candidate_priority": {"priority_score": 2}}, "candidate_priority_score", 2.0),
        ({"score": True}, "score", None),
    ],
)
def test_candidates_in_all_shapes(data: dict[str, Any], field: str, value: Any) -> None:
    candidate = PolicyCandidate.from_dict(data)
    assert getattr(candidate, field) == value
    assert candidate.raw == data
