"""The events at a job's end: what it found, then how it ended; and those of a rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paretune.server.wire.events import Family, event, known
from paretune.server.wire.results import Results
from paretune.server.wire.trials import results_of_mipro
from paretune.store.jobs import JobEvent, JobState


def found(results: Results) -> dict[str, Any]:
    """What the results say of a job's standing."""
    best, totals = results.best(), results.totals()
    return {
        "best_candidate": best["best_candidate_id"],
        "candidates": totals["total_candidates"],
        "rollouts": totals["total_rollouts"],
        "tokens": totals["total_tokens"],
        "cost_usd": totals["total_cost_usd"],
        "elapsed_seconds": totals["elapsed_seconds"],
        **{
            name: best[name]
            for name in (
                "best_score",
                "best_train_score",
                "best_validation_score",
                "baseline_score",
                "best_prompt",
            )
        },
    }


def results_events(names: Family, results: Results, at: str) -> list[JobEvent]:
    """What was found, for both families; nothing if nothing was scored."""
    best = results.best()
    score, prompt = best["best_score"], best["best_prompt"]
    if prompt is None or score is None:
        return []
    whole = {
        "candidate_id": best["best_candidate_id"],
        **_scores(score),
        **best,
        "best_candidate": prompt,
    }
    kinds = names.old("best.prompt"), *names.found("candidate.new_best")
    told = [event(at, kind, f"best score {score:.4f}", whole) for kind in kinds]
    told += _top(names, results, at)
    told += _validations(names, results, at)
    told += _frontier(names, results, at)
    told += _taken(names, results, at)
    if "mipro" in results.job.algorithm:
        told += results_of_mipro(results, at)
    listed = {
        **best,
        "optimized_candidates": results.optimized(),
        "attempted_candidates": results.attempted(),
        "validation": results.validations(),
    }
    return [*told, event(at, names.old("final.results"), "results", listed)]


def _top(names: Family, results: Results, at: str) -> list[JobEvent]:
    """Only these carry a rank: clients take whatever has one for a final prompt."""
    told = []
    for prompt in results.top_prompts():
        message = f"top prompt {prompt['rank']}"
        evaluated = {**prompt, **_scores(prompt["train_accuracy"]), "evaluation": "final"}
        told.append(event(at, names.old("top.prompt.content"), message, prompt))
        told += [event(at, kind, message, evaluated) for kind in names.found("candidate.evaluated")]
    return told


def _validations(names: Family, results: Results, at: str) -> list[JobEvent]:
    """Held-out scores; a client takes a message with the word baseline for the initial prompt's."""
    validations = results.validations()
    if not validations:
        return []
    told = []
    for scored in validations:
        what = "baseline" if scored["is_baseline"] else f"candidate {scored['rank']}"
        message = f"{scored['split']} of {what}: accuracy={scored['accuracy']:.4f}"
        told.append(event(at, names.old("validation.scored"), message, scored))
        told += [event(at, kind, message, scored) for kind in names.found("validation.completed")]
    baseline = next((s for s in validations if s["is_baseline"]), {})
    others = [s for s in validations if not s["is_baseline"]]
    summary = {"baseline": baseline, "results": others}
    return [*told, event(at, names.old("validation.summary"), "validation summary", summary)]


def _frontier(names: Family, results: Results, at: str) -> list[JobEvent]:
    scores = results.scores
    members = [row for row in scores.ranked if row.id in scores.frontier]
    data = {
        "frontier": [row.id for row in members],
        "frontier_size": len(members),
        "frontier_scores": {row.id: row.mean for row in members},
        "best_reward": results.best()["best_score"],
    }
    return [event(at, names.new("frontier.updated"), f"frontier of {len(members)}", data)]


def _taken(names: Family, results: Results, at: str) -> list[JobEvent]:
    """Money, tokens and time; clients print them as a summary."""
    ledger, totals = results.view.ledger, results.totals()
    rollout, proposal = ledger.role("rollout"), ledger.role("proposal")
    data = {
        "best_score": results.best()["best_score"],
        "baseline_score": results.best()["baseline_score"],
        "usd_tokens_rollouts": rollout.usd + ledger.role("proxy").usd,
        "usd_tokens_mutation": proposal.usd,
        "rollouts_prompt_tokens": rollout.prompt_tokens,
        "rollouts_completion_tokens": rollout.completion_tokens,
        "finish_reason": totals["finish_reason"],
        "total_candidates": totals["total_candidates"],
        "total_rollouts": totals["total_rollouts"],
    }
    bill = {
        "seconds": totals["elapsed_seconds"],
        "total_usd": totals["total_cost_usd"],
        "total_tokens": totals["total_tokens"],
    }
    return [
        event(at, names.old("completed"), "search summary", data),
        event(at, names.old("billing.end"), "what it took", bill),
        event(at, names.new("billing.completed"), "what it took", bill),
    ]


def closing_events(
    names: Family,
    state: JobState,
    detail: str,
    standing: Mapping[str, Any],
    results: Results | None,
    at: str,
) -> list[JobEvent]:
    """The two events of the state that the job has now, one for each family, side by side."""
    old, new, level = _CLOSING[state]
    data: dict[str, Any] = {"status": _STATUS.get(state, state), **_figures(standing)}
    if state == "failed":
        data |= {"error": standing.get("error"), "error_type": "error"}
    elif detail:
        data["reason"] = detail
    whole = {**data, **_all(results)} if results else data
    message = {"succeeded": "job completed", "failed": f"job failed: {detail}"}.get(state, f"job {state}")
    return [
        event(at, names.own(old), message, data, level),
        event(at, names.new(new), message, whole, level),
    ]


_CLOSING = {
    "succeeded": ("complete", "job.completed", "info"),
    "failed": ("failed", "job.failed", "error"),
    "cancelled": ("cancelled", "job.cancelled", "warn"),
    "paused": ("paused", "job.paused", "info"),
    "queued": ("resumed", "job.resumed", "info"),
    "running": ("resumed", "job.resumed", "info"),
}

_STATUS = {"succeeded": "completed"}


def _figures(standing: Mapping[str, Any]) -> dict[str, Any]:
    scores = ("best_score", "best_train_score", "best_validation_score", "baseline_score")
    return known(
        {
            **{name: standing.get(name) for name in scores},
            "best_reward": standing.get("best_score"),
            "best_candidate_id": standing.get("best_candidate"),
            "rollouts_completed": standing.get("rollouts"),
            "total_cost_usd": standing.get("cost_usd"),
            "duration_s": standing.get("elapsed_seconds"),
        }
    )


def _all(results: Results) -> dict[str, Any]:
    """All that was found, but for held-out scores: clients add a list of them to those told one by one."""
    best = results.best()
    return {
        **best,
        **_scores(best["best_score"]),
        "best_candidate": best["best_prompt"],
        "optimized_candidates": results.optimized(),
        "attempted_candidates": results.attempted(),
        "version_tree": results.tree(),
        "baseline": known({"accuracy": best["baseline_score"], "reward": best["baseline_score"]}),
        **results.totals(),
    }


def _scores(reward: float | None) -> dict[str, Any]:
    if reward is None:
        return {}
    return {"outcome_reward": reward, "outcome_objectives": {"reward": reward}}
