"""MIPRO's trials on the wire: clients until 0.4 know them as `mipro.*`, later ones in their family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paretune.core import events
from paretune.core.events import Decision
from paretune.server.wire.events import Family, event, known
from paretune.server.wire.results import Results
from paretune.server.wire.scores import seed
from paretune.server.wire.standing import Fold
from paretune.store.jobs import JobEvent

NAMES = Family("mipro")


def _told(at: str, old: str, new: str, message: str, data: Mapping[str, Any]) -> list[JobEvent]:
    """Under both names; without `new` where later clients know none."""
    kinds = [f"mipro.{old}", *([NAMES.new(new)] if new else [])]
    return [event(at, kind, message, data) for kind in kinds]


def trial_events(fold: Fold, decision: Decision, at: str) -> list[JobEvent]:
    """What follows from one decision about trials or their options."""
    data: dict[str, Any]
    match decision:
        case events.Bootstrapped():
            message = f"{decision.qualified} of {decision.asked} rollouts qualify as demonstrations"
            data = {
                "completed": decision.asked,
                "total": decision.asked,
                "qualified": decision.qualified,
                "threshold": decision.threshold,
            }
            return _told(at, "bootstrap.progress", "", message, data)
        case events.OptionAdded() if decision.proposal:
            text = "\n\n".join(decision.components.values())
            data = {
                "stage": decision.dimension,
                "instruction_index": decision.number,
                "instruction_text": text,
                "instruction_lines": text.splitlines(),
            }
            message = f"{decision.dimension} {decision.number} proposed"
            return _told(at, "instruction.proposed", "", message, data)
        case events.TrialStarted():
            data = {
                "trial": decision.step,
                "iteration": decision.generation,
                "candidate_id": decision.candidate,
                "seeds": [seed(example) for example in decision.examples],
                "num_seeds": len(decision.examples),
            }
            return _told(at, "trial.started", "trial.started", f"trial {decision.step} started", data)
        case events.TrialEnded():
            return _ended(fold, decision, at)
        case _:
            return []


def _ended(fold: Fold, decision: events.TrialEnded, at: str) -> list[JobEvent]:
    mean = decision.mean
    scores = ("minibatch_score", "score", "accuracy", "reward")
    data = {
        "trial": decision.step,
        "iteration": fold.values.get("generation"),
        "candidate_id": decision.candidate,
        "evaluation": "minibatch",
        **dict.fromkeys(scores, mean),
        "estimate": decision.estimate,
        "num_seeds": decision.scored,
        "failed_seeds": decision.failed,
        "best_score": fold.values.get("best_score"),
    }
    figure = "nothing scored" if mean is None else f"minibatch_score={mean:.4f}"
    message = f"trial {decision.step}: {figure} N={decision.scored}"
    return _told(at, "trial.complete", "trial.completed", message, data)


def iteration_events(fold: Fold, done: int, at: str) -> list[JobEvent]:
    """The end of iteration `done`, which is 0 before the first, and the start of the one that follows."""
    now = fold.values
    told = []
    if done:
        data = {"iteration": done, "best_score": now.get("best_score"), "trials_completed": fold.gates}
        told += _told(at, "iteration.complete", "iteration.completed", f"iteration {done} done", data)
    begun = now["generation"]
    return told + _told(
        at, "iteration.start", "iteration.started", f"iteration {begun}", {"iteration": begun}
    )


def incumbent_events(fold: Fold, decision: events.CandidateAdmitted, at: str) -> list[JobEvent]:
    """A combination leads, evaluated in full."""
    data = {
        "trial": decision.step,
        "iteration": decision.generation,
        "candidate_id": decision.candidate,
        "score": decision.mean,
        "best_score": decision.mean,
        "num_seeds": decision.scored,
    }
    message = f"new incumbent: {decision.mean:.4f}"
    return [
        *_told(at, "fulleval.complete", "", message, data),
        *_told(at, "new_incumbent", "", message, data),
    ]


def results_of_mipro(results: Results, at: str) -> list[JobEvent]:
    """What was found, as a client until 0.4 looks for it in a MIPRO job: its score, then held-out figures."""
    best = results.best()
    score = best["best_score"]
    told = []
    validations = results.validations()
    baseline = next((one["accuracy"] for one in validations if one["is_baseline"]), None)
    if baseline is not None:
        told += _told(at, "baseline.test", "", f"baseline: {baseline:.4f}", {"test_score": baseline})
    texts = {prompt["rank"]: prompt["full_text"] for prompt in results.top_prompts()}
    for one in validations:
        if one.get("rank"):
            lift = None if baseline is None else one["accuracy"] - baseline
            text = texts.get(one["rank"], "")
            data = known(
                {
                    "rank": one["rank"],
                    "train_score": one.get("train_accuracy"),
                    "test_score": one["accuracy"],
                    "lift_absolute": lift,
                    "lift_percent": 100 * lift / baseline if lift is not None and baseline else None,
                    "instruction_text": text,
                    "instruction_lines": text.splitlines(),
                    "test_per_seed": dict(zip(map(str, one["seeds"]), one["instance_scores"], strict=True)),
                }
            )
            told += _told(at, "topk.evaluated", "", f"rank {one['rank']}: {one['accuracy']:.4f}", data)
    data = {
        "best_score": score,
        "best_full_score": best["best_train_score"],
        "best_prompt": best["best_prompt"],
    }
    return [*told, event(at, "mipro.job.completed", f"best score {score:.4f}", data)]
