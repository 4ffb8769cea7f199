# ruff: noqa: E501
"""Driving DSPy's MIPROv2 as its documentation does: `MIPROv2(metric, auto=...).compile(program, trainset=...)`.

Its model is called through `dspy.LM` over HTTP, or, in process, through a model of the same behaviour: answers to
requests that were made before come from a cache, as `dspy.LM` has it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dspy
from dspy.clients import configure_cache
from dspy.teleprompt import MIPROv2
from dspy.teleprompt import mipro_optimizer_v2 as source

from benchmarks.mipro_result import Found, Mark
from benchmarks.mipro_world import TASK, Row


class Sort(dspy.Signature):
    text: str = dspy.InputField()
    label: str = dspy.OutputField()


def run(
    rows: Sequence[Row],
    task: Callable[[Sequence[Mapping[str, str]]], str] | str,
    writer: Callable[[Sequence[Mapping[str, str]]], str] | str,
    calls: Callable[[], int],
    *,
    auto: str,
    threads: int,
    seed: int,
) -> Found:
    """One run on these rows, which it splits itself. Models are functions, or base URLs. `calls` counts what
    the task's model has been asked for since the run began."""
    _quiet()
    configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    dspy.cache.reset_memory_cache()
    data = [dspy.Example(text=row.text, label=row.kind).with_inputs("text") for row in rows]
    dspy.configure(lm=_model(task, "task"))
    optimizer = MIPROv2(
        metric=_exact,
        prompt_model=_model(writer, "writer"),
        auto=auto,
        num_threads=threads,
        seed=seed,
        verbose=False,
    )
    began, curve = time.perf_counter(), list[Mark]()
    undo = _watched(curve, calls, began)
    try:
        best = optimizer.compile(dspy.Predict(Sort.with_instructions(TASK)), trainset=data)
    finally:
        undo()
    curve.append(_mark(best, calls(), time.perf_counter() - began))
    return Found(curve, calls(), time.perf_counter() - began)


def _exact(example: Any, prediction: Any, trace: Any = None) -> bool:
    return bool(prediction.label == example.label)


def _watched(curve: list[Mark], calls: Callable[[], int], began: float) -> Callable[[], None]:
    """Notes who is best after each evaluation in full: only these decide what it gives back."""
    evaluated, best = source.eval_candidate_program, [-1.0]

    def noting(batch_size: int, trainset: Any, program: Any, *args: Any, **named: Any) -> Any:
        score = evaluated(batch_size, trainset, program, *args, **named)
        if batch_size >= len(trainset) and score.score > best[0]:
            best[0] = score.score
            curve.append(_mark(program, calls(), time.perf_counter() - began))
        return score

    source.eval_candidate_program = noting

    def undo() -> None:
        source.eval_candidate_program = evaluated

    return undo


def _mark(program: Any, calls: int, seconds: float) -> Mark:
    (predictor,) = program.predictors()
    shown = [(demo["text"], demo["label"]) for demo in predictor.demos]
    return Mark(calls, seconds, predictor.signature.instructions, shown)


class _InProcess(dspy.BaseLM):
    """A function as a model. The same request is answered from memory."""

    def __init__(self, answer: Callable[[Sequence[Mapping[str, str]]], str], name: str) -> None:
        super().__init__(model=name)
        self._answer = answer
        self._known: dict[str, str] = {}

    def forward(self, prompt: Any = None, messages: Any = None, **named: Any) -> Any:
        from litellm import ModelResponse

        messages = messages or [{"role": "user", "content": prompt}]
        key = repr((messages, sorted({**self.kwargs, **named}.items())))
        if key not in self._known:
            self._known[key] = self._answer(messages)
        choice = {"message": {"role": "assistant", "content": self._known[key]}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        return ModelResponse(model=self.model, choices=[choice], usage=usage)


def _model(model: Callable[[Any], str] | str, name: str) -> Any:
    if isinstance(model, str):
        return dspy.LM(f"openai/{name}", api_base=model, api_key="none", max_tokens=1000)
    return _InProcess(model, name)


def _quiet() -> None:
    logging.getLogger("dspy").setLevel(logging.ERROR)
    logging.getLogger(source.__name__).setLevel(logging.ERROR)
