"""What can be done with a job's messages while they arrive."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

from paretune.sdk.models import as_number, status_of


class StreamType(StrEnum):
    STATUS = "status"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """An event of a job, as it is on the wire, or a reading of its status. Only events have a `seq`."""

    stream_type: StreamType
    job_id: str
    data: Mapping[str, Any] = field(default_factory=dict)
    seq: int | None = None

    @property
    def timestamp(self) -> str:
        """When it happened, as the server wrote it."""
        name = "created_at" if self.stream_type is StreamType.EVENT else "updated_at"
        return str(self.data.get(name) or "")


class StreamHandler(ABC):
    """Gets every message of a stream, in order, each once."""

    @abstractmethod
    def handle(self, message: StreamMessage) -> None:
        """One message that `should_handle` let through."""

    def should_handle(self, message: StreamMessage) -> bool:
        """Whether `handle` wants it."""
        return True

    def flush(self) -> None:  # noqa: B027 - most have nothing to flush
        """The stream has ended, in whatever way."""


class CallbackHandler(StreamHandler):
    """Calls functions with the data of messages."""

    def __init__(
        self,
        *,
        on_status: Callable[[dict[str, Any]], None] | None = None,
        on_event: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self._calls = {StreamType.STATUS: on_status, StreamType.EVENT: on_event}

    def handle(self, message: StreamMessage) -> None:
        if call := self._calls[message.stream_type]:
            call(dict(message.data))


class JSONHandler(StreamHandler):
    """A line of JSON for each message, on standard output or at the end of a file."""

    def __init__(self, output_file: str | Path | None = None, *, indent: int | None = None) -> None:
        self._path = Path(output_file) if output_file else None
        self._indent = indent
        self._file: TextIO | None = None

    def handle(self, message: StreamMessage) -> None:
        row = {"stream_type": message.stream_type.value, "job_id": message.job_id, "data": dict(message.data)}
        text = json.dumps(row, indent=self._indent, ensure_ascii=False)
        if self._path is None:
            print(text, flush=True)
            return
        if self._file is None:
            self._file = self._path.open("a", encoding="utf-8")
        self._file.write(text + "\n")

    def flush(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None


class CLIHandler(StreamHandler):
    """A line of text for each event, and for each status that is a new one."""

    def __init__(self) -> None:
        self._last = ""

    def handle(self, message: StreamMessage) -> None:
        if message.stream_type is StreamType.EVENT:
            kind, text = message.data.get("type", ""), message.data.get("message", "")
            print(f"{message.timestamp} {kind} {text}".strip(), flush=True)
            return
        line = status_line(message.job_id, message.data)
        if line != self._last:
            print(line, flush=True)
        self._last = line


def status_line(job_id: str, status: Mapping[str, Any]) -> str:
    """`pl_... running, best score 0.8000`."""
    best = as_number(status.get("best_score"))
    return f"{job_id} {status_of(status)}" + ("" if best is None else f", best score {best:.4f}")
