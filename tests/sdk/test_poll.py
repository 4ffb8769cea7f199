"""Waiting by asking: each status is told when it is read; time that is over is an error."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from paretune.sdk import (
    CallbackHandler,
    Connection,
    PolicyJobStatus,
    PolicyOptimizationJob,
    PromptLearningJob,
    PromptLearningJobPoller,
)
from support.far_server import FarJob, FarServer, Fault, events
from support.twins import API_KEY, FakeTime, Twin

ID = "pl_9c58b711c2644083"
JOBS = [PromptLearningJob, PolicyOptimizationJob]


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
    seen: list[str] = []
    tell: dict[str, dict[str, Any]] = {
        "poll_until_complete": {"on_status": lambda status: seen.append(status["status"])},
        "stream_until_complete": {
            "handlers": [CallbackHandler(on_status=lambda status: seen.append(status["status"]))]
        },
    }
    job = PromptLearningJob.from_job_id(ID, connection=connection)
    assert play(job, method, **tell[method])["status"] == "succeeded"
    assert seen == ["succeeded"], "an answer that is none is told to nobody"


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
