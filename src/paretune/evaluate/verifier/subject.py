"""What is judged: the part of a rollout that a judge sees."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from paretune.core.canonical import JsonValue, digest
from paretune.core.errors import AttemptFailed, FailureKind
from paretune.core.rollout import Answer

LONGEST_TEXT, LONGEST_EVENT = 20_000, 4_000
MOST_EVENTS = 20
"""Of more, the first and the last ones are judged."""

HISTORIES = ("event_history", "events", "steps", "turns", "messages")
PASSING = frozenset(
    {"id", "at", "time", "timestamp", "created", "created_at", "duration", "latency", "usage", "seconds"}
)
"""Keys whose values change from call to call though nothing else does."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A rollout as its judges see it. Neither the prompt nor the environment's reward is among it: what is
    judged is what came out. `notes` are what judges before this one said."""

    input: str
    output: str
    expected: str
    events: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        return digest(asdict(self), 32)


def subject_of(answer: Answer) -> Subject:
    """Raises AttemptFailed(VERIFIER) if the task showed nothing that could be judged."""
    events = _events(answer.trace)
    if not answer.output and not events:
        raise AttemptFailed(
            FailureKind.VERIFIER, "the task shows neither an output nor a trace: there is nothing to judge"
        )
    return Subject(
        cut(answer.input, LONGEST_TEXT),
        cut(answer.output, LONGEST_TEXT),
        cut(answer.expected, LONGEST_TEXT),
        events or (cut(answer.output, LONGEST_EVENT),),
    )


def cut(text: str, most: int) -> str:
    """The text, or its beginning and its end."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} [... {len(text) - 2 * half} characters left out ...] {text[-half:]}"


def _events(trace: JsonValue) -> tuple[str, ...]:
    """The events of a trace as texts, without what changes by itself; empty where there is no list of
    them."""
    history = trace if isinstance(trace, list) else None
    if isinstance(trace, Mapping):
        found = (trace.get(name) for name in HISTORIES)
        history = next((value for value in found if isinstance(value, list) and value), None)
    if not history:
        return ()
    if len(history) > MOST_EVENTS:
        history = [*history[: MOST_EVENTS // 2], *history[-(MOST_EVENTS - MOST_EVENTS // 2) :]]
    return tuple(cut(_text(event), LONGEST_EVENT) for event in history)


def _text(event: JsonValue) -> str:
    return (
        event if isinstance(event, str) else json.dumps(_lasting(event), sort_keys=True, ensure_ascii=False)
    )


def _lasting(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _lasting(item) for key, item in value.items() if not _passes(str(key))}
    if isinstance(value, list):
        return [_lasting(item) for item in value]
    return value


def _passes(key: str) -> bool:
    return key in PASSING or key.endswith(("_id", "_at", "_ms", "_seconds"))
