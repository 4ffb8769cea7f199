"""The JSON documents a container serves, each with the fields of both dialects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from paretune.container.body import storable
from paretune.container.examples import LISTED, Examples
from paretune.container.prompt import Result
from paretune.core.canonical import JsonValue
from paretune.core.rollout import Usage

GEPA_CONTRACT = "synth_optimizers.gepa.v2"
Document = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class About:
    """What a container tells about itself. `version` changes when the task does."""

    name: str
    description: str
    version: str
    examples: Examples
    program: Document | None


def health_document(auth: bool) -> Document:
    return {
        "status": "ok",
        "healthy": True,
        "contract_version": "container_contract.v1",
        "auth": {"required": auth},
    }


def info_document(about: About) -> Document:
    """GET /info and GET /metadata."""
    contracts = {"gepa": _gepa_contract()} if about.program and not about.examples.open_ended else {}
    return {
        "service": {"task": _task(about), "version": about.version},
        "dataset": _dataset(about),
        "rubrics": None,
        "inference": {},
        "limits": {},
        "runtime": {
            "runtime_id": about.name,
            "name": about.name,
            "description": about.description,
            "version": about.version,
        },
        "capabilities": {
            "contract_version": "container_contract.v1",
            "rollout_modes": ["blocking", "async"],
            "metadata": {"policy_ready": True, "program_ready": about.program is not None},
        },
        "metadata": {"version": about.version, "optimizer_contracts": contracts},
    }


def task_info_document(about: About, seed: int | None = None) -> Document:
    """GET /task_info: of the whole set, or of one seed. Raises BadRequest for an unknown one."""
    document: Document = {
        "task": _task(about),
        "dataset": _dataset(about),
        "inference": {},
        "limits": {},
        "environment": about.name,
    }
    if seed is None:
        return {"taskset": taskset_document(about), **document, "metadata": {"version": about.version}}
    name, example = about.examples.of_seed(seed)
    row = {"seed": example} if isinstance(example, int) else dict(example)
    return {**document, "task_metadata": {"seed": seed, "task_id": name, **row}}


def taskset_document(about: About) -> Document:
    """GET /taskset. `splits` counts; the ids are in the metadata, up to 10,000 of each split."""
    splits = about.examples.splits()
    return {
        "taskset_id": about.name,
        "splits": {split: len(ids) for split, ids in splits.items()},
        "labels": [],
        "metadata": {
            "version": about.version,
            "task_ids": {split: ids[:LISTED] for split, ids in splits.items()},
        },
    }


def rollout_document(
    about: About, rollout_id: str, example: str, result: Result, began: datetime
) -> Document:
    """The answer to POST /rollout."""
    reward = float(result.reward)
    scores = {"reward": reward, **{name: float(value) for name, value in result.objectives.items()}}
    texts = {name: str(getattr(result, name)) for name in ("input", "output", "expected", "feedback")}
    texts = {name: text for name, text in texts.items() if text}
    trace = result.trace if isinstance(result.trace, Mapping | None) else {"events": result.trace}
    document: Document = {
        "rollout_id": rollout_id,
        "trace_correlation_id": rollout_id,
        "task_id": about.name,
        "task_instance_id": example,
        "status": "completed",
        "success_status": "success",
        "reward_info": {"outcome_reward": reward, "outcome_objectives": scores, "details": texts},
        "objective_scores": [
            {"objective": name, "value": value, "source": "container"} for name, value in scores.items()
        ],
        "actionable_side_info": texts,
        "summary": {"outcome_reward": reward},
        "usage": _usage(result.usage),
        "trace": trace or {},
        "metadata": {"version": about.version},
        "stream": {"id": f"stream:{rollout_id}", "reward": {"url": f"/rollouts/{rollout_id}"}},
        "created_at": timestamp(began),
        "updated_at": timestamp(datetime.now(UTC)),
    }
    return dict(storable(document))


def state_document(rollout_id: str, status: str, began: str = "", detail: str = "") -> Document:
    """GET /rollouts/{id}/state, and the first answer to an asynchronous rollout."""
    now = timestamp(datetime.now(UTC))
    document: Document = {
        "rollout_id": rollout_id,
        "trace_correlation_id": rollout_id,
        "status": status,
        "success_status": "success" if status == "completed" else status,
        "created_at": began or now,
        "updated_at": now,
    }
    return {**document, "status_detail": detail} if detail else document


def timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _task(about: About) -> Document:
    return {
        "id": about.name,
        "task_id": about.name,
        "name": about.name,
        "description": about.description,
        "version": about.version,
    }


def _dataset(about: About) -> Document:
    splits = about.examples.splits()
    return {
        "id": about.name,
        "name": about.name,
        "version": about.version,
        "splits": list(splits),
        "default_split": next(iter(splits), None),
        "size": None if about.examples.open_ended else len(about.examples.rows),
    }


def _gepa_contract() -> Document:
    return {
        "version": GEPA_CONTRACT,
        "program_route": "/program",
        "taskset_route": "/taskset",
        "taskset_tasks_route": "/taskset/tasks",
        "rollout_route": "/rollout",
    }


def _usage(usage: Usage | Mapping[str, JsonValue] | None) -> Document:
    if usage is None:
        return {}
    if isinstance(usage, Usage):
        usage = {**asdict(usage), "total_tokens": usage.tokens}
    return {str(name): value for name, value in usage.items() if value is not None}
