"""Models by name and the default adapter. An endpoint on loopback, or a fake litellm, is the far side."""

import sys
import threading
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from paretune.core.errors import AttemptFailed, FailureKind, Misconfigured
from paretune.library.adapter import ExamplesFailed
from paretune.library.default_adapter import (
    ContainsAnswerEvaluator,
    DefaultAdapter,
    DefaultDataInst,
    EvaluationResult,
)
from paretune.library.lm import LM, TrackingLM
from support.chat_server import chat_server

# -- models -----------------------------------------------------------------------------------------


@pytest.fixture
def without_litellm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "litellm", None)  # an import that fails, installed or not


@pytest.mark.usefixtures("without_litellm")
def test_a_known_provider_is_asked_directly() -> None:
    with chat_server(lambda prompt: prompt.upper(), key="k") as url:
        lm = LM("openai/gpt-4.1-mini", temperature=0.5, api_base=url, api_key="k")
        assert lm("hello") == "HELLO"
        messages = [[{"role": "user", "content": word}] for word in ("one", "two", "three")]
        assert lm.batch_complete(messages, max_workers=3, max_tokens=9) == ["ONE", "TWO", "THREE"]
        lm.close()
    assert lm.total_tokens_out == 4 * 20
    assert lm.total_cost == pytest.approx((lm.total_tokens_in * 0.40 + 80 * 1.60) / 1e6)


@pytest.mark.usefixtures("without_litellm")
def test_a_refusal_is_typed() -> None:
    with chat_server(lambda prompt: "never", key="k") as url:
        lm = LM("openai/gpt-4.1-mini", api_base=url, api_key="another")
        with pytest.raises(AttemptFailed) as refused:
            lm("hello")
        lm.close()
    assert refused.value.kind is FailureKind.UNAUTHORISED


@pytest.mark.usefixtures("without_litellm")
def test_a_name_that_nobody_here_serves_says_what_would_help() -> None:
    with pytest.raises(Misconfigured, match="pip install litellm"):
        LM("anthropic/claude-sonnet-4-6")("hello")


def fake_litellm(monkeypatch: pytest.MonkeyPatch, answer: Any) -> list[dict[str, Any]]:
    """Stands for the package: it has the two functions that are called, and no model behind it."""
    asked: list[dict[str, Any]] = []

    def completion(**kwargs: Any) -> Any:
        asked.append(kwargs)
        return answer(kwargs)

    module: Any = ModuleType("litellm")
    module.completion = completion
    module.completion_cost = lambda completion_response: 0.002
    monkeypatch.setitem(sys.modules, "litellm", module)
    return asked


def test_litellm_is_taken_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(kwargs: dict[str, Any]) -> Any:
        message = SimpleNamespace(content=f"about {kwargs['messages'][0]['content']}")
        usage = SimpleNamespace(prompt_tokens=7, completion_tokens=3)
        return SimpleNamespace(choices=[SimpleNamespace(message=message, finish_reason="stop")], usage=usage)

    asked = fake_litellm(monkeypatch, answer)
    lm = LM("anthropic/claude-sonnet-4-6", max_tokens=50, num_retries=2, top_p=0.5)
    assert lm("whales") == "about whales"
    assert asked[0]["model"] == "anthropic/claude-sonnet-4-6"
    assert (asked[0]["max_tokens"], asked[0]["num_retries"], asked[0]["top_p"]) == (50, 2, 0.5)
    assert "temperature" not in asked[0]
    assert (lm.total_tokens_in, lm.total_tokens_out, lm.total_cost) == (7, 3, 0.002)


def test_what_litellm_raises_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(kwargs: dict[str, Any]) -> Any:
        error: Any = RuntimeError("slow down")
        error.status_code = 429
        raise error

    fake_litellm(monkeypatch, answer)
    with pytest.raises(AttemptFailed, match="slow down") as refused:
        LM("x/y")("hello")
    assert refused.value.kind is FailureKind.RATE_LIMITED


def test_a_callable_is_counted_by_its_characters() -> None:
    lm = TrackingLM(lambda prompt: "abcdefgh")
    lm("x" * 16)
    lm([{"role": "user", "content": [{"type": "text", "text": "x" * 8}, {"type": "image_url"}]}])
    assert (lm.total_tokens_in, lm.total_tokens_out, lm.total_cost) == (6, 4, 0.0)


# -- the default adapter ----------------------------------------------------------------------------

BATCH: list[DefaultDataInst] = [
    {"input": "six times seven", "additional_context": {"hint": "multiply"}, "answer": "42"},
    {"input": "two plus two", "additional_context": {"hint": "add"}, "answer": "4!"},
]
CANDIDATE = {"system": "Be brief.", "other": "unused"}


