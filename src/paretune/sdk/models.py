"""Typed answers: statuses, results, candidates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import fmean
from typing import Any


class Algorithm(StrEnum):
    """GEPA: evolution of texts with reflection. MIPRO: proposed instructions and demonstrations, searched."""

    GEPA = "gepa"
    MIPRO = "mipro"

    @classmethod
    def from_string(cls, value: str) -> Algorithm:
        """In any case of letters; GEPA for anything else."""
        name = str(value).strip().lower()
        return cls(name) if name in {member.value for member in cls} else cls.GEPA


class PolicyJobStatus(StrEnum):
    """Where a job stands."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @classmethod
    def from_string(cls, status: str) -> PolicyJobStatus:
        """In any of the spellings that are about; PENDING for what is unknown."""
        name = str(status).strip().lower()
        name = _STATUS_NAMES.get(name, name)
        return cls(name) if name in {member.value for member in cls} else cls.PENDING

    @property
    def is_terminal(self) -> bool:
        return self in (self.SUCCEEDED, self.FAILED, self.CANCELLED)

    @property
    def is_success(self) -> bool:
        return self is self.SUCCEEDED


_STATUS_NAMES = {
    "success": "succeeded",
    "complete": "succeeded",
    "completed": "succeeded",
    "failure": "failed",
    "error": "failed",
    "cancel": "cancelled",
    "canceled": "cancelled",
    "in_progress": "running",
}


@dataclass(frozen=True, slots=True)
class PollOutcome:
    """`status` in small letters; `payload` is the whole answer."""

    status: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PolicyOptimizationResult:
    """How a job ended. `best_prompt` is `{"id", "name", "sections": [...]}` or a text, `raw` the answer."""

    job_id: str
    status: PolicyJobStatus
    algorithm: str | None = None
    best_score: float | None = None
    best_prompt: str | dict[str, Any] | None = None
    error: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_response(
        cls, job_id: str, data: Mapping[str, Any], *, algorithm: str | None = None
    ) -> PolicyOptimizationResult:
        scores = (data.get(f"best_{name}") for name in ("score", "reward", "train_score", "train_reward"))
        error = data.get("error")
        return cls(
            job_id=job_id,
            status=PolicyJobStatus.from_string(status_of(data)),
            algorithm=algorithm or data.get("algorithm"),
            best_score=next((found for score in scores if (found := as_number(score)) is not None), None),
            best_prompt=data.get("best_prompt"),
            error=None if not error else error if isinstance(error, str) else str(error),
            raw=dict(data),
        )

    @property
    def succeeded(self) -> bool:
        return self.status.is_success

    @property
    def failed(self) -> bool:
        return self.status is PolicyJobStatus.FAILED

    @property
    def is_terminal(self) -> bool:
        return self.status.is_terminal

    @property
    def best_reward(self) -> float | None:
        """The later name of `best_score`."""
        return self.best_score

    @property
    def best_candidate(self) -> str | dict[str, Any] | None:
        """The later name of `best_prompt`."""
        return self.best_prompt


