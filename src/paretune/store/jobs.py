"""Jobs: what somebody submitted, where it stands, and the events that were told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

JobState = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class StoredJob:
    """One job. `document` is the job document without secrets, `given` what else came with it, `standing`
    what a status call tells; `told` counts the decisions of its run that are projected."""

    id: str
    name: str
    created_at: str
    document: Mapping[str, Any]
    given: Mapping[str, Any]
    run_id: str
    algorithm: str
    state: JobState = "queued"
    detail: str = ""
    wish: Literal["", "pause", "cancel"] = ""
    started_at: str = ""
    ended_at: str = ""
    updated_at: str = ""
    parent: str = ""
    standing: Mapping[str, Any] = field(default_factory=dict)
    told: int = 0


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One event of a job as the wire has it; `seq` counts from 1 without gaps."""

    seq: int
    at: str
    type: str
    message: str
    data: Mapping[str, Any]
    level: str = "info"
