"""Events on the wire: making them, their JSON, and what the names of the two families are.

Clients until 0.4 read `prompt.learning.*`, later ones `learning.policy.ALGORITHM.*`, and each passes over the
other's. Both are written to one log, one after the other.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paretune.core.canonical import Written, canonical_json
from paretune.store.jobs import JobEvent

LINE_ENDS = {"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}
"""What some readers of lines take for an end, and JSON does not escape by itself."""


@dataclass(frozen=True, slots=True)
class Family:
    """The names of one algorithm's events."""

    algorithm: str

    @classmethod
    def of(cls, algorithm: str) -> Family:
        """A job of both algorithms goes by the name that clients know the most events of."""
        return cls("gepa" if "gepa" in algorithm else algorithm)

    def old(self, name: str) -> str:
        """Until 0.4, an event of any algorithm."""
        return f"prompt.learning.{name}"

    def own(self, name: str) -> str:
        """Until 0.4, an event of this algorithm."""
        return f"prompt.learning.{self.algorithm}.{name}"

    def new(self, name: str) -> str:
        """From 0.5 on."""
        return f"learning.policy.{self.algorithm}.{name}"

    def found(self, name: str) -> tuple[str, ...]:
        """From 0.5 on, of results: those clients look for them under GEPA's name, whatever the algorithm."""
        return tuple(dict.fromkeys((self.new(name), Family("gepa").new(name))))


def event(at: str, kind: str, message: str, data: Mapping[str, Any], level: str = "info") -> JobEvent:
    """An event without its place: the log gives `seq`. What is unknown (None) is left out of `data`."""
    return JobEvent(0, at, kind, message, known(data), level)


def known(data: Mapping[str, Any]) -> dict[str, Any]:
    """Without the values that are None."""
    return {key: value for key, value in data.items() if value is not None}


def event_text(job_id: str, told: JobEvent) -> str:
    """One event as every client reads it, from pages and streams alike: JSON on one line.

    Its data go out as they are stored: the last event of a job may be megabytes.
    """
    head = {
        "job_id": job_id,
        "seq": told.seq,
        "type": told.type,
        "message": told.message,
        "level": told.level,
        "created_at": told.at,
        "ts": told.at,
        **known({"timestamp_ms": _milliseconds(told.at)}),
    }
    data = told.data.text if isinstance(told.data, Written) else canonical_json(dict(told.data))
    for mark, escape in LINE_ENDS.items():
        data = data.replace(mark, escape)
    return f'{json.dumps(head)[:-1]}, "data": {data}}}'


def _milliseconds(at: str) -> int | None:
    try:
        return round(datetime.datetime.fromisoformat(at).timestamp() * 1_000)
    except ValueError:
        return None


def is_terminal(told: JobEvent) -> bool:
    """True for an event after which a job has no others (unless it is resumed)."""
    ends = (".job.completed", ".job.failed", ".job.cancelled")
    return told.type.startswith("learning.policy.") and told.type.endswith(ends)


def metric_points(told: list[JobEvent], limit: int) -> list[dict[str, Any]]:
    """The newest `limit` points of the curve that clients draw: mean rewards in order of evaluation."""
    scored = [e for e in told if e.type == "prompt.learning.trial.results"]
    points = [
        {
            "name": "gepa.transformation.mean_score",
            "value": scored_event.data["mean"],
            "step": number,
            "created_at": scored_event.at,
            "phase": "optimization",
            "data": {"n": scored_event.data["completed"]},
        }
        for number, scored_event in enumerate(scored)
    ]
    return points[-limit:] if limit > 0 else []
