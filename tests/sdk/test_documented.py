"""What the documented methods give back, and how they fail: a row for each thing the documents say.

000: results of a job by `SynthClient`. 001: `PromptLearningJob`. 002: `PolicyOptimizationJob`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paretune.sdk import (
    Algorithm,
    OfflineJob,
    PolicyCandidate,
    PolicyCandidatePage,
    PolicyOptimizationJob,
    PolicyOptimizationJobConfig,
    PolicyOptimizationResult,
    PollOutcome,
    PromptLearningJob,
    PromptLearningJobConfig,
    PromptLearningJobPoller,
    SynthClient,
)
from support.far_server import FarJob, FarServer, Fault
from support.twins import API_KEY, TASK_KEY, Twin

ID = "pl_9c58b711c2644083"

# ---------------------------------------------------------------- what is called

Call = Callable[[FarServer, Path, Twin], Any]
Make = Callable[[FarServer, Path], Any]


def known(kind: type[PromptLearningJob] | type[PolicyOptimizationJob], job_id: str = ID) -> Make:
    return lambda far, file: kind.from_job_id(job_id)


def fresh(kind: type[PromptLearningJob] | type[PolicyOptimizationJob]) -> Make:
    return lambda far, file: kind.from_config(file)


def jobs(far: FarServer, file: Path) -> Any:
    return SynthClient(api_key=API_KEY).optimization.offline


def job(far: FarServer, file: Path) -> OfflineJob:
    return SynthClient(api_key=API_KEY).optimization.offline.get(job_id=ID)


def ask(make: Make, method: str, *args: Any, **kwargs: Any) -> Call:
    """A method that asks the server, of what `make` makes."""
    return lambda far, file, play: play(make(far, file), method, *args, **kwargs)


def after(change: Callable[[FarServer, Path], object], call: Call) -> Call:
    def changed(far: FarServer, file: Path, play: Twin) -> Any:
        change(far, file)
        return call(far, file, play)

    return changed


def plain(make: Make) -> Call:
    return lambda far, file, play: make(far, file)


# ---------------------------------------------------------------- what comes back

A, B = PromptLearningJob, PolicyOptimizationJob
POLLER: Make = lambda far, file: PromptLearningJobPoller()  # noqa: E731
DSL = ("x = 1", "dsl_config")
RESULT = PolicyOptimizationResult
BARE = {"algorithm": "gepa", "task_app_url": "http://x"}

Row = tuple[str, str, Call, Callable[[Any], Any]]
RETURNS: list[Row] = [
    (
        "000",
        "offline.get",
        ask(jobs, "get", job_id=ID),
        lambda it: type(it) is OfflineJob and it.job_id == ID,
    ),
    ("000", "offline.list", ask(jobs, "list", state="running"), lambda it: it["jobs"] == [{"job_id": ID}]),
    ("000", "status", ask(job, "status"), lambda it: it["status"] == "succeeded"),
    ("000", "events", ask(job, "events", limit=1), lambda it: [one["seq"] for one in it["events"]] == [1]),
    ("000", "artifacts", ask(job, "artifacts"), lambda it: it == {"artifacts": [{"kind": "prompt"}]}),
    (
        "000",
        "list_candidates_typed",
        ask(job, "list_candidates_typed", include="artifact_payload"),
        lambda it: (
            type(it) is PolicyCandidatePage
            and [(one.candidate_content, one.artifact_kind) for one in it] == [DSL]
        ),
    ),
    *(
        (
            "000",
            f"{kind.__name__}.list_candidates_typed",
            ask(known(kind), "list_candidates_typed", include="artifact_payload"),
            lambda it: type(it[0]) is PolicyCandidate and it[0].artifact_payload["candidate_code"] == DSL[0],
        )
        for kind in (A, B)
    ),
    ("000", "pause", ask(job, "pause"), lambda it: it["status"] == "paused"),
    ("000", "resume", ask(job, "resume"), lambda it: it["status"] == "running"),
    ("000", "cancel", ask(job, "cancel"), lambda it: it["status"] == "cancelled"),
    ("001", "poll_job", ask(POLLER, "poll_job", ID), lambda it: type(it) is PollOutcome),
    ("001", "poll_job's status", ask(POLLER, "poll_job", ID), lambda it: it.status == "succeeded"),
    ("001", "poll_job's payload", ask(POLLER, "poll_job", ID), lambda it: it.payload["job_id"] == ID),
    ("001", "from_config", plain(fresh(A)), lambda it: type(it) is A),
    (
        "001",
        "from_config of a text",
        plain(lambda far, file: A.from_config(str(file))),
        lambda it: type(it) is A,
    ),
    ("001", "from_job_id", plain(known(A)), lambda it: type(it) is A and it.job_id == ID),
    ("001", "submit", ask(fresh(A), "submit"), lambda it: it == "pl_0000000000000001"),
    ("001", "job_id before submit", plain(fresh(A)), lambda it: it.job_id is None),
    ("001", "get_status", ask(known(A), "get_status"), lambda it: it["status"] == "succeeded"),
    ("001", "poll_until_complete", ask(known(A), "poll_until_complete"), lambda it: it["best_score"] == 0.9),
    ("001", "get_results", ask(known(A), "get_results"), lambda it: {"best_prompt", "best_score"} <= set(it)),
    ("001", "get_best_prompt_text", ask(known(A), "get_best_prompt_text"), lambda it: it == "the text"),
    ("001", "no such rank", ask(known(A), "get_best_prompt_text", rank=9), lambda it: it is None),
    (
        "002",
        "any case",
        plain(lambda far, file: Algorithm.from_string("MiPRO")),
        lambda it: it is Algorithm.MIPRO,
    ),
    (
        "002",
        "invalid",
        plain(lambda far, file: Algorithm.from_string("nonsense")),
        lambda it: it is Algorithm.GEPA,
    ),
    (
        "002",
        "to_prompt_learning_config",
        plain(lambda far, file: PolicyOptimizationJobConfig(config_path=file).to_prompt_learning_config()),
        lambda it: it["prompt_learning"]["task_app_api_key"] == "$ENVIRONMENT_API_KEY",
    ),
    ("002", "from_config", plain(fresh(B)), lambda it: type(it) is B),
    ("002", "from_dict", plain(lambda far, file: B.from_dict(BARE)), lambda it: type(it) is B),
    (
        "002",
        "algorithm",
        plain(lambda far, file: B.from_dict(BARE).algorithm),
        lambda it: it is Algorithm.GEPA,
    ),
    ("002", "from_job_id", plain(known(B)), lambda it: type(it) is B and it.job_id == ID),
    ("002", "submit", ask(fresh(B), "submit"), lambda it: it == "pl_0000000000000001"),
    ("002", "job_id before submit", plain(fresh(B)), lambda it: it.job_id is None),
    ("002", "get_status", ask(known(B), "get_status"), lambda it: it["status"] == "succeeded"),
    *(
        ("002", method, ask(known(B), method), lambda it: type(it) is RESULT and it.best_score == 0.9)
        for method in ("poll_until_complete", "stream_until_complete")
    ),
    ("002", "get_results", ask(known(B), "get_results"), lambda it: {"best_prompt", "best_score"} <= set(it)),
    ("002", "get_best_prompt_text", ask(known(B), "get_best_prompt_text"), lambda it: it == "the text"),
    ("002", "no such rank", ask(known(B), "get_best_prompt_text", rank=9), lambda it: it is None),
    ("002", "cancel", ask(known(B), "cancel"), lambda it: (it["job_id"], it["message"]) == (ID, "")),
    (
        "002",
        "cancel's reason",
        ask(known(B), "cancel", reason="enough"),
        lambda it: it["message"] == "enough",
    ),
    (
        "002",
        "query_workflow_state",
        ask(known(B), "query_workflow_state"),
        lambda it: it == {"job_id": ID, "workflow_state": {"status": "succeeded"}, "error": None},
    ),
]


@pytest.mark.parametrize(
    ("seed", "name", "call", "right"), RETURNS, ids=[f"{seed}-{name}" for seed, name, _, _ in RETURNS]
)
def test_return(
    far: FarServer, file: Path, play: Twin, seed: str, name: str, call: Call, right: Callable[[Any], Any]
) -> None:
    top = {"rank": 1, "full_text": "the text"}
    candidate = {"candidate_id": "c", "artifact_kind": DSL[1], "artifact_payload": {"candidate_code": DSL[0]}}
    kinds = ["prompt.learning.top.prompt.content", "learning.policy.gepa.job.completed"]
    events = [{"seq": place + 1, "type": kind, "data": top} for place, kind in enumerate(kinds)]
    far.add(FarJob(ID, told={"best_score": 0.9}, events=events, candidates=[candidate]))
    assert right(call(far, file, play))


# ---------------------------------------------------------------- errors

WAITS = ["get_status", "poll_until_complete", "get_results", "get_best_prompt_text"]
ASKS = {A: WAITS, B: [*WAITS, "stream_until_complete", "cancel", "query_workflow_state"]}
BAD_IDS = ["bad", "", "pl_", "pl_../x", "PL_1", "pl_1\n"]
BAD_FILES = ["", "[other]\na = 1", "not toml", '[prompt_learning]\nalgorithm = "gepa"']
NO_ALGORITHM = '[prompt_learning]\ntask_app_url = "http://x"'


def elsewhere(kind: type[PromptLearningJob] | type[PolicyOptimizationJob]) -> Call:
    return lambda far, file, play: kind.from_config(file.parent / "none.toml")


def written(text: str) -> Callable[[FarServer, Path], object]:
    return lambda far, file: file.write_text(text)


def broken(path: str, status: int) -> Callable[[FarServer, Path], object]:
    return lambda far, file: far.faults.update({path: [Fault(status)]})


def running(far: FarServer, file: Path) -> object:
    return far.add(FarJob(ID, statuses=["running"]))


Failure = tuple[str, str, type[Exception], Call]


def failures(seed: str, kind: type[PromptLearningJob] | type[PolicyOptimizationJob]) -> list[Failure]:
    """What both documents say of their class."""
    return [
        *((seed, f"{name} before submit", RuntimeError, ask(fresh(kind), name)) for name in ASKS[kind]),
        *(
            (seed, f"{name} of an unknown job", RuntimeError, ask(known(kind), name))
            for name in ASKS[kind]
            if name != "query_workflow_state"
        ),
        *((seed, f"job id {bad!r}", ValueError, ask(known(kind, bad), "get_status")) for bad in BAD_IDS),
        (seed, "from_config without a file", FileNotFoundError, elsewhere(kind)),
        *(
            (seed, f"file {text!r}", ValueError, after(written(text), plain(fresh(kind))))
            for text in BAD_FILES
        ),
        (seed, "submit, refused", RuntimeError, after(broken("/jobs", 422), ask(fresh(kind), "submit"))),
        (seed, "submit, app down", ValueError, after(broken("/health", 503), ask(fresh(kind), "submit"))),
        *(
            (seed, f"{method}, too long", TimeoutError, after(running, ask(known(kind), method, timeout=0.0)))
            for method in ("poll_until_complete", "stream_until_complete")
        ),
    ]


ERRORS: list[Failure] = [
    ("000", "offline.get of an unknown job", RuntimeError, ask(jobs, "get", job_id="offline_job_id_here")),
    *failures("001", A),
    *failures("002", B),
    ("001", "no algorithm", ValueError, after(written(NO_ALGORITHM), plain(fresh(A)))),
    (
        "001",
        "config",
        FileNotFoundError,
        plain(lambda far, file: PromptLearningJobConfig(file.parent / "none")),
    ),
    (
        "002",
        "config_path and config_dict",
        ValueError,
        plain(lambda far, file: PolicyOptimizationJobConfig(config_path=file, config_dict=BARE)),
    ),
    ("002", "neither of them", ValueError, plain(lambda far, file: PolicyOptimizationJobConfig())),
    (
        "002",
        "config_path that is none",
        FileNotFoundError,
        plain(lambda far, file: PolicyOptimizationJobConfig(config_path=file.parent / "none")),
    ),
]


@pytest.mark.parametrize(
    ("seed", "name", "kind", "call"), ERRORS, ids=[f"{seed}-{name}" for seed, name, _, _ in ERRORS]
)
def test_error(
    far: FarServer, file: Path, play: Twin, seed: str, name: str, kind: type[Exception], call: Call
) -> None:
    with pytest.raises(kind) as caught:
        call(far, file, play)
    assert str(caught.value)
    assert API_KEY not in str(caught.value)
    assert TASK_KEY not in str(caught.value)


def test_a_workflow_state_that_is_refused_is_told(far: FarServer, play: Twin) -> None:
    answer = play(PolicyOptimizationJob.from_job_id(ID), "query_workflow_state")
    assert answer == {"job_id": ID, "workflow_state": None, "error": "HTTP 404: no such job"}


# ---------------------------------------------------------------- the printed scripts

SCRIPT_000 = """
import os
from synth_ai import SynthClient

JOB_ID = "offline_job_id_here"

client = SynthClient(api_key=os.environ["SYNTH_API_KEY"])
job = client.optimization.offline.get(job_id=JOB_ID)

print("status:", job.status())
print("events:", job.events(limit=100))
print("artifacts:", job.artifacts())
"""
SCRIPT_001 = """
from synth_ai.sdk.api.train.prompt_learning import PromptLearningJob

job = PromptLearningJob.from_config("my_config.toml")
job.submit()
result = job.poll_until_complete()
print(f"Best score: {result['best_score']}")
"""


def test_the_printed_scripts_run(
    far: FarServer, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "packages/synth-ai/src")
    monkeypatch.chdir(file.parent)
    file.rename("my_config.toml")
    far.add(FarJob("offline_job_id_here"))
    far.new_told = {"best_score": 0.8125}
    exec(compile(SCRIPT_000, "000", "exec"), {})
    exec(compile(SCRIPT_001, "001", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["status", "events", "artifacts", "Best score"]
    assert lines[-1] == "Best score: 0.8125"
