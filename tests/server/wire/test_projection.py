from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from paretune.core import events
from paretune.core.canonical import Written, canonical_json
from paretune.core.errors import ParetuneError
from paretune.core.events import Decision, to_record
from paretune.server.wire.events import event_text, is_terminal, metric_points
from paretune.server.wire.projection import MOST, Projection
from paretune.server.wire.standing import Meter
from paretune.store import StoredDecision
from paretune.store.jobs import JobEvent, JobState
from support.recorded import job_of, record


def of_kind(told: list[JobEvent], kind: str) -> list[JobEvent]:
    return [event for event in told if event.type == kind]


@pytest.mark.parametrize("name", ["classic", "merging", "lanes"])
def test_the_same_decisions_give_the_same_events(name: str) -> None:
    assert record(name).told()[1] == record(name).told()[1]


@pytest.mark.parametrize("name", ["merging", "lanes"])
def test_a_fold_goes_on_where_another_one_stopped(name: str) -> None:
    run = record(name)
    whole, told = run.told()
    for stopped in range(0, len(run.log), 7):
        first = Projection(run.job, run.run.job)
        begun = first.begin() + [event for stored in run.log[:stopped] for event in first.after(stored)]
        second = Projection(run.job, run.run.job)
        for stored in run.log[:stopped]:
            second.after(stored)
        assert second.standing == first.standing
        rest = [event for stored in run.log[stopped:] for event in second.after(stored)]
        assert begun + rest + second.ended("succeeded", "", run.view) == told
        assert second.standing == whole.standing


def test_results_come_before_the_two_completions_which_stand_side_by_side() -> None:
    told = record("merging").told()[1]
    kinds = [event.type for event in told]
    assert kinds[-2:] == ["prompt.learning.gepa.complete", "learning.policy.gepa.job.completed"]
    results = {
        "prompt.learning.best.prompt",
        "prompt.learning.top.prompt.content",
        "prompt.learning.validation.scored",
        "prompt.learning.final.results",
        "learning.policy.gepa.candidate.new_best",
        "learning.policy.gepa.validation.completed",
    }
    assert results <= set(kinds[:-2])
    assert [is_terminal(event) for event in told] == [False] * (len(told) - 1) + [True]


def test_only_final_prompts_have_a_rank() -> None:
    run = record("merging")
    told = run.told()[1]
    evaluated = of_kind(told, "learning.policy.gepa.candidate.evaluated")
    ranked = [event.data for event in evaluated if "rank" in event.data]
    assert run.view.chosen is not None
    assert [data["rank"] for data in ranked] == list(range(1, len(run.view.chosen.means) + 1))
    assert ranked[0]["candidate_id"] == run.view.chosen.best
    assert len(evaluated) > len(ranked)


@pytest.mark.parametrize("name", ["classic", "merging", "lanes"])
def test_what_a_status_call_tells_is_what_the_record_says(name: str) -> None:
    run = record(name)
    now, view = run.told()[0].standing, run.view
    chosen, finished = view.chosen, view.finished
    assert chosen is not None
    assert finished is not None
    assert now["best_candidate"] == chosen.best
    assert now["best_score"] == now["best_train_score"] == view.rows[chosen.best].mean
    assert now["baseline_score"] == view.seed.mean
    heldout = chosen.means if chosen.chosen_on == "select" else finished.test
    assert now.get("best_validation_score") == heldout.get(chosen.best)
    texts = {section["name"]: section["content"] for section in now["best_prompt"]["sections"]}
    assert texts == view.rows[chosen.best].components
    assert now["rollouts"] == len(view.ledger.drawn)
    assert now["candidates"] == len(view.rows)
    json.dumps(now, allow_nan=False)


def test_the_standing_before_the_end_view_is_the_one_after_it() -> None:
    run = record("merging")
    fold = Projection(run.job, run.run.job)
    for stored in run.log:
        fold.after(stored)
    before = fold.standing
    fold.ended("succeeded", "", run.view)
    counted = {"rollouts", "tokens", "cost_usd"}
    assert {key: value for key, value in fold.standing.items() if key not in counted} == before


def test_what_nobody_counted_is_not_told() -> None:
    run = record("merging")
    fold = Projection(run.job, run.run.job)
    told = [event for stored in run.log for event in fold.after(stored)]
    for event in told:
        assert None not in event.data.values()
        assert not {"rollouts_completed", "percent_rollouts", "eta_seconds", "total_cost_usd"} & set(
            event.data
        )
    assert "rollouts" not in fold.standing


def test_what_was_counted_shows_in_progress() -> None:
    run = record("merging")
    fold = Projection(run.job, run.run.job)
    told = [e for stored in run.log for e in fold.after(stored, Meter(70, 900, 0.5, 12.0))]
    progress = of_kind(told, "prompt.learning.progress")[0].data
    budget = run.view.ledger.limits.rollouts
    assert (progress["rollouts_completed"], progress["rollouts_total"]) == (70, budget)
    assert progress["percent_overall"] == progress["percent_rollouts"] == 70 / 700
    assert (progress["eta_seconds"], progress["total_tokens"], progress["total_cost_usd"]) == (12.0, 900, 0.5)
    shares = [e.data["percent_transformations"] for e in of_kind(told, "prompt.learning.progress")]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] <= 1


def test_phases_in_order_and_held_out_examples_by_name() -> None:
    run = record("merging")
    told = run.told()[1]
    phases = [event.data["phase"] for event in of_kind(told, "learning.policy.gepa.phase.started")]
    assert phases == ["bootstrap", "optimization", "validation", "test", "complete"]
    asked = of_kind(told, "learning.policy.gepa.validation.started")
    assert [event.data["seeds"] for event in asked] == [run.view.splits["select"], run.view.splits["test"]]