@dataclass(frozen=True, slots=True)
class PolicyCandidate:
    """One candidate. `candidate_content` is its text, whatever the mode; `artifact_kind` says what it is.

    `artifact_payload` is the whole artifact, where the page was asked to include it.
    """

    candidate_id: str
    candidate_type: str | None = None
    artifact_kind: str = "unknown"
    artifact_payload: Any = None
    artifact_preview: str | None = None
    candidate_content: str | None = None
    status: str | None = None
    optimization_mode: str | None = None
    score: float | None = None
    reward: float | None = None
    objective: float | None = None
    candidate_priority: dict[str, Any] | None = None
    candidate_priority_score: float | None = None
    long_horizon_metrics: dict[str, Any] | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PolicyCandidate:
        payload = _first(data.get("artifact_payload"), data.get("candidate_artifact"))
        objective, reward = _objective(data), _reward(data)
        priority = _table(data.get("candidate_priority"))
        return cls(
            candidate_id=_text(data.get("candidate_id")) or "",
            candidate_type=_text(data.get("candidate_type")),
            artifact_kind=_text(data.get("artifact_kind")) or "unknown",
            artifact_payload=payload,
            artifact_preview=_text(data.get("artifact_preview")),
            candidate_content=_content(data, payload),
            status=_text(data.get("status")),
            optimization_mode=_text(data.get("optimization_mode")) or _text(data.get("mode")),
            score=_first(as_number(data.get("score")), objective, reward),
            reward=reward,
            objective=objective,
            candidate_priority=priority,
            candidate_priority_score=_first(
                as_number(data.get("candidate_priority_score")),
                as_number((priority or {}).get("priority_score")),
            ),
            long_horizon_metrics=_first(
                _table(data.get("long_horizon_metrics")), _table(data.get("v2_long_horizon_metrics"))
            ),
            raw=dict(data),
        )


@dataclass(frozen=True, slots=True)
class PolicyCandidatePage:
    """Candidates, in the order asked for; also a sequence of its `items`. No `next_cursor`: the last page."""

    items: list[PolicyCandidate] = field(default_factory=list)
    next_cursor: str | None = None
    job_id: str | None = None
    system_id: str | None = None
    algorithm: str | None = None
    mode: str | None = None
    sort: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, payload: Mapping[str, Any]) -> PolicyCandidatePage:
        items = payload.get("items")
        listed = items if isinstance(items, list) else []
        names = ("next_cursor", "job_id", "system_id", "algorithm", "mode", "sort")
        return cls(
            items=[PolicyCandidate.from_dict(item) for item in listed if isinstance(item, Mapping)],
            **{name: _text(payload.get(name)) for name in names},
            raw=dict(payload),
        )

    def __iter__(self) -> Iterator[PolicyCandidate]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, place: int) -> PolicyCandidate:
        return self.items[place]


def status_of(payload: Mapping[str, Any]) -> str:
    """`status`, else `state`, in small letters; empty if there is neither."""
    return (_text(payload.get("status")) or _text(payload.get("state")) or "").lower()


def as_number(value: Any) -> float | None:
    """A finite number; None for anything else, truth values among them."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


_TEXTS = ("candidate_code", "prompt_text", "instruction", "text")
_REWARDS = ("mean_reward", "reward", "avg_reward", "train_reward", "validation_reward")


def _content(data: Mapping[str, Any], payload: Any) -> str | None:
    inner = payload if isinstance(payload, Mapping) else {}
    places = [
        *(data.get(name) for name in ("candidate_content", *_TEXTS)),
        *(inner.get(name) for name in ("candidate_code", "candidate_content", *_TEXTS[1:])),
    ]
    return next((text for place in places if (text := _text(place, strip=False))), None)


def _objective(data: Mapping[str, Any]) -> float | None:
    value = data.get("objective")
    return as_number(value.get("reward") if isinstance(value, Mapping) else value)


def _reward(data: Mapping[str, Any]) -> float | None:
    """The candidate's mean reward: a number of its own, or the mean over examples, or one level down."""
    for name in _REWARDS:
        if (number := as_number(data.get(name))) is not None:
            return number
    examples = data.get("instance_objectives")
    if isinstance(examples, list):
        rewards = [as_number(one.get("reward")) for one in examples if isinstance(one, Mapping)]
        if found := [reward for reward in rewards if reward is not None]:
            return fmean(found)
    nested = (as_number(value.get("reward")) for value in data.values() if isinstance(value, Mapping))
    return next((reward for reward in nested if reward is not None), None)


def _text(value: Any, *, strip: bool = True) -> str | None:
    """A text with something in it; None for anything else."""
    if not isinstance(value, str) or not value.strip():
        return None
    return value.strip() if strip else value


def _table(value: Any) -> dict[str, Any] | None:
    return dict(value) if isinstance(value, Mapping) else None


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
