"""Waiting by listening: each event is told when it comes, in order and once, though the stream breaks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from paretune.sdk import (
    CallbackHandler,
    CLIHandler,
    Connection,
    JSONHandler,
    PolicyOptimizationJob,
    PromptLearningJob,
    StreamHandler,
    StreamMessage,
)
from paretune.sdk.errors import Unreachable
from support.far_server import FarJob, FarServer, Fault, event, events
from support.twins import FakeTime, Twin

ID = "pl_9c58b711c2644083"
JOBS = [PromptLearningJob, PolicyOptimizationJob]


class Diary(StreamHandler):
    def __init__(self) -> None:
        self.rows: list[str] = []

    def handle(self, message: StreamMessage) -> None:
        self.rows.append(str(message.seq or message.data["status"]))

    def flush(self) -> None:
        self.rows.append("end")


@pytest.mark.parametrize("kind", JOBS)
def test_each_event_is_told_once_though_the_stream_breaks(
    far: FarServer, connection: Connection, play: Twin, kind: type[PromptLearningJob]
) -> None:
    far.add(FarJob(ID, statuses=["running"] * 3 + ["succeeded"], events=events(8), streams=[3, 2, 2]))
    seen: list[int] = []
    job = kind.from_job_id(ID, connection=connection)
    end = play(job, "stream_until_complete", on_event=lambda one: seen.append(one["seq"]))
    assert seen == [1, 2, 3, 4, 5, 6, 7, 8]
    assert (end["status"] if kind is PromptLearningJob else end.status) == "succeeded"
    streams = far.asked("GET", "/events/stream")
    assert [call.query["since_seq"] for call in streams] == ["0", "3", "5"]
    assert [call.headers["last-event-id"] for call in streams] == ["0", "3", "5"]
    assert streams[0].path.startswith(f"{kind.SERVED_AT}/{ID}")


def test_events_are_told_before_the_job_has_ended(far: FarServer, connection: Connection, play: Twin) -> None:
    job = far.add(FarJob(ID, statuses=["running"], events=[event(1), event(2)], streams=[1]))
    seen: list[int] = []

    def told(one: dict[str, Any]) -> None:
        seen.append(one["seq"])
        if one["seq"] == 2:
            # Only now, after its second event was told here, does the job go on.
            job.events += [event(3, "learning.policy.gepa.job.completed")]
            job.statuses = ["succeeded"]

    play(PolicyOptimizationJob.from_job_id(ID, connection=connection), "stream_until_complete", on_event=told)
    assert seen == [1, 2, 3]


def test_a_job_that_failed_and_was_resumed_is_listened_to(
    far: FarServer, connection: Connection, play: Twin
) -> None:
    first = [event(1), event(2, "learning.policy.gepa.job.failed"), event(3)]
    job = far.add(FarJob(ID, statuses=["running"], events=first, streams=[2, 1]))
    seen: list[int] = []

    def told(one: dict[str, Any]) -> None:
        seen.append(one["seq"])
        if one["seq"] == 3:
            job.events += [event(4)]
        if one["seq"] == 4:
            # Told while it is at work, and not with its end.
            job.events += [event(5, "learning.policy.gepa.job.completed")]
            job.statuses = ["succeeded"]

    play(PolicyOptimizationJob.from_job_id(ID, connection=connection), "stream_until_complete", on_event=told)
    assert seen == [1, 2, 3, 4, 5]


def test_a_replay_from_the_beginning_is_not_told_again(
    far: FarServer, connection: Connection, play: Twin
) -> None:
    """For servers that know no `since_seq`, as the hosted ones do."""
    job = far.add(FarJob(ID, statuses=["running", "succeeded"], events=events(5), streams=[2, 2]))
    again = [event(1), event(2), *job.events[2:]]
    job.events = [*job.events[:2], *again]
    seen: list[int] = []
    play(
        PromptLearningJob.from_job_id(ID, connection=connection),
        "stream_until_complete",
        on_event=lambda one: seen.append(one["seq"]),
    )
    assert seen == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "fault",
    [Fault(404), Fault(200, "{}", {"Content-Type": "application/json"})],
    ids=["no such route", "no stream"],
)
def test_without_a_stream_events_are_asked_for(
    far: FarServer, connection: Connection, time: FakeTime, play: Twin, fault: Fault
) -> None:
    far.add(FarJob(ID, statuses=["running", "running", "succeeded"], events=events(6)))
    far.faults = {"/stream": [fault]}
    seen: list[int] = []
    play(
        PromptLearningJob.from_job_id(ID, connection=connection),
        "stream_until_complete",
        interval=7.0,
        on_event=lambda one: seen.append(one["seq"]),
    )
    assert seen == [1, 2, 3, 4, 5, 6]
    assert time.naps == [7.0, 7.0]
    assert len(far.asked("GET", "/stream")) == 1


def test_events_may_hold_what_unicode_calls_the_end_of_a_line(far: FarServer, play: Twin) -> None:
    texts = ["a\u2028b", "c\u0085d\x0ce", "f\U0001f600"]
    log = [event(place + 1, text=text) for place, text in enumerate(texts)]
    far.add(FarJob(ID, events=[*log, event(4, "learning.policy.gepa.job.completed")]))
    seen: list[str] = []
    job = PromptLearningJob.from_job_id(ID)
    play(job, "stream_until_complete", on_event=lambda one: seen.append(one["data"].get("text")))
    assert seen == [*texts, None]
    assert [call.query["since_seq"] for call in far.asked("GET", "/events")] == ["4"], "none was asked for"


@pytest.mark.parametrize("status", [0, 503, 504])
def test_streams_that_never_open_are_given_up_for_questions(
    far: FarServer, connection: Connection, play: Twin, status: int
) -> None:
    """A proxy in between may not let them through."""
    far.add(FarJob(ID, statuses=["running"] * 9 + ["succeeded"], events=events(4)))
    far.faults = {"/stream": [Fault(status)] * 99}
    seen: list[int] = []
    job = PromptLearningJob.from_job_id(ID, connection=connection)
    play(job, "stream_until_complete", on_event=lambda one: seen.append(one["seq"]))
    assert seen == [1, 2, 3, 4]
    assert len(far.asked("GET", "/stream")) == 3


@pytest.mark.parametrize("garbage", ["data: {not json\n\n", "data: 7\n\n", ": only a comment\n\n", ""])
def test_streams_that_bring_nothing_are_given_up_for_questions(
    far: FarServer, connection: Connection, play: Twin, garbage: str
) -> None:
    far.add(FarJob(ID, statuses=["running"] * 5 + ["succeeded"], events=events(4)))
    far.faults = {"/stream": [Fault(200, garbage, {"Content-Type": "text/event-stream"})] * 9}
    seen: list[int] = []
    play(
        PromptLearningJob.from_job_id(ID, connection=connection),
        "stream_until_complete",
        on_event=lambda one: seen.append(one["seq"]),
    )
    assert seen == [1, 2, 3, 4]
    assert len(far.asked("GET", "/stream")) == 3


def test_the_status_is_read_while_the_stream_is_open(
    far: FarServer, connection: Connection, time: FakeTime, play: Twin
) -> None:
    """A stream may go on without the job's last event, with comments only."""
    far.add(FarJob(ID, statuses=["running", "running", "succeeded"], events=events(6)[:4]))
    diary = Diary()

    class Slow(StreamHandler):
        def handle(self, message: StreamMessage) -> None:
            time.now += 10.0

        def should_handle(self, message: StreamMessage) -> bool:
            return message.stream_type == "event"

    play(
        PromptLearningJob.from_job_id(ID, connection=connection),
        "stream_until_complete",
        interval=15.0,
        handlers=[Slow(), diary],
    )
    assert diary.rows == ["1", "2", "running", "3", "4", "running", "succeeded", "end"]


