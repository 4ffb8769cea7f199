from __future__ import annotations

import json
from dataclasses import replace

from paretune.server.wire.jobs import cancellation, job_json, jobs_page, restarted, workflow_state
from support.recorded import job_of, record


def test_a_job_that_waits_knows_nothing_yet() -> None:
    told = job_json(job_of())
    assert (told["job_id"], told["id"]) == ("pl_0123456789abcdef",) * 2
    assert (told["status"], told["state"], told["algorithm"]) == ("queued", "queued", "gepa")
    assert (told["kind"], told["technique"]) == ("gepa_offline", "discrete_optimization")
    assert told["system"] == {"id": "sys_1", "name": "tickets"}
    assert told["metadata"] == {"team": "blue"}
    unknown = ("best_score", "best_reward", "best_prompt", "iteration", "rollouts_completed", "finished_at")
    assert [told[name] for name in unknown] == [None] * len(unknown)
    assert "message" not in told  # a client takes one for an error


def test_a_finished_job_has_its_scores_under_every_name() -> None:
    run = record("merging")
    fold, _ = run.told()
    told = job_json(replace(run.job, state="succeeded", ended_at="later", standing=fold.standing))
    train, heldout = fold.standing["best_train_score"], fold.standing["best_validation_score"]
    for name in (
        "best_score",
        "best_reward",
        "best_train_score",
        "best_train_reward",
        "prompt_best_train_score",
    ):
        assert told[name] == train
    for name in ("best_validation_score", "prompt_best_validation_score"):
        assert told[name] == heldout
    assert told["metadata"]["prompt_best_train_score"] == train
    assert told["metadata"]["prompt_best_validation_score"] == heldout
    assert told["best_prompt"] == told["best_candidate"] == fold.standing["best_prompt"]
    assert told["best_candidate_id"] == fold.standing["best_candidate"]
    assert told["iteration"] == told["current_iteration"] == fold.standing["step"]
    assert told["error"] is None
    json.dumps(told, allow_nan=False)


def test_a_failed_job_says_why() -> None:
    assert job_json(job_of(state="failed", detail="the task app is down"))["error"] == "the task app is down"
    assert job_json(job_of(state="cancelled", detail="enough"))["error"] is None


def test_what_came_with_a_job_beside_its_metadata_stays_here() -> None:
    given = {"overrides": {"task_app_api_key": "hush"}, "owner": "key_1", "metadata": {}}
    assert "hush" not in json.dumps(job_json(job_of(given=given)))


def test_pages_of_jobs_leave_the_prompts_out() -> None:
    fold, _ = record("classic").told()
    found = jobs_page([job_of(standing=fold.standing)], "")
    assert found["next_cursor"] is None
    assert found["items"][0]["best_score"] == fold.standing["best_score"]
    assert "best_prompt" not in found["items"][0]


def test_what_came_of_a_cancel() -> None:
    assert cancellation(job_of(state="cancelled"))["status"] == "succeeded"
    assert cancellation(job_of(state="running", wish="cancel"))["status"] == "partial"
    told = cancellation(job_of("run_1", state="succeeded"))
    assert (told["status"], told["message"]) == ("failed", "the job has succeeded already")
    assert told["attempt_id"] == "run_1"


def test_workflow_state_and_restart() -> None:
    job = job_of("run_1", state="running", standing={"best_score": 0.5, "generation": 2})
    state = workflow_state(job)["workflow_state"]
    assert (state["run_id"], state["status"]) == ("run_1", "running")
    assert (state["progress"]["best_score"], state["progress"]["generation"]) == (0.5, 2)
    child = job_of(parent="pl_parent")
    assert restarted(child)["child_job_id"] == child.id
    assert restarted(child)["parent_job_id"] == "pl_parent"
