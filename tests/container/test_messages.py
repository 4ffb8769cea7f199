"""The request that satisfies both dialects, and answers of either."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretune.container.messages import Message, RolloutCall, build_request, read_answer
from paretune.core.demonstrations import Demonstration, dump
from paretune.core.errors import AttemptFailed, Misconfigured
from paretune.core.rollout import Usage

SEED = RolloutCall(
    rollout_id="ro_1",
    run_id="run",
    candidate_id="c_1",
    components={"system": "Be brief. {rules}", "user": "{query}"},
    example_data={"seed": 7},
    messages=(Message("user", "user", 1), Message("system", "system", 0)),
    policy={"model": "m", "provider": "p", "temperature": 0.0, "max_completion_tokens": 64},
    env_name="capitals",
)
ROW = replace(SEED, example_data={"task": {"task_id": "train:0", "text": "?"}, "task_id": "train:0"})


def test_the_request_has_what_the_older_contract_reads() -> None:
    request = build_request(SEED)
    assert request["trace_correlation_id"] == request["rollout_id"] == "ro_1"
    assert request["env"] == {"seed": 7, "env_name": "capitals", "config": {}}
    config = request["policy"]["config"]
    assert (config["model"], config["temperature"], config["max_completion_tokens"]) == ("m", 0.0, 64)
    template = config["prompt_template"]
    assert [(m["role"], m["content"], m["pattern"], m["order"]) for m in template["messages"]] == [
        ("system", "Be brief. {rules}", "Be brief. {rules}", 0),
        ("user", "{query}", "{query}", 1),
    ]
    assert template["sections"] == template["messages"]
    assert template["text"] == "[system]\nBe brief. {rules}\n\n[user]\n{query}"


def test_the_request_has_what_the_v2_contract_reads() -> None:
    request = build_request(ROW)
    assert request["task"] == {"task_id": "train:0", "text": "?"}
    assert request["candidate"] == request["candidate_overlay"]["candidate"] == SEED.components
    assert request["policy"]["max_tokens"] == 64
    assert request["metadata"]["candidate_id"] == "c_1"
    assert request["submission_mode"] == "sync"
    assert build_request(replace(ROW, program_task="capitals"))["task_id"] == "capitals"


@pytest.mark.parametrize(
    ("components", "template"),
    [({"prompt": "Hi"}, "Hi"), ({"a": "A", "b": "B"}, {"a": "A", "b": "B"})],
)
def test_without_messages_the_template_is_the_text_or_the_texts(
    components: dict[str, str], template: object
) -> None:
    call = replace(SEED, components=components, messages=())
    assert build_request(call)["policy"]["config"]["prompt_template"] == template


SHOWN = dump([Demonstration("2+2?", "4", "e1")])
SHOWING = replace(
    SEED,
    components={**SEED.components, "demonstrations": SHOWN},
    messages=(*SEED.messages, Message("demonstrations", "", 2, demonstrations=True)),
)
FOLDED = replace(
    ROW,
    components={"system": "Be brief.", "demonstrations": SHOWN},
    messages=(),
    hosts={"demonstrations": "system"},
)


def test_demonstrations_are_turns_before_the_question() -> None:
    request = build_request(SHOWING)
    template = request["policy"]["config"]["prompt_template"]
    assert [(m["role"], m["name"], m["content"], m["order"]) for m in template["messages"]] == [
        ("system", "system", "Be brief. {rules}", 0),
        ("user", "demonstrations.1.input", "2+2?", 1),
        ("assistant", "demonstrations.1.output", "4", 2),
        ("user", "user", "{query}", 3),
    ]
    assert template["text"].endswith("[user]\n2+2?\n\n[assistant]\n4\n\n[user]\n{query}")
    assert request["candidate"] == SEED.components, "a program knows no field for them"
    none = replace(SHOWING, components={**SEED.components, "demonstrations": "[]"})
    assert build_request(none) == build_request(SEED)


def test_demonstrations_of_a_program_are_text_behind_its_instructions() -> None:
    request = build_request(FOLDED)
    text = "Be brief.\n\nSolved examples:\n\nInput: 2+2?\nOutput: 4"
    assert request["candidate"] == {"system": text}
    assert request["policy"]["config"]["prompt_template"] == text


@pytest.mark.parametrize(
    "changed",
    [
        {"components": dict(SHOWING.components, demonstrations="none"), "messages": SHOWING.messages},
        {"hosts": {"demonstrations": "system"}},
        {"policy": {"api_key": "sk"}},
        {"policy": {"extra": [{"OPENAI_API_KEY": "sk"}]}},
        {"env_config": {"Authorization": "Bearer x"}},
        {"rollout_id": "a/b"},
        {"rollout_id": "x" * 129},
        {"example_data": {}},
        {"messages": (Message("nowhere", "user", 0),)},
    ],
)
def test_a_request_that_must_not_go_out_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(Misconfigured):
        build_request(replace(SEED, **changed))


@pytest.mark.vendor
@pytest.mark.parametrize("call", [SEED, ROW, replace(SEED, messages=(), policy={}), SHOWING, FOLDED])
def test_the_strict_model_of_the_public_package_accepts_the_request(call: RolloutCall) -> None:
    models = pytest.importorskip("synth_containers.http_models")
    sent = json.loads(json.dumps(build_request(call)))
    read = models.RolloutRequestModel.model_validate(sent)
    assert read.model_dump(mode="json", exclude_unset=True) == sent


@pytest.mark.parametrize(
    "body",
    [
        {"reward_info": {"outcome_reward": 0.25, "score": 1}, "reward": 1},
        {"reward_info": {"outcome_reward": None, "score": 0.25}},
        {"metrics": {"outcome_reward": 0.25}},
        {"metrics": {"outcome_score": 0.25, "mean_return": 1}},
        {"metrics": {"mean_return": 0.25}},
        {"summary": {"outcome_reward": 0.25}},
        {"reward": 0.25, "trace_correlation_id": "ro_1"},
    ],
)
def test_the_reward_is_found_where_either_dialect_puts_it(body: dict[str, Any]) -> None:
    assert read_answer(body, "ro_1").reward == 0.25


def test_the_rest_of_an_answer_is_read_leniently() -> None:
    answer = read_answer(
        {
            "reward_info": {
                "outcome_reward": 1,
                "outcome_objectives": {"reward": 1, "brevity": 0.5},
                "details": {"Query": "2+2?", "gold": 4},
            },
            "objective_scores": [
                {"objective": "outcome_reward", "value": 1},
                {"objective": "cost", "value": 2},
            ],
            "actionable_side_info": {"Feedback": "good\x00", "Generated Outputs": "\ud800four"},
            "trace": {
                "event_history": [
                    {"llm_response": {"usage": {"prompt_tokens": 3, "completion_tokens": 1}}},
                    {"llm_response": {"usage": {"prompt_tokens": 4, "cost_usd": float("nan")}}},
                ]
            },
        },
        "ro_1",
    )
    assert (answer.feedback, answer.input, answer.output, answer.expected) == (
        "good\ufffd",
        "2+2?",
        "\ufffdfour",
        "4",
    )
    assert answer.objectives == {"brevity": 0.5, "cost": 2.0}
    assert answer.usage == Usage(7, 1, None)
    assert answer.trace["event_history"][1]["llm_response"]["usage"]["cost_usd"] is None


def test_side_information_under_names_of_its_own_is_feedback() -> None:
    answer = read_answer({"reward": 0, "actionable_side_info": {"missed_rule": "dates"}}, "ro_1")
    assert answer.feedback == '{"missed_rule": "dates"}'


def test_a_trace_is_kept_without_the_id_of_its_rollout() -> None:
    trace = {"metadata": {"trace_correlation_id": "ro_7f"}, "log": ["began ro_7f", "ended"]}
    answers = [
        read_answer(json.loads(json.dumps({"reward": 1, "trace": trace}).replace("ro_7f", own)), own)
        for own in ("ro_7f", "ro_8a")
    ]
    assert answers[0] == answers[1], "equal rollouts of two runs make equal packets"
    assert isinstance(answers[0].trace, dict)
    assert answers[0].trace["log"] == ["began (this rollout)", "ended"]


def test_texts_and_traces_have_a_limit() -> None:
    long = "x" * 3_000_000
    answer = read_answer({"reward": 0, "metadata": {"feedback": long}, "trace": {"log": long}}, "ro_1")
    assert len(answer.feedback) < 25_000
    assert answer.trace["cut"] is True


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
NAMES = st.sampled_from(
    [
        "reward_info",
        "metrics",
        "summary",
        "reward",
        "outcome_reward",
        "usage",
        "trace",
        "event_history",
        "metadata",
        "llm_response",
        "objective_scores",
        "objective",
        "value",
        "actionable_side_info",
        "feedback",
        "status",
    ]
)


@settings(max_examples=50)
@given(st.recursive(JSON, lambda inner: st.dictionaries(NAMES, inner) | st.lists(inner)))
def test_any_json_is_an_answer_that_can_be_stored_or_a_typed_failure(body: Any) -> None:
    try:
        answer = read_answer(body, "ro_1")
    except AttemptFailed:
        return
    assert json.loads(json.dumps(answer.trace, allow_nan=False)) == answer.trace
    assert answer.feedback.encode().decode() == answer.feedback
    assert math.isfinite(answer.reward)