@pytest.mark.parametrize("error", [LookupError("theirs"), Unreachable("theirs", "")])
def test_handlers_are_flushed_and_errors_of_theirs_go_through(
    far: FarServer, connection: Connection, play: Twin, error: Exception
) -> None:
    far.add(FarJob(ID, statuses=["running"], events=events(3)))
    diary = Diary()

    def fails(one: dict[str, Any]) -> None:
        raise error

    with pytest.raises(type(error), match="theirs"):
        play(
            PromptLearningJob.from_job_id(ID, connection=connection),
            "stream_until_complete",
            handlers=[diary],
            on_event=fails,
        )
    assert diary.rows == ["1", "end"]


def test_the_simple_handlers(
    far: FarServer, connection: Connection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    far.add(FarJob(ID, statuses=["succeeded"], events=events(2)))
    statuses: list[str] = []
    handlers = [
        CLIHandler(),
        JSONHandler(tmp_path / "log.jsonl"),
        CallbackHandler(on_status=lambda status: statuses.append(status["status"])),
    ]
    PromptLearningJob.from_job_id(ID, connection=connection).stream_until_complete(handlers=handlers)
    assert capsys.readouterr().out.splitlines() == [
        "t1 prompt.learning.gepa.complete number 1",
        "t2 learning.policy.gepa.job.completed number 2",
        f"{ID} succeeded",
    ]
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["stream_type"] for row in rows] == ["event", "event", "status"]
    assert statuses == ["succeeded"]


def test_a_stream_that_falls_silent_is_opened_again(time: FakeTime, play: Twin) -> None:
    """Over a transport of the caller's own."""
    log = events(4)
    opened: list[str] = []

    def lines(count: int) -> bytes:
        return b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in log[:count])

    class Silent(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield lines(2)
            time.sleep(60.0)
            raise httpx.ReadTimeout("")

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for chunk in self:
                yield chunk

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            return httpx.Response(200, json=log[int(request.url.params["since_seq"]) :])
        if not request.url.path.endswith("/stream"):
            return httpx.Response(200, json={"status": "running" if len(opened) < 2 else "succeeded"})
        opened.append(request.url.params["since_seq"])
        assert request.extensions["timeout"]["read"] == 60.0
        stream = Silent() if len(opened) == 1 else httpx.ByteStream(lines(4))
        return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, stream=stream)

    far = httpx.MockTransport(answer)
    connection = Connection(far, far, lambda: time.now, time.sleep, time.sleep_async)
    seen: list[int] = []
    job = PromptLearningJob.from_job_id(ID, "http://far", connection=connection)
    play(job, "stream_until_complete", on_event=lambda one: seen.append(one["seq"]))
    assert seen == [1, 2, 3, 4]
    assert opened == ["0", "2"]


def test_a_stream_without_end_is_left_at_the_deadline(time: FakeTime, play: Twin) -> None:
    class Endless(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                time.now += 10.0
                yield b": still here\n\n"

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for chunk in self:
                yield chunk

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/stream"):
            return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, stream=Endless())
        return httpx.Response(200, json={"status": "running"})

    far = httpx.MockTransport(answer)
    connection = Connection(far, far, lambda: time.now, time.sleep, time.sleep_async)
    job = PromptLearningJob.from_job_id(ID, "http://far", connection=connection)
    with pytest.raises(TimeoutError, match="still running after 100 s"):
        play(job, "stream_until_complete", timeout=100.0)
    assert time.now == 1100.0
