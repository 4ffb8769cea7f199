"""The adapter for the simplest system: one model, the candidate's first text as its system prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypedDict

from paretune.core.errors import AttemptFailed, FailureKind, Misconfigured
from paretune.library.adapter import EvaluationBatch, ExamplesFailed, GEPAAdapter
from paretune.library.at_once import at_once
from paretune.library.lm import LM, failure_of


class DefaultDataInst(TypedDict):
    """One example: what the user says, what is worth knowing besides, the answer to be found."""

    input: str
    additional_context: dict[str, str]
    answer: str


class EvaluationResult(NamedTuple):
    """An evaluator's verdict on one response; `objective_scores` by objective, higher is better."""

    score: float
    feedback: str
    objective_scores: dict[str, float] | None = None


class DefaultTrajectory(TypedDict):
    """What is kept of one example to reflect on."""

    data: DefaultDataInst
    full_assistant_response: str
    feedback: str


class DefaultRolloutOutput(TypedDict):
    """What the model answered on one example."""

    full_assistant_response: str


DefaultReflectiveRecord = TypedDict(
    "DefaultReflectiveRecord", {"Inputs": str, "Generated Outputs": str, "Feedback": str}
)
"""One example as the reflection model reads it."""


class ChatMessage(TypedDict):
    """One message of a chat."""

    role: str
    content: str


class ChatCompletionCallable(Protocol):
    """A model as a function of messages. One that has `batch_complete(list of messages)` is asked so."""

    def __call__(self, messages: Sequence[ChatMessage]) -> str: ...


class Evaluator(Protocol):
    """Judges one response. Also a plain function."""

    def __call__(self, data: DefaultDataInst, response: str) -> EvaluationResult: ...


class ContainsAnswerEvaluator:
    """1 if the answer stands in the response as it is, else `failure_score`."""

    def __init__(self, failure_score: float = 0.0) -> None:
        self.failure_score = failure_score

    def __call__(self, data: DefaultDataInst, response: str) -> EvaluationResult:
        answer = data["answer"]
        if answer in response:
            return EvaluationResult(1.0, f"Correct: the response contains the expected answer {answer!r}.")
        feedback = f"Incorrect: the response should contain the expected answer {answer!r} exactly as it is."
        context = "\n".join(f"{name}: {text}" for name, text in data.get("additional_context", {}).items())
        return EvaluationResult(self.failure_score, feedback + (f"\n{context}" if context else ""))


@dataclass(frozen=True, slots=True)
class _Done:
    response: str
    verdict: EvaluationResult


class DefaultAdapter(GEPAAdapter[DefaultDataInst, DefaultTrajectory, DefaultRolloutOutput]):
    """Sends each example's input after the candidate's first text, and has the response judged.

    `model`: a litellm name (`litellm_batch_completion_kwargs` go out with each call) or a callable.
    `max_litellm_workers` calls at once. A call that fails for good is no score: `evaluate` raises
    ExamplesFailed once all the others are done, unless a `failure_score` says what it counts.
    """

    def __init__(
        self,
        model: str | ChatCompletionCallable,
        evaluator: Evaluator | None = None,
        max_litellm_workers: int = 10,
        litellm_batch_completion_kwargs: dict[str, Any] | None = None,
        *,
        failure_score: float | None = None,
    ) -> None:
        if max_litellm_workers < 1:
            raise Misconfigured("max_litellm_workers", f"must be 1 or more, not {max_litellm_workers!r}")
        self.model = model
        self.evaluator = evaluator or ContainsAnswerEvaluator()
        self.max_litellm_workers = max_litellm_workers
        self.litellm_batch_completion_kwargs = dict(litellm_batch_completion_kwargs or {})
        self.failure_score = failure_score
        self._ask: Callable[[Any], str] = (
            LM(model, **self.litellm_batch_completion_kwargs) if isinstance(model, str) else model
        )

    def evaluate(
        self, batch: list[DefaultDataInst], candidate: dict[str, str], capture_traces: bool = False
    ) -> EvaluationBatch[DefaultTrajectory, DefaultRolloutOutput]:
        """Raises ExamplesFailed; Misconfigured as the model's name has it."""
        system = next(iter(candidate.values()), "")
        asked = [
            [{"role": "system", "content": system}, {"role": "user", "content": data["input"]}]
            for data in batch
        ]
        answers = self._responses(asked)
        judged = [self._judged(data, answer) for data, answer in zip(batch, answers, strict=True)]
        failures = {place: done for place, done in enumerate(judged) if isinstance(done, AttemptFailed)}
        kept = [place for place in range(len(batch)) if place not in failures]
        done = [one for one in judged if isinstance(one, _Done)]
        result = _batch_of([batch[place] for place in kept], done, capture_traces)
        if failures:
            raise ExamplesFailed(failures, result)
        return result

    def make_reflective_dataset(
        self,
        candidate: dict[str, str],
        eval_batch: EvaluationBatch[DefaultTrajectory, DefaultRolloutOutput],
        components_to_update: list[str],
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """The same records for each component. Raises ValueError without trajectories."""
        if eval_batch.trajectories is None:
            raise ValueError("there are no trajectories: evaluate with capture_traces=True")
        records: list[DefaultReflectiveRecord] = [
            {
                "Inputs": one["data"]["input"],
                "Generated Outputs": one["full_assistant_response"],
                "Feedback": one["feedback"],
            }
            for one in eval_batch.trajectories
        ]
        return {name: list(records) for name in components_to_update}

    def _responses(self, asked: list[Any]) -> list[str | Exception]:
        batch = getattr(self._ask, "batch_complete", None)
        # Ours asks one by one in any case; asked so here, one failure is one example's.
        if batch is None or isinstance(self._ask, LM):
            return at_once(self._ask, asked, workers=self.max_litellm_workers)
        answers: list[str | Exception] = list(batch(asked))
        if len(answers) != len(asked):
            raise ValueError(f"batch_complete gave {len(answers)} answers to {len(asked)} prompts")
        return answers

    def _judged(self, data: DefaultDataInst, answer: str | Exception) -> _Done | AttemptFailed:
        if isinstance(answer, Misconfigured):
            raise answer
        if isinstance(answer, Exception):
            return self._counted("", failure_of(answer, FailureKind.TASK_FAILED))
        try:
            return _Done(answer, EvaluationResult(*self.evaluator(data, answer)))
        except Exception as error:  # noqa: BLE001  (the user's evaluator, whatever it raises)
            return self._counted(answer, failure_of(error, FailureKind.EVALUATOR_RAISED))

    def _counted(self, response: str, failure: AttemptFailed) -> _Done | AttemptFailed:
        if self.failure_score is None:
            return failure
        return _Done(response, EvaluationResult(self.failure_score, f"This example failed. {failure}"))


def _batch_of(
    batch: list[DefaultDataInst], done: list[_Done], capture_traces: bool
) -> EvaluationBatch[DefaultTrajectory, DefaultRolloutOutput]:
    objectives = [one.verdict.objective_scores for one in done]
    named = [scores for scores in objectives if scores is not None]
    if named and len(named) < len(objectives):
        raise ValueError("the evaluator gives objective_scores for some examples and not for others")
    traces: list[DefaultTrajectory] = [
        {"data": data, "full_assistant_response": one.response, "feedback": one.verdict.feedback}
        for data, one in zip(batch, done, strict=True)
    ]
    return EvaluationBatch(
        outputs=[{"full_assistant_response": one.response} for one in done],
        scores=[one.verdict.score for one in done],
        trajectories=traces if capture_traces else None,
        objective_scores=named or None,
    )
