"""Waiting for a job: by asking again and again, or by listening to its events."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any

from paretune.sdk.backend import Backend
from paretune.sdk.connection import EVENT_STREAM
from paretune.sdk.errors import BadAnswer, HTTPError, InvalidJob, SdkError, StillRunning, Unreachable
from paretune.sdk.flow import Close, Flow, NextLine, Open, Reply, Sleep
from paretune.sdk.handlers import StreamHandler, StreamMessage, StreamType
from paretune.sdk.models import PolicyJobStatus, status_of

PATIENCE_SECONDS = 60.0
PATIENCE_FAILURES = 5
"""A server that fails so often, and for so long, is given up; a restart takes less."""
QUIET_SECONDS = 60.0
"""A stream that brings nothing for so long, not even a comment, is taken for broken."""
IDLE_DROPS = 3
"""So many streams in a row that end without an event: from then on the events are asked for."""
PAGE = 10_000

TERMINAL = frozenset(
    {f"{name}.complete" for name in ("prompt.learning.gepa", "prompt.learning.mipro", "gepa", "mipro")}
    | {f"{name}.failed" for name in ("prompt.learning.gepa", "prompt.learning.mipro", "gepa", "mipro")}
    | {
        f"learning.policy.{name}.job.{end}"
        for name in ("gepa", "mipro")
        for end in ("completed", "failed", "cancelled")
    }
    | {f"{name}.{end}" for name in ("workflow", "training") for end in ("completed", "failed")}
)
"""Types of the events that are a job's last."""


@dataclass(frozen=True, slots=True)
class JobRoutes:
    """Where one job is asked for, in the dialect of the class that waits for it."""

    backend: Backend
    job_id: str
    status_prefix: str
    events_prefix: str

    def status(self, timeout: float | None = None) -> Flow[dict[str, Any]]:
        """The job's status. Raises SdkError, BadAnswer also for an answer without a status."""
        request = self.backend.request("GET", f"{self.status_prefix}/{self.job_id}", timeout=timeout)
        payload = yield from self.backend.ask_object(request)
        if not status_of(payload):
            raise BadAnswer(request.url, "no status")
        return payload

    def page(self, since: int, timeout: float | None = None) -> Flow[list[dict[str, Any]]]:
        """Events after `since`, at most a page of them, in order, each once."""
        path, params = f"{self.events_prefix}/{self.job_id}/events", {"since_seq": since, "limit": PAGE}
        request = self.backend.request("GET", path, params=params, timeout=timeout)
        answer = yield from self.backend.ask(request)
        found = answer.get("events") if isinstance(answer, Mapping) else answer
        if not isinstance(found, list):
            raise BadAnswer(request.url, "no list of events")
        numbered = {_seq(event): event for event in found if isinstance(event, dict)}
        return [numbered[seq] for seq in sorted(numbered) if seq > since]

    def all_events(self) -> Flow[list[dict[str, Any]]]:
        """Every event so far."""
        events: list[dict[str, Any]] = []
        while page := (yield from self.page(_seq(events[-1]) if events else 0)):
            events += page
        return events

    def stream(self, since: int, wait: float) -> Open:
        path = f"{self.status_prefix}/{self.job_id}/events/stream"
        request = self.backend.request("GET", path, params={"since_seq": since}, timeout=wait)
        headers = {**request.headers, "Accept": EVENT_STREAM, "Last-Event-ID": str(since)}
        return Open(replace(request, headers=headers))


@dataclass(slots=True)
class Deadline:
    """How long is left to wait, and how long a server that fails is put up with. Seconds."""

    job_id: str
    timeout: float
    interval: float
    now: Callable[[], float]
    last: str = "of unknown status"
    failures: int = 0
    end: float = field(init=False)
    well: float = field(init=False)

    def __post_init__(self) -> None:
        if not self.interval > 0:
            raise InvalidJob("interval", f"must be more than 0 seconds, got {self.interval}")
        if not self.timeout >= 0:
            raise InvalidJob("timeout", f"must not be less than 0 seconds, got {self.timeout}")
        self.well = self.now()
        self.end = self.well + self.timeout

    @property
    def left(self) -> float:
        return self.end - self.now()

    def request(self, most: float | None) -> float:
        """Seconds for one request: it must not outlive the deadline by much."""
        left = max(self.left, 1.0)
        return left if most is None else min(most, left)

    def succeeded(self, status: str) -> None:
        self.last, self.failures, self.well = status, 0, self.now()

    def failed(self, error: SdkError) -> None:
        """Raises the error if it will not pass, or has lasted too long."""
        self.failures += 1
        lasted = self.now() - self.well
        if not error.passing or (self.failures >= PATIENCE_FAILURES and lasted >= PATIENCE_SECONDS):
            raise error

    def pause(self, wanted: float) -> Flow[None]:
        """Sleep, but not past the end. Raises StillRunning if that is reached already."""
        left = self.left
        if left <= 0:
            raise StillRunning(
                f"{self.job_id} is still {self.last} after {self.timeout:g} s; it goes on by itself: wait "
                "again, or cancel()"
            )
        yield Sleep(min(wanted, left))


def poll(
    routes: JobRoutes,
    deadline: Deadline,
    *,
    on_status: Callable[[dict[str, Any]], None],
    request_timeout: float | None = None,
) -> Flow[dict[str, Any]]:
    """Ask every `interval` seconds until the job has ended; `on_status` is called with each answer.

    Raises StillRunning (a TimeoutError) at the deadline, SdkError if the server will not recover.
    """
    while True:
        pause = deadline.interval
        try:
            status = yield from routes.status(deadline.request(request_timeout))
        except SdkError as error:
            deadline.failed(error)
            pause = max(pause, _retry_after(error))
        else:
            deadline.succeeded(status_of(status))
            on_status(status)
            if _ended(status):
                return status
        yield from deadline.pause(pause)