def test_every_new_best_is_told_with_what_it_was_before() -> None:
    run = record("classic")
    told = of_kind(run.told()[1], "prompt.learning.gepa.new_best")
    admitted = [d for d in run.view.decisions if isinstance(d, events.CandidateAdmitted) and d.best]
    assert [event.data["candidate_id"] for event in told] == [d.candidate for d in admitted if d.step]
    assert [event.data["previous_best_score"] for event in told] == [d.mean for d in admitted[:-1]]


def test_metric_points_are_the_means_in_order() -> None:
    run = record("classic")
    means = [d.mean for d in run.view.decisions if isinstance(d, events.CandidateAdmitted)]
    points = metric_points(run.told()[1], 200)
    assert [(point["step"], point["value"]) for point in points] == list(enumerate(means))
    assert metric_points(run.told()[1], 2) == points[-2:]


ENDS: list[tuple[JobState, list[str], str]] = [
    ("failed", ["prompt.learning.gepa.failed", "learning.policy.gepa.job.failed"], "error"),
    ("cancelled", ["prompt.learning.gepa.cancelled", "learning.policy.gepa.job.cancelled"], "warn"),
    ("paused", ["prompt.learning.gepa.paused", "learning.policy.gepa.job.paused"], "info"),
    ("queued", ["prompt.learning.gepa.resumed", "learning.policy.gepa.job.resumed"], "info"),
]


@pytest.mark.parametrize(("state", "kinds", "level"), ENDS)
def test_other_ends(state: JobState, kinds: list[str], level: str) -> None:
    """Before anything was decided, too: a task app that is down."""
    fold = Projection(job_of(), None)
    told = fold.ended(state, "the task app is down", None, "2026-01-02T04:00:00.000+00:00")
    assert [(event.type, event.level) for event in told] == [(kind, level) for kind in kinds]
    assert {event.at for event in told} == {"2026-01-02T04:00:00.000+00:00"}
    told_why = [event.data.get("error") or event.data.get("reason") for event in told]
    assert told_why == ["the task app is down"] * 2
    assert fold.standing.get("error") == ("the task app is down" if state == "failed" else None)


def test_a_job_that_goes_on_has_no_error_any_more() -> None:
    run = record("classic")
    fold = Projection(run.job, run.run.job)
    fold.ended("failed", "no connection", None)
    fold.ended("queued", "", None)
    assert "error" not in fold.standing


def test_a_cancelled_job_tells_what_it_found_so_far() -> None:
    run = record("classic")
    told = Projection(run.job, run.run.job).ended("cancelled", "", run.view)
    assert [event.type for event in told][-2:] == ENDS[1][1]
    assert of_kind(told, "prompt.learning.best.prompt")
    assert not of_kind(told, "prompt.learning.gepa.complete")


def test_a_record_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(ParetuneError, match="cannot be read"):
        Projection(job_of("run"), {}).after(StoredDecision(0, "x", {"kind": "dream", "version": 1}, ""))


def test_one_event_as_clients_read_it() -> None:
    first = record("classic").told()[1][0]
    told = json.loads(event_text("pl_1", first))
    assert (told["job_id"], told["type"], told["level"]) == ("pl_1", "prompt.learning.created", "info")
    assert told["created_at"] == told["ts"] == "2026-01-02T03:04:05.678+00:00"
    assert told["timestamp_ms"] == 1767323045678


@pytest.mark.parametrize("stored", [False, True])
def test_an_event_is_one_line_whatever_is_in_it(stored: bool) -> None:
    data = {"text": "one\u2028two\x85three\u2029\nfour", "n": [1, {"é": None}]}
    told = JobEvent(7, "", "x", "a\u2028b", Written(canonical_json(data)) if stored else data)
    (line,) = event_text("pl_1", told).splitlines()
    assert json.loads(line)["data"] == data
    assert json.loads(line)["message"] == "a\u2028b"


# -- long runs ------------------------------------------------------------------------------------


def long_log(steps: int, every: int) -> Iterator[Decision]:
    """A search of many steps, in which each `every`th child is admitted, all of them better."""
    texts = {"system": "Answer."}
    yield events.RunStarted(job="j", seed=0, candidate="c_0", splits={})
    for step in range(steps):
        child = f"c_{step}"
        common: dict[str, Any] = {"step": step, "parents": [], "origin": "mutation", "generation": step}
        if step:
            yield events.StepStarted(step=step, generation=step, parent="c_0", targets=[], minibatch=["1"])
            yield events.ChildProposed(child=child, components=texts, rationale="", **common)
            passed = step % every == 0
            yield events.GateDecided(
                step=step, child=child, passed=passed, before=0, after=1, pairs=1, reason=""
            )
        if step % every == 0:
            mean = step / steps
            yield events.CandidateAdmitted(
                candidate=child,
                components=texts,
                mean=mean,
                scored=9,
                failed=0,
                gained=[],
                best=True,
                **common,
            )


@pytest.mark.parametrize(("steps", "every"), [(3_000, 8), (6_000, 2)])
def test_the_results_of_a_long_job_are_among_the_first_ten_thousand_events(steps: int, every: int) -> None:
    fold = Projection(job_of("run"), {})
    told = fold.begin()
    for seq, decision in enumerate(long_log(steps, every)):
        told += fold.after(StoredDecision(seq, str(seq), to_record(decision), ""))
    assert len(told) < MOST + 100
    assert fold.standing["step"] == steps - 1
    progress = of_kind(told, "prompt.learning.progress")
    assert progress[-1].data["step"] > 0.9 * steps or len(told) > MOST
