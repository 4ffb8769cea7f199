"""Jobs on the wire: one JSON for the status calls of all dialects, and the short replies beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paretune.server.wire.events import known
from paretune.server.wire.prompts import mode_of
from paretune.store.jobs import StoredJob

TECHNIQUE = "discrete_optimization"


def job_json(job: StoredJob) -> dict[str, Any]:
    """All that status calls read, from the job's row alone. What is unknown is None.

    There is no `message`: clients take one for an error.
    """
    standing, system = job.standing, job.given.get("system") or {}
    return {
        "job_id": job.id,
        "id": job.id,
        "name": job.name,
        "object": "job",
        "status": job.state,
        "state": job.state,
        "algorithm": job.algorithm,
        "kind": job.given.get("kind") or f"{job.algorithm}_offline",
        "technique": job.given.get("technique") or TECHNIQUE,
        "config_mode": job.given.get("config_mode") or "DEFAULT",
        "mode": mode_of(job),
        "system": {"id": system.get("id"), "name": system.get("name")},
        "system_id": system.get("id"),
        "created_at": job.created_at,
        "started_at": job.started_at or None,
        "updated_at": job.updated_at or job.created_at,
        "finished_at": job.ended_at or None,
        **_scores(standing),
        **_progress(standing),
        "error": (job.detail or standing.get("error") or "failed") if job.state == "failed" else None,
        "status_detail": job.detail or None,
        "requested": job.wish or None,
        "parent_job_id": job.parent or None,
        "metadata": {**(job.given.get("metadata") or {}), **_in_metadata(standing)},
    }


def _scores(standing: Mapping[str, Any]) -> dict[str, Any]:
    train, heldout = standing.get("best_train_score"), standing.get("best_validation_score")
    best, prompt = standing.get("best_score"), standing.get("best_prompt")
    return {
        "best_score": best,
        "best_reward": best,
        "best_train_score": train,
        "best_train_reward": train,
        "best_validation_score": heldout,
        "best_validation_reward": heldout,
        "prompt_best_train_score": train,
        "prompt_best_validation_score": heldout,
        "baseline_score": standing.get("baseline_score"),
        "baseline_reward": standing.get("baseline_score"),
        "best_prompt": prompt,
        # A client takes a text here for the prompt itself, so it is the prompt, and the id stands apart.
        "best_candidate": prompt,
        "best_candidate_id": standing.get("best_candidate"),
    }


def _progress(standing: Mapping[str, Any]) -> dict[str, Any]:
    step = standing.get("step")
    return {
        "iteration": step,
        "current_iteration": step,
        "phase": standing.get("phase"),
        "generation": standing.get("generation"),
        "generations": standing.get("generations"),
        "rollouts_completed": standing.get("rollouts"),
        "rollouts_total": standing.get("rollout_budget"),
        "total_candidates": standing.get("candidates"),
        "total_cost_usd": standing.get("cost_usd"),
        "total_tokens": standing.get("tokens"),
        "elapsed_seconds": standing.get("elapsed_seconds"),
        "eta_seconds": standing.get("eta_seconds"),
    }


def _in_metadata(standing: Mapping[str, Any]) -> dict[str, Any]:
    """Clients of 0.9 look for the scores here."""
    return known(
        {
            "prompt_best_reward": standing.get("best_score"),
            "prompt_best_train_score": standing.get("best_train_score"),
            "prompt_best_validation_score": standing.get("best_validation_score"),
        }
    )


def jobs_page(jobs: list[StoredJob], cursor: str) -> dict[str, Any]:
    """A page of jobs, without their prompts."""
    long = ("best_prompt", "best_candidate")
    items = [{k: v for k, v in job_json(job).items() if k not in long} for job in jobs]
    return {"items": items, "jobs": items, "next_cursor": cursor or None}


def cancellation(job: StoredJob) -> dict[str, Any]:
    """What came of a cancel: `partial` while the job's process has yet to see it."""
    if job.state == "cancelled":
        status, message = "succeeded", "the job is cancelled"
    elif job.wish == "cancel":
        status, message = "partial", "the job ends as soon as its process sees it"
    else:
        status, message = "failed", f"the job has {job.state} already"
    return {
        "job_id": job.id,
        "status": status,
        "state": job.state,
        "message": message,
        "attempt_id": job.run_id,
    }


def workflow_state(job: StoredJob) -> dict[str, Any]:
    """How far the job is, as the workflow query has it."""
    told = job_json(job)
    progress = {name: told[name] for name in _progress(job.standing)} | {"best_score": told["best_score"]}
    state = {
        "job_id": job.id,
        "run_id": job.run_id,
        "status": job.state,
        "progress": progress,
        "algorithm": job.algorithm,
        "error": told["error"],
    }
    return {"job_id": job.id, "workflow_state": state, "query_name": "workflow_state", "error": None}


def restarted(child: StoredJob) -> dict[str, Any]:
    """The reply to a restart: the new job, under the name that clients follow."""
    return {**job_json(child), "child_job_id": child.id}