class _Theirs(Exception):
    """A handler's own error, which must not be taken for one of the server's."""

    def __init__(self, error: SdkError) -> None:
        super().__init__(error)
        self.error = error


class _End(Enum):
    """How listening to a stream ended."""

    OVER = auto()
    BROKEN = auto()
    NOT_OFFERED = auto()


@dataclass(slots=True)
class Listener:
    """Hands on every event once, in order; `seen` is the number of the last one.

    `drops` counts rounds in a row that brought no event; `asking`: no streams any more; `over`: the job's
    last event was seen.
    """

    routes: JobRoutes
    deadline: Deadline
    handlers: Sequence[StreamHandler]
    seen: int = 0
    drops: int = 0
    asking: bool = False
    over: bool = False
    checked: float = field(init=False)

    def __post_init__(self) -> None:
        self.checked = self.deadline.now()

    def follow(self) -> Flow[dict[str, Any]]:
        """Listen until the job has ended; its last status.

        A stream that breaks is opened again from the event after the last one seen. Where none is offered,
        or it keeps ending without an event, events are asked for instead. Raises as `poll` does.
        """
        try:
            while True:
                try:
                    status = yield from self._round()
                except SdkError as error:
                    self.deadline.failed(error)
                    pause = _retry_after(error) or self._backoff(self.deadline.failures)
                else:
                    if _ended(status):
                        return status
                    slow = self.asking and not self.over
                    pause = self.deadline.interval if slow else self._backoff(self.drops)
                yield from self.deadline.pause(pause)
        except _Theirs as theirs:
            raise theirs.error from None
        finally:
            for handler in self.handlers:
                handler.flush()

    def _backoff(self, times: int) -> float:
        return min(0.5 * 2.0 ** min(times, 10), self.deadline.interval)

    def _round(self) -> Flow[dict[str, Any]]:
        """Listen once, or ask once; then the status, with all its events before it if it is the last one."""
        before = self.seen
        if not (self.asking or self.over):
            yield from self._listen()
        if self.asking:
            yield from self._catch_up()
        status = yield from self._check()
        # Counted now, that the server is known to be well: one that restarts has streams again.
        self.drops = self.drops + 1 if self.seen == before else 0
        self.asking = self.asking or self.drops >= IDLE_DROPS
        if _ended(status):
            yield from self._catch_up()
            self._hand_on(StreamMessage(StreamType.STATUS, self.routes.job_id, status))
        return status

    def _listen(self) -> Flow[None]:
        end = yield from self._one_stream()
        yield Close()
        self.asking = end is _End.NOT_OFFERED
        self.over = end is _End.OVER

    def _one_stream(self) -> Flow[_End]:
        """Raises HTTPError for a refusal that will not pass."""
        opening = self.routes.stream(self.seen, self.deadline.request(QUIET_SECONDS))
        try:
            reply: Reply = yield opening
            if reply.status == 200 and reply.content_type == EVENT_STREAM:
                return (yield from self._read())
        except Unreachable:
            return _End.BROKEN
        if reply.status in (200, 404, 405, 406, 501):
            return _End.NOT_OFFERED
        refusal = self.routes.backend.refusal(opening.request.url, reply)
        if not refusal.passing:
            raise refusal
        return _End.BROKEN

    def _read(self) -> Flow[_End]:
        """Until the job's last event, or a status that is its last, or the end of the stream."""
        lines: list[str] = []
        while (line := (yield NextLine())) is not None:
            if line.startswith("data:"):
                lines.append(line.removeprefix("data:").removeprefix(" "))
            elif not line and lines:
                event = _event("\n".join(lines))
                lines = []
                if event is None:
                    return _End.BROKEN
                self._take(event)
                if event.get("type") in TERMINAL:
                    return _End.OVER
            if self.deadline.left <= 0:
                return _End.BROKEN
            if self.deadline.now() - self.checked >= self.deadline.interval:
                status = yield from self._check()
                if _ended(status):
                    return _End.OVER
        return _End.BROKEN

    def _check(self) -> Flow[dict[str, Any]]:
        """The status, handed on unless it is the last one: that comes after all events."""
        status = yield from self.routes.status(self.deadline.request(30.0))
        self.deadline.succeeded(status_of(status))
        self.checked = self.deadline.now()
        if not _ended(status):
            self._hand_on(StreamMessage(StreamType.STATUS, self.routes.job_id, status))
        return status

    def _catch_up(self) -> Flow[None]:
        while page := (yield from self.routes.page(self.seen, self.deadline.request(30.0))):
            for event in page:
                self._take(event)

    def _take(self, event: dict[str, Any]) -> None:
        """An event without a number, or with one that was here already, is passed over."""
        seq = _seq(event)
        if seq > self.seen:
            self.seen = seq
            self._hand_on(StreamMessage(StreamType.EVENT, self.routes.job_id, event, seq))

    def _hand_on(self, message: StreamMessage) -> None:
        for handler in self.handlers:
            try:
                if handler.should_handle(message):
                    handler.handle(message)
            except SdkError as error:
                raise _Theirs(error) from None


def _ended(status: Mapping[str, Any]) -> bool:
    return PolicyJobStatus.from_string(status_of(status)).is_terminal


def _retry_after(error: SdkError) -> float:
    return (error.retry_after or 0.0) if isinstance(error, HTTPError) else 0.0


def _seq(event: Mapping[str, Any]) -> int:
    seq = event.get("seq")
    return seq if isinstance(seq, int) and not isinstance(seq, bool) else 0


def _event(text: str) -> dict[str, Any] | None:
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None
