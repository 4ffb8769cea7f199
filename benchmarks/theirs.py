"""Driving gepa (the library) on a landscape, with its public pieces and its own defaults."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from gepa.api import optimize
from gepa.core.adapter import EvaluationBatch
from gepa.strategies.proposal_sampling import IndependentSampling, PxNSampling

from benchmarks.result import Incumbent, Result

FORMS: dict[str, Mapping[str, Any]] = {
    "default": {},
    "mb8": {"reflection_minibatch_size": 8},
    "mb16": {"reflection_minibatch_size": 16},
    "independent8": {"sampling_strategy": lambda: IndependentSampling(8)},
    "pxn4x4": {"sampling_strategy": lambda: PxNSampling(4, 4)},
    "all": {"module_selector": "all"},
}
"""Arguments of `gepa.optimize` beside the task's; a function is called for a new one each time."""


def run(
    world: Any,
    reflection_lm: Callable[[Any], str],
    form: Mapping[str, Any],
    *,
    budget: int,
    concurrency: int = 8,
    sleep: bool = False,
    seed: int = 0,
) -> Result:
    """One run. gepa looks at its budget between iterations only, so `calls` may pass `budget`."""
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(concurrency)) if sleep else None
        adapter = _Adapter(world, pool)
        progress = _Progress(adapter)
        found: Any = optimize(
            seed_candidate=world.seed_candidate(),
            trainset=world.train,
            valset=world.val,
            adapter=adapter,
            reflection_lm=_Model(reflection_lm, at_once=sleep),
            max_metric_calls=budget,
            logger=_Silence(),
            callbacks=[progress],
            seed=seed,
            **{name: value() if callable(value) else value for name, value in form.items()},
        )
    best = dict(found.best_candidate)
    wall = progress.seconds()
    return Result(best, tuple(progress.curve), adapter.calls, int(found.total_metric_calls or 0), wall)


class _Adapter:
    """What an evaluator returns, and nothing else of the world."""

    propose_new_texts = None

    def __init__(self, world: Any, pool: ThreadPoolExecutor | None) -> None:
        self._world = world
        self._pool = pool
        self.calls = 0

    def evaluate(
        self, batch: Sequence[Any], candidate: Mapping[str, str], capture_traces: bool = False
    ) -> EvaluationBatch[Any, str]:
        return self.batch_evaluate([(candidate, batch)], capture_traces=capture_traces)[0]

    def batch_evaluate(
        self, items: Sequence[tuple[Mapping[str, str], Sequence[Any]]], *, capture_traces: bool = True
    ) -> list[EvaluationBatch[Any, str]]:
        """All pairs at once, as far as there are threads."""
        asked = [(candidate, example) for candidate, batch in items for example in batch]
        self.calls += len(asked)
        rollouts = iter(list((self._pool.map if self._pool else map)(self._rollout, asked)))
        done = []
        for _, batch in items:
            own = [(example, next(rollouts)) for example in batch]
            done.append(
                EvaluationBatch(
                    outputs=[rollout.answer for _, rollout in own],
                    scores=[rollout.score for _, rollout in own],
                    trajectories=own if capture_traces else None,
                    objective_scores=[dict(rollout.objectives) for _, rollout in own],
                )
            )
        return done

    def _rollout(self, asked: tuple[Mapping[str, str], Any]) -> Any:
        candidate, example = asked
        return self._world.rollout(dict(candidate), example, sleep=self._pool is not None)

    def make_reflective_dataset(
        self, candidate: Mapping[str, str], batch: EvaluationBatch[Any, str], components: Sequence[str]
    ) -> dict[str, list[dict[str, str]]]:
        records = [
            {"Input": example.query, "Output": rollout.answer, "Feedback": rollout.feedback}
            for example, rollout in batch.trajectories or []
        ]
        return dict.fromkeys(components, records)


class _Model:
    """The reflection model as gepa asks it best: the proposals of one iteration all at once."""

    def __init__(self, lm: Callable[[Any], str], at_once: bool) -> None:
        self._lm = lm
        self._at_once = at_once

    def __call__(self, prompt: Any) -> str:
        return self._lm(prompt)

    def batch_complete(self, messages_list: Sequence[Any]) -> list[str]:
        if not self._at_once:
            return [self._lm(messages) for messages in messages_list]
        with ThreadPoolExecutor(max(1, len(messages_list))) as threads:
            return list(threads.map(self._lm, messages_list))


class _Progress:
    """The curve: another incumbent whenever another candidate is the best on validation."""

    def __init__(self, adapter: _Adapter) -> None:
        self._adapter = adapter
        self._began = time.perf_counter()
        self.curve: list[Incumbent] = []

    def seconds(self) -> float:
        return time.perf_counter() - self._began

    def on_valset_evaluated(self, event: Mapping[str, Any]) -> None:
        if event["is_best_program"]:
            self.curve.append(Incumbent(self._adapter.calls, self.seconds(), dict(event["candidate"])))


class _Silence:
    def log(self, message: str) -> None:
        pass
