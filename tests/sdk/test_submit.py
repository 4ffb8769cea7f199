"""What goes out when a job is submitted, and what comes back when it cannot be."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from paretune.sdk import (
    Connection,
    HTTPError,
    PolicyOptimizationJob,
    PolicyOptimizationJobConfig,
    PromptLearningJob,
    PromptLearningJobConfig,
    SynthClient,
)
from paretune.sdk.document import with_overrides
from support.far_server import FarServer, Fault
from support.twins import API_KEY, TASK_KEY, Twin

A, B, C = "/api/prompt-learning/online/jobs", "/api/policy-optimization/online/jobs", "/api/v1/offline/jobs"


def mapping(far: FarServer, **section: Any) -> dict[str, Any]:
    return {"prompt_learning": {"algorithm": "gepa", "task_app_url": far.task_url, **section}}


def test_each_class_submits_in_its_dialect(far: FarServer, file: Path, play: Twin) -> None:
    one = PromptLearningJob.from_config(file)
    two = PolicyOptimizationJob.from_dict(mapping(far))
    assert one.job_id is None
    assert play(one, "submit") == one.job_id == "pl_0000000000000000"
    assert play(two, "submit") == two.job_id
    three = play(SynthClient().optimization.offline, "create", config=mapping(far), system_name="mine")
    assert three.job_id.startswith("pl_")
    assert (three.system_id, three.system_name) == ("sys_1", "s")
    sent = [call for call in far.calls if call.method == "POST"]
    assert [call.path for call in sent] == [A, B, C]
    for call in sent:
        assert call.headers["x-api-key"] == API_KEY
        assert call.headers["authorization"] == f"Bearer {API_KEY}"
    section = {"algorithm": "gepa", "task_app_url": far.task_url, "task_app_api_key": TASK_KEY}
    rollout = {"budget": 100, "max_concurrent": 20}
    told = {"algorithm": "gepa", "overrides": {}, "metadata": {}, "auto_start": True}
    assert sent[0].body == {
        **told,
        "config_body": {"prompt_learning": {**section, "gepa": {"rollout": rollout}}},
    }
    assert sent[1].body == {**told, "config_body": {"prompt_learning": section}}
    assert sent[2].body == {
        "technique": "discrete_optimization",
        "kind": "gepa_offline",
        "system": {"name": "mine", "reuse": True},
        "config_mode": "DEFAULT",
        "config": {"prompt_learning": section},
        "metadata": {},
        "auto_start": True,
    }


def test_the_task_app_is_asked_first_with_its_key(far: FarServer, file: Path, play: Twin) -> None:
    play(PromptLearningJob.from_config(file), "submit")
    assert [call.path for call in far.calls] == ["/task/health", "/task/task_info", A]
    for call in far.calls[:2]:
        assert call.headers["x-api-key"] == call.headers["x-api-keys"] == TASK_KEY
        assert API_KEY not in call.headers.values()


@pytest.mark.parametrize(
    ("path", "fault", "says"),
    [
        ("/health", Fault(500, "boom"), "answers 500 at /health: boom"),
        ("/health", Fault(401, '{"detail": "no"}'), "set ENVIRONMENT_API_KEY"),
        ("/health", Fault(400, '{"detail": {"code": "unauthorised"}}'), "set ENVIRONMENT_API_KEY"),
        ("/health", Fault(200, '{"healthy": false}'), "not well"),
        ("/health", Fault(0), "start it, or mend task_app_url"),
        ("/task_info", Fault(503, TASK_KEY), "answers 503 at /task_info: ***"),
        ("/task_info", Fault(200, "<html>"), "not JSON"),
        ("/task_info", Fault(404), "no /task_info"),
    ],
)
def test_a_task_app_that_is_not_well_is_a_value_error_that_says_what_to_do(
    far: FarServer, file: Path, play: Twin, path: str, fault: Fault, says: str
) -> None:
    far.faults[path] = [fault]
    job = PromptLearningJob.from_config(file)
    with pytest.raises(ValueError, match=r"^task app: http") as caught:
        play(job, "submit")
    assert says in str(caught.value)
    assert TASK_KEY not in str(caught.value)
    assert not far.asked("POST", A)
    assert job.job_id is None


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/health", Fault(403, '{"expected_api_key_prefix": "env-"}')),
        ("/task_info", Fault(404)),
    ],
    ids=["it tells which key it wants", "it describes itself elsewhere"],
)
def test_task_apps_of_other_kinds_pass(far: FarServer, file: Path, path: str, fault: Fault) -> None:
    far.faults = {path: [fault], "/metadata": [Fault(200, "{}")]}
    assert PromptLearningJob.from_config(file).submit()


def test_the_health_check_can_be_left_out(far: FarServer, file: Path, play: Twin) -> None:
    far.faults["/health"] = [Fault(500)]
    play(PromptLearningJob(PromptLearningJobConfig(file), skip_health_check=True), "submit")
    play(PolicyOptimizationJob.from_dict(mapping(far), skip_health_check=True), "submit")
    assert not far.asked("GET", "/health")


def test_overrides_are_merged_and_told_without_keys(far: FarServer, file: Path) -> None:
    overrides = {
        "prompt_learning.gepa.rollout.budget": 7,
        "gepa.rng_seed": 3,
        "policy": {"model": "m"},
        "task_app_api_key": TASK_KEY,
        "metadata": {"who": "me"},
        "auto_start": False,
        "task_url": far.task_url + "/",
    }
    job = PromptLearningJob.from_config(file, allow_experimental=True, overrides=overrides)
    job.submit()
    (call,) = far.asked("POST", A)
    section = call.body["config_body"]["prompt_learning"]
    assert section["gepa"] == {"rollout": {"budget": 7, "max_concurrent": 20}, "rng_seed": 3}
    assert section["policy"] == {"model": "m"}
    assert section["task_app_url"] == far.task_url + "/"
    assert set(call.body["overrides"]) == {"prompt_learning.gepa.rollout.budget", "gepa.rng_seed", "policy"}
    assert call.body["metadata"] == {"who": "me", "allow_experimental": True}
    assert call.body["auto_start"] is False


def test_later_names_travel_under_the_first_ones_and_the_mapping_stays_as_it_was(far: FarServer) -> None:
    given = {"policy_optimization": {"localapi_url": far.task_url, "mipro": {"num_iterations": 2}}}
    config = PolicyOptimizationJobConfig(config_dict=given)
    inner = {"task_app_url": far.task_url, "mipro": {"num_iterations": 2}}
    assert config.to_prompt_learning_config() == {"prompt_learning": inner}
    PolicyOptimizationJob.from_dict(given, algorithm="mipro", localapi_api_key="another").submit()
    (call,) = far.asked("POST", B)
    assert call.body["algorithm"] == "mipro"
    assert call.body["config_body"]["prompt_learning"] == {
        **inner,
        "algorithm": "mipro",
        "task_app_api_key": "another",
    }
    assert given == {"policy_optimization": {"localapi_url": far.task_url, "mipro": {"num_iterations": 2}}}


def test_what_is_given_is_never_changed(far: FarServer) -> None:
    given = mapping(far, gepa={"rollout": {"budget": 1}})
    kept = copy.deepcopy(given)
    config = PolicyOptimizationJobConfig(config_dict=given, overrides={"gepa.rollout.budget": 2})
    document = config.to_prompt_learning_config()
    with_overrides(document, config.overrides)
    assert document == given == kept
    document["prompt_learning"]["gepa"]["rollout"]["budget"] = 3
    assert config.document()["prompt_learning"]["gepa"]["rollout"]["budget"] == 2
    assert given == kept


def test_references_are_looked_up(far: FarServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TASK", far.task_url)
    monkeypatch.setenv("MY_KEY", "mine")
    given = {"algorithm": "gepa", "task_app_url": "$MY_TASK", "task_app_api_key": "${MY_KEY}"}
    PolicyOptimizationJob.from_dict(given).submit()
    (call,) = far.asked("POST", B)
    section = call.body["config_body"]["prompt_learning"]
    assert (section["task_app_url"], section["task_app_api_key"]) == (far.task_url, "mine")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "prompt_learning"),
        ({"prompt_learning": {}}, "prompt_learning"),
        ({"prompt_learning": 3}, "prompt_learning"),
        ({"prompt_learning": {"algorithm": "gepa"}}, "task_app_url"),
        ({"prompt_learning": {"task_app_url": "http://x"}, "policy_optimization": {}}, "policy_optimization"),
        ({"prompt_learning": {"task_app_url": "http://x", "localapi_url": "http://y"}}, "localapi_url"),
        (
            {"prompt_learning": {"task_app_url": "http://x", "task_app_api_key": "$NOT_SET"}},
            "task_app_api_key",
        ),
        ({"prompt_learning": {"task_app_url": "$NOT_SET"}}, "NOT_SET"),
        ({"prompt_learning": {"task_app_url": "localhost:8001"}}, "task_app_url: must begin with http"),
        ({"prompt_learning": {"task_app_url": "http://me:pass@x"}}, "task_app_url: must not hold"),
    ],
)
def test_what_is_missing_is_a_value_error_before_anything_is_asked(
    far: FarServer, given: dict[str, Any], field: str
) -> None:
    with pytest.raises(ValueError, match=field):
        PolicyOptimizationJob.from_dict(given)
    assert not far.calls


def test_a_document_that_is_no_json_is_a_value_error(far: FarServer) -> None:
    job = PolicyOptimizationJob.from_dict(mapping(far, gepa={"x": float("nan")}), skip_health_check=True)
    with pytest.raises(ValueError, match="cannot be written as JSON"):
        job.submit()


def test_an_algorithm_against_the_document_is_a_value_error(far: FarServer) -> None:
    with pytest.raises(ValueError, match="the document says 'gepa'"):
        PolicyOptimizationJob.from_dict(mapping(far), algorithm="mipro")
    job = PolicyOptimizationJob.from_dict(mapping(far, algorithm="mipro"))
    assert job.algorithm == "mipro"


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault(422, '{"detail": "prompt_learning.gepa.rolout: unknown key"}'), "rolout: unknown key"),
        (Fault(422, '{"detail": [{"loc": ["body", "x"], "msg": "is missing"}]}'), "body.x: is missing"),
        (Fault(500, "<h1>Internal</h1>"), "answered 500: <h1>Internal</h1>"),
        (Fault(401, f'{{"detail": "unknown key {API_KEY}"}}'), "unknown key ***"),
        (Fault(429, '{"detail": {"message": "too many", "limit": 2, "current": 2}}'), "too many"),
        (Fault(307, "", {"Location": "http://elsewhere"}), "answered 307"),
        (Fault(422, f'{{"detail": "the app has {TASK_KEY}"}}'), "the app has ***"),
        (Fault(200, f"pong {API_KEY}"), "not JSON: 'pong ***'"),
        (Fault(200, "[]"), "an object was expected"),
        (Fault(200, "{}"), "no job id"),
        (Fault(200, '{"job_id": "../x"}'), "'../x' is no job id"),
        (Fault(0), "did not answer"),
    ],
)
def test_a_refused_submission_is_a_runtime_error_without_a_key(
    far: FarServer, file: Path, play: Twin, fault: Fault, says: str
) -> None:
    far.faults[A] = [fault]
    job = PromptLearningJob.from_config(file)
    with pytest.raises(RuntimeError) as caught:
        play(job, "submit")
    assert far.url + A in str(caught.value)
    assert says in str(caught.value)
    assert API_KEY not in repr(caught.value)
    assert TASK_KEY not in repr(caught.value)
    if isinstance(caught.value, HTTPError):
        assert (caught.value.status, caught.value.url) == (fault.status, far.url + A)
    assert job.job_id is None
    assert len(far.asked("POST", A)) == 1, "a submission is never repeated by itself"


def test_a_refused_creation_shows_no_key_either(far: FarServer, play: Twin) -> None:
    far.faults[C] = [Fault(422, f"{API_KEY} {TASK_KEY}")]
    with pytest.raises(RuntimeError, match=r"answered 422: \*\*\* \*\*\*"):
        play(SynthClient().optimization.offline, "create", config=mapping(far))


def test_without_a_key_none_is_sent(far: FarServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYNTH_API_KEY")
    monkeypatch.delenv("ENVIRONMENT_API_KEY")
    PolicyOptimizationJob.from_dict(mapping(far)).submit()
    for call in far.calls:
        assert not {"x-api-key", "x-api-keys", "authorization"} & set(call.headers)
    assert "task_app_api_key" not in far.calls[-1].body["config_body"]["prompt_learning"]


def test_the_detail_of_a_refusal_is_kept(far: FarServer, file: Path) -> None:
    detail = {"detail": {"message": "too many", "limit": 2, "current": 2, "tier": "free"}}
    far.faults[A] = [Fault(429, str(detail).replace("'", '"'), {"Retry-After": "7"})]
    with pytest.raises(HTTPError) as caught:
        PromptLearningJob.from_config(file).submit()
    assert caught.value.detail == detail
    assert caught.value.retry_after == 7


def test_a_job_is_submitted_once(far: FarServer, file: Path) -> None:
    job = PromptLearningJob.from_config(file)
    job.submit()
    with pytest.raises(RuntimeError, match="submitted already"):
        job.submit()


@pytest.mark.parametrize("key", ["two words", "line\nend", "schlüssel"])
def test_a_key_that_cannot_be_sent_is_refused_without_being_shown(far: FarServer, key: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII") as caught:
        SynthClient(api_key=key)
    assert key not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://x", "nowhere", "http://me:pass@x", "http://[", "http://x:port"])
def test_an_address_that_is_none_is_refused_without_its_password(far: FarServer, url: str) -> None:
    with pytest.raises(ValueError, match="backend_url") as caught:
        SynthClient(base_url=url)
    assert "pass@" not in str(caught.value)


def test_nothing_that_is_printed_shows_a_key(far: FarServer, file: Path) -> None:
    one = PromptLearningJob.from_config(file, api_key=API_KEY, task_app_api_key=TASK_KEY)
    two = PolicyOptimizationJob.from_dict(mapping(far), api_key=API_KEY, localapi_api_key=TASK_KEY)
    for thing in (one.config, two.config, one._backend, two._backend):
        assert API_KEY not in repr(thing)
        assert TASK_KEY not in repr(thing)


def test_the_server_is_the_argument_else_the_environment_else_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ["PARETUNE_URL", "SYNTH_BACKEND_URL", "BACKEND_BASE_URL"]
    for name in names:
        monkeypatch.setenv(name, f"http://{name.lower().replace('_', '-')}/api/")

    def place(url: str | None = None) -> str:
        return SynthClient(base_url=url).optimization.offline._backend.url

    assert place("https://given:1/api") == "https://given:1"
    for name in names:
        assert place() == f"http://{name.lower().replace('_', '-')}"
        monkeypatch.delenv(name)
    assert place() == "http://127.0.0.1:8765"


def test_what_runs_on_this_machine_is_never_asked_by_way_of_a_proxy(
    far: FarServer, file: Path, play: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert play(PromptLearningJob.from_config(file), "submit")


def test_nobody_there_names_what_to_start(far: FarServer, file: Path, connection: Connection) -> None:
    job = PromptLearningJob.from_config(file, backend_url="http://127.0.0.1:9", connection=connection)
    with pytest.raises(RuntimeError, match="is `paretune serve` running there"):
        job.submit()