def test_a_callable_gets_the_first_text_and_the_input() -> None:
    seen: list[Any] = []

    def model(messages: Any) -> str:
        seen.append(messages)
        return "it is 42"

    adapter = DefaultAdapter(model, max_litellm_workers=1)
    batch = adapter.evaluate(BATCH, CANDIDATE, capture_traces=True)
    assert seen[0] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "six times seven"},
    ]
    assert batch.scores == [1.0, 0.0]
    assert batch.outputs[0] == {"full_assistant_response": "it is 42"}
    records = adapter.make_reflective_dataset(CANDIDATE, batch, ["system", "other"])
    assert list(records) == ["system", "other"]
    assert records["system"][1]["Inputs"] == "two plus two"
    assert "4!" in records["system"][1]["Feedback"]
    assert "hint: add" in records["system"][1]["Feedback"]


def test_without_traces_there_is_nothing_to_reflect_on() -> None:
    adapter = DefaultAdapter(lambda messages: "")
    batch = adapter.evaluate(BATCH, CANDIDATE)
    assert batch.trajectories is None
    with pytest.raises(ValueError, match="capture_traces"):
        adapter.make_reflective_dataset(CANDIDATE, batch, ["system"])


def test_examples_run_at_once() -> None:
    together = threading.Barrier(2, timeout=20)

    def model(messages: Any) -> str:
        together.wait()
        return "42 4!"

    assert DefaultAdapter(model).evaluate(BATCH, CANDIDATE).scores == [1.0, 1.0]


def failing(messages: Any) -> str:
    if "seven" in messages[1]["content"]:
        raise ConnectionError("the line is dead")
    return "4!"


def test_a_failed_example_is_no_score_and_the_others_are_kept() -> None:
    with pytest.raises(ExamplesFailed, match=r"1 of 2 examples failed.*the line is dead") as failed:
        DefaultAdapter(failing).evaluate(BATCH, CANDIDATE, capture_traces=True)
    assert failed.value.failures[0].kind is FailureKind.TASK_FAILED
    assert failed.value.batch.scores == [1.0]
    assert failed.value.batch.trajectories is not None
    assert failed.value.batch.trajectories[0]["data"] is BATCH[1]


def test_a_failed_example_counts_what_the_user_said_it_counts() -> None:
    batch = DefaultAdapter(failing, failure_score=-1.0).evaluate(BATCH, CANDIDATE, capture_traces=True)
    assert batch.scores == [-1.0, 1.0]
    assert batch.trajectories is not None
    assert "the line is dead" in batch.trajectories[0]["feedback"]


def test_one_failed_call_of_a_model_by_name_is_one_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(kwargs: dict[str, Any]) -> Any:
        text = failing(kwargs["messages"])
        choice = SimpleNamespace(message=SimpleNamespace(content=text), finish_reason="stop")
        return SimpleNamespace(choices=[choice], usage=None)

    fake_litellm(monkeypatch, answer)
    with pytest.raises(ExamplesFailed) as failed:
        DefaultAdapter("x/y").evaluate(BATCH, CANDIDATE)
    assert list(failed.value.failures) == [0]
    assert failed.value.batch.scores == [1.0]


def test_an_evaluator_that_raises_is_named() -> None:
    def evaluator(data: Any, response: str) -> EvaluationResult:
        raise KeyError("gold")

    with pytest.raises(ExamplesFailed) as failed:
        DefaultAdapter(lambda messages: "", evaluator).evaluate(BATCH, CANDIDATE)
    assert {f.kind for f in failed.value.failures.values()} == {FailureKind.EVALUATOR_RAISED}


def test_objectives_come_along() -> None:
    def evaluator(data: Any, response: str) -> EvaluationResult:
        return EvaluationResult(0.5, "so so", {"length": float(len(response))})

    batch = DefaultAdapter(lambda messages: "four", evaluator).evaluate(BATCH, CANDIDATE)
    assert batch.objective_scores == [{"length": 4.0}, {"length": 4.0}]


def test_a_model_that_takes_batches_gets_one() -> None:
    class Batching:
        def __call__(self, messages: Any) -> str:
            raise AssertionError("asked for one at a time")

        def batch_complete(self, asked: list[Any]) -> list[str]:
            return ["42", "no"][: len(asked)]

    assert DefaultAdapter(Batching()).evaluate(BATCH, CANDIDATE).scores == [1.0, 0.0]


def test_the_score_of_a_wrong_answer_can_be_set() -> None:
    assert ContainsAnswerEvaluator(failure_score=-0.5)(BATCH[0], "no").score == -0.5
