"""Waiting: each status and each event is told when it comes, and once; time that is over is an error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from paretune.sdk import (
    CallbackHandler,
    CLIHandler,
    Connection,
    JSONHandler,
    PolicyJobStatus,
    PolicyOptimizationJob,
    PromptLearningJob,
    PromptLearningJobPoller,
    StreamHandler,
    StreamMessage,
)
from support.far_server import FarJob, FarServer, Fault
from support.twins import API_KEY, FakeTime, Twin

ID = "pl_9c58b711c2644083"
Make = Callable[[], Any]
JOBS = [PromptLearningJob, PolicyOptimizationJob]


def event(seq: int, kind: str = "prompt.learning.progress", **data: Any) -> dict[str, Any]:
    return {"seq": seq, "type": kind, "message": f"number {seq}", "created_at": f"t{seq}", "data": data}


def events(count: int) -> list[dict[str, Any]]:
    """The last two are the two families' last ones."""
    last = ["prompt.learning.gepa.complete", "learning.policy.gepa.job.completed"]
    kinds = ["prompt.learning.progress"] * (count - 2) + last
    return [event(place + 1, kind) for place, kind in enumerate(kinds)]


# ---------------------------------------------------------------- polling


@pytest.mark.parametrize("kind", JOBS)
def test_each_status_is_told_when_it_is_read(
    far: FarServer, connection: Connection, time: FakeTime, play: Twin, kind: type[PromptLearningJob]
) -> None:
    far.add(FarJob(ID, statuses=["queued", "running", "running", "succeeded"], told={"best_score": 0.75}))
    seen: list[tuple[str, float]] = []
    job = kind.from_job_id(ID, connection=connection)
    end = play(
        job,
        "poll_until_complete",
        interval=2.0,
        on_status=lambda status: seen.append((status["status"], time.now)),
    )
    assert seen == [("queued", 1000.0), ("running", 1002.0), ("running", 1004.0), ("succeeded", 1006.0)]
    if kind is PromptLearningJob:
        assert (end["status"], end["best_score"]) == ("succeeded", 0.75)
    else:
        assert (end.status, end.best_score, end.succeeded) == (PolicyJobStatus.SUCCEEDED, 0.75, True)
        assert (end.job_id, end.algorithm, end.failed, end.error) == (ID, "gepa", False, None)


@pytest.mark.parametrize("method", ["poll_until_complete", "stream_until_complete"])
@pytest.mark.parametrize("kind", JOBS)
def test_a_job_that_outlives_the_wait_is_a_timeout_error(
    far: FarServer,
    connection: Connection,
    time: FakeTime,
    play: Twin,
    kind: type[PromptLearningJob],
    method: str,
) -> None:
    far.add(FarJob(ID, statuses=["running"]))
    job = kind.from_job_id(ID, connection=connection)
    with pytest.raises(TimeoutError, match=f"{ID} is still running after 100 s"):
        play(job, method, timeout=100.0, interval=30.0)
    assert time.now == pytest.approx(1100.0)


def test_the_last_question_is_asked_at_the_deadline(
    far: FarServer, connection: Connection, time: FakeTime
) -> None:
    far.add(FarJob(ID, statuses=["running"] * 4 + ["succeeded"]))
    PromptLearningJob.from_job_id(ID, connection=connection).poll_until_complete(timeout=10.0, interval=3.0)
    assert time.naps == [3.0, 3.0, 3.0, pytest.approx(1.0)]


@pytest.mark.parametrize("last", ["failed", "cancelled", "canceled", "completed"])
def test_any_end_ends_the_wait(far: FarServer, play: Twin, last: str) -> None:
    far.add(FarJob(ID, statuses=[last], told={"error": "why"}))
    outcome = play(PromptLearningJobPoller(), "poll_job", ID)
    assert (outcome.status, outcome.payload["error"]) == (last, "why")
    result = play(PolicyOptimizationJob.from_job_id(ID), "poll_until_complete")
    assert result.is_terminal
    assert result.error == "why"


def test_a_resting_job_is_waited_for(far: FarServer, connection: Connection) -> None:
    far.add(FarJob(ID, statuses=["running", "paused", "running", "succeeded"]))
    job = PromptLearningJob.from_job_id(ID, connection=connection)
    assert job.poll_until_complete()["status"] == "succeeded"


def test_the_poller_waits_as_long_as_it_was_told(
    far: FarServer, connection: Connection, time: FakeTime, play: Twin
) -> None:
    far.add(FarJob(ID, statuses=["running"]))
    poller = PromptLearningJobPoller(far.url, API_KEY, interval=4.0, timeout=9.0, connection=connection)
    with pytest.raises(TimeoutError):
        play(poller, "poll_job", ID)
    assert time.naps == [4.0, 4.0, pytest.approx(1.0)]


FAULTS = [Fault(0), Fault(502, "bad gateway"), Fault(200, "<html>"), Fault(200, "{}"), Fault(200, "[1]")]


@pytest.mark.parametrize("method", ["poll_until_complete", "stream_until_complete"])
def test_a_server_that_stumbles_is_asked_again(
    far: FarServer, connection: Connection, play: Twin, method: str
) -> None:
    far.add(FarJob(ID, events=events(3)))
    far.faults = {ID: list(FAULTS), "/stream": [Fault(0), Fault(503)]}
    job = PromptLearningJob.from_job_id(ID, connection=connection)
    assert play(job, method)["status"] == "succeeded"


@pytest.mark.parametrize("method", ["poll_until_complete", "stream_until_complete"])
def test_a_server_that_does_not_recover_is_a_runtime_error(
    far: FarServer, connection: Connection, time: FakeTime, play: Twin, method: str
) -> None:
    far.faults = {ID: [Fault(503, "down")] * 100, "/stream": [Fault(503, "down")] * 100}
    job = PromptLearningJob.from_job_id(ID, connection=connection)
    with pytest.raises(RuntimeError, match="answered 503: down"):
        play(job, method, interval=5.0)
    assert 60.0 <= time.now - 1000.0 <= 70.0


@pytest.mark.parametrize("method", ["get_status", "poll_until_complete", "stream_until_complete"])
@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_refusal_that_will_not_pass_is_raised_at_once(
    far: FarServer, connection: Connection, time: FakeTime, play: Twin, status: int, method: str
) -> None:
    fault = Fault(status, f'{{"detail": "not {API_KEY}"}}')
    far.faults = {ID: [fault] * 2, "/stream": [fault] * 2, "/events": [fault] * 2}
    job = PromptLearningJob.from_job_id(ID, connection=connection)
    with pytest.raises(RuntimeError, match=rf"answered {status}: not \*\*\*") as caught:
        play(job, method)
    assert API_KEY not in str(caught.value)
    assert not time.naps


def test_a_server_that_names_its_pause_gets_it(
    far: FarServer, connection: Connection, time: FakeTime, play: Twin
) -> None:
    far.add(FarJob(ID))
    far.faults = {ID: [Fault(429, "slow down", {"Retry-After": "21"})]}
    play(PromptLearningJob.from_job_id(ID, connection=connection), "poll_until_complete", interval=2.0)
    assert time.naps == [21.0]


@pytest.mark.parametrize(("interval", "timeout"), [(0.0, 1.0), (-1.0, 1.0), (1.0, -1.0)])
def test_times_that_make_no_sense_are_value_errors(far: FarServer, interval: float, timeout: float) -> None:
    far.add(FarJob(ID))
    with pytest.raises(ValueError, match="seconds"):
        PromptLearningJob.from_job_id(ID).poll_until_complete(interval=interval, timeout=timeout)


def test_progress_is_printed_line_by_line(
    far: FarServer, connection: Connection, play: Twin, capsys: pytest.CaptureFixture[str]
) -> None:
    far.add(FarJob(ID, statuses=["running", "succeeded"], told={"best_score": 0.5}))
    job = PolicyOptimizationJob.from_job_id(ID, connection=connection)
    play(job, "poll_until_complete", progress=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{ID} running, best score 0.5000", f"{ID} succeeded, best score 0.5000"]


# ---------------------------------------------------------------- listening


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


def test_handlers_are_flushed_and_errors_of_theirs_go_through(
    far: FarServer, connection: Connection, play: Twin
) -> None:
    far.add(FarJob(ID, statuses=["running"], events=events(3)))
    diary = Diary()

    def fails(one: dict[str, Any]) -> None:
        raise LookupError(one["seq"])

    with pytest.raises(LookupError, match="1"):
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


async def test_two_jobs_are_waited_for_at_once_and_a_wait_can_be_cancelled(far: FarServer) -> None:
    for place in range(2):
        far.add(FarJob(f"pl_{place}", statuses=["running"] * 3 + ["succeeded"]))
    jobs = [PromptLearningJob.from_job_id(f"pl_{place}") for place in range(2)]
    ends = await asyncio.gather(*(job.poll_until_complete_async(interval=0.01) for job in jobs))
    assert [end["status"] for end in ends] == ["succeeded", "succeeded"]
    far.add(FarJob(ID, statuses=["running"]))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await PromptLearningJob.from_job_id(ID).poll_until_complete_async(interval=0.01)
