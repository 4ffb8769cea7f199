"""An adapter around an evaluator: any function of a text that returns a score."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from paretune.core.errors import AttemptFailed, FailureKind
from paretune.library.adapter import EvaluationBatch, ExamplesFailed, GEPAAdapter
from paretune.library.anything_calls import (
    SCORES,
    SINGLE,
    SPECIFIC,
    Best,
    Crew,
    Declared,
    Evaluated,
    Pair,
    Result,
    Texts,
    asynchronous,
    evaluated,
    settled,
)
from paretune.library.anything_log import Heard
from paretune.library.anything_refiner import Refiner
from paretune.library.lm import failure_of

Batch = EvaluationBatch[dict[str, Any], tuple[float, Texts, dict[str, Any]]]

OWN_SCORE, OWN_SCORES = "Score (Higher is Better)", "Scores (Higher is Better)"


@dataclass(slots=True)
class AnythingAdapter(GEPAAdapter[Any, dict[str, Any], tuple[float, Texts, dict[str, Any]]]):
    """`evaluator` for one pair of candidate and example, or `batch_evaluator` for all pairs of a stage.

    `key`: the component whose text is all that an evaluator gets, instead of all components by name.
    `workers`: evaluations at once. `raising`: what an evaluator raises is raised here; otherwise the example
    counts `failure_score`, or is a failure without one (ExamplesFailed, once the others are done).

    Outputs are (score, texts that were measured, side information), trajectories the side information.
    Methods return an awaitable where the evaluator is async.
    """

    evaluator: Callable[..., Any] | None
    batch_evaluator: Callable[..., Any] | None = None
    key: str | None = None
    workers: int = 1
    raising: bool = True
    failure_score: float | None = None
    printing: bool = False
    best: Best = field(default_factory=lambda: Best(30))
    refiner: Refiner | None = None
    _declared: Declared = field(init=False)
    _awaits: bool = field(init=False)
    _crew: Crew = field(init=False)

    def __post_init__(self) -> None:
        several = self.batch_evaluator is not None
        function = self.batch_evaluator or self.evaluator
        assert function is not None
        self._declared = Declared.of(function, "opt_states" if several else "opt_state")
        self._awaits = asynchronous(function)
        self._crew = Crew(self.workers, time.perf_counter)

    def close(self) -> None:
        """Lets go of its threads."""
        self._crew.close()

    # -- what the engine asks ---------------------------------------------------------------------

    def evaluate(  # type: ignore[override]  # awaited by whoever calls it, where it is async
        self, batch: list[Any], candidate: Texts, capture_traces: bool = False
    ) -> Batch | Awaitable[Batch]:
        whole: Batch | Awaitable[Batch] = self._then(self._whole, [(candidate, one) for one in batch])
        return whole

    def batch_evaluate(
        self, items: list[tuple[Texts, list[Any]]]
    ) -> list[Batch | ExamplesFailed] | Awaitable[list[Batch | ExamplesFailed]]:
        """An item of which some examples failed has its ExamplesFailed in its place."""

        def parted(results: Sequence[Result]) -> list[Batch | ExamplesFailed]:
            rest = iter(results)
            return [_batch([next(rest) for _ in batch]) for _, batch in items]

        pairs = [(candidate, example) for candidate, batch in items for example in batch]
        found: list[Batch | ExamplesFailed] | Awaitable[list[Batch | ExamplesFailed]]
        found = self._then(parted, pairs)
        return found

    def results(self, candidate: Texts, batch: Sequence[Any]) -> Any:
        """A result or an error for each example; nothing is raised."""
        return self._then(list, [(candidate, example) for example in batch], raising=False)

    def make_reflective_dataset(
        self, candidate: Texts, eval_batch: EvaluationBatch[Any, Any], components_to_update: list[str]
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """For each component the side information and score of each example; that which is specific to a
        component, for it alone. Raises ValueError without trajectories."""
        if eval_batch.trajectories is None:
            raise ValueError("there are no trajectories: evaluate with capture_traces=True")
        seen = list(zip(eval_batch.scores, eval_batch.trajectories, strict=True))
        others = {component + SPECIFIC for component in candidate}
        return {
            name: [_record(name, score, side or {}, others) for score, side in seen]
            for name in components_to_update
        }

    # -- evaluations ------------------------------------------------------------------------------

    def _then(self, end: Callable[[list[Result]], Any], pairs: list[Pair], *, raising: bool = True) -> Any:
        """`end` of the results, now or awaited."""
        rounds = self._rounds(pairs, raising=raising and self.raising)
        return self._driven_async(rounds, end) if self._awaits else end(self._driven(rounds))

    def _rounds(
        self, pairs: list[Pair], *, raising: bool
    ) -> Generator[list[Pair], list[Result], list[Result]]:
        """Yields what is to be evaluated, is sent the results; returns those of `pairs`."""
        results = yield pairs
        if raising:
            for result in results:
                if isinstance(result, Exception):
                    raise result
        if self.refiner is not None:
            results = yield from self.refiner.refined(pairs, results)
        return [
            result if isinstance(result, Evaluated) else self._failed(texts, result)
            for (texts, _), result in zip(pairs, results, strict=True)
        ]

    def _failed(self, texts: Texts, error: Exception) -> Result:
        if self.failure_score is None:
            return failure_of(error, FailureKind.EVALUATOR_RAISED)
        return Evaluated(self.failure_score, texts, {"error": f"{type(error).__name__}: {error}"}, {})

    def _driven(self, rounds: Generator[list[Pair], list[Result], list[Result]]) -> list[Result]:
        wanted, end = _step(rounds, None)
        while end is None:
            wanted, end = _step(rounds, self._scored(wanted))
        return end

    async def _driven_async(
        self,
        rounds: Generator[list[Pair], list[Result], list[Result]],
        finish: Callable[[list[Result]], Any],
    ) -> Any:
        wanted, end = _step(rounds, None)
        while end is None:
            scored = await self._scored_async(wanted)
            if self.refiner is None:
                wanted, end = _step(rounds, scored)
            else:  # a model is asked, which blocks
                wanted, end = await asyncio.to_thread(_step, rounds, scored)
        return finish(end)

    def _scored(self, pairs: list[Pair]) -> list[Result]:
        asked = [self._question(pair) for pair in pairs]
        if self.batch_evaluator is None:
            return self._noted(pairs, self._crew.settled(self._answer, asked))
        try:
            return self._noted(pairs, self._read_all(pairs, self._ask_all(asked)))
        except Exception as error:  # noqa: BLE001 - code of the user
            return [error] * len(pairs)

    async def _scored_async(self, pairs: list[Pair]) -> list[Result]:
        asked = [self._question(pair) for pair in pairs]
        if self.batch_evaluator is None:
            return self._noted(pairs, await settled(self._answer_async, asked, workers=self.workers))
        try:
            return self._noted(pairs, self._read_all(pairs, await self._ask_all(asked)))
        except Exception as error:  # noqa: BLE001 - code of the user
            return [error] * len(pairs)

    def _noted(self, pairs: Sequence[Pair], results: list[Result]) -> list[Result]:
        if self._declared.states:
            for (_, example), result in zip(pairs, results, strict=True):
                if isinstance(result, Evaluated):
                    self.best.heard(example, result)
        return results

    # -- one call ---------------------------------------------------------------------------------

    def _question(self, pair: Pair) -> _Question:
        """The state is that before the stage, whoever is done first."""
        texts, example = pair
        state = self.best.state(example) if self._declared.states else None
        return _Question(texts, texts[self.key] if self.key is not None else dict(texts), example, state)

    def _answer(self, asked: _Question) -> Evaluated:
        assert self.evaluator is not None
        heard = Heard(self.printing)
        arguments, named = self._declared.arguments(asked.example, asked.state)
        with heard.listening():
            answer = self.evaluator(asked.shown, *arguments, **named)
        return evaluated(asked.texts, answer, heard)

    async def _answer_async(self, asked: _Question) -> Evaluated:
        assert self.evaluator is not None
        heard = Heard(self.printing)
        arguments, named = self._declared.arguments(asked.example, asked.state)
        with heard.listening():
            answer = await self.evaluator(asked.shown, *arguments, **named)
        return evaluated(asked.texts, answer, heard)

    def _ask_all(self, asked: Sequence[_Question]) -> Any:
        assert self.batch_evaluator is not None
        pairs = [(one.shown, None if one.example is SINGLE else one.example) for one in asked]
        if self._declared.states:
            return self.batch_evaluator(pairs, opt_states=[one.state for one in asked])
        return self.batch_evaluator(pairs)

    def _read_all(self, pairs: Sequence[Pair], answers: Any) -> list[Result]:
        """An exception among the answers is that pair's. Raises ValueError on another number of them."""
        found = list(answers)
        if len(found) != len(pairs):
            raise ValueError(f"batch_evaluator gave {len(found)} results for {len(pairs)} pairs")
        return [
            answer if isinstance(answer, Exception) else evaluated(texts, answer)
            for (texts, _), answer in zip(pairs, found, strict=True)
        ]

    def _whole(self, results: list[Result]) -> Batch:
        whole = _batch(results)
        if isinstance(whole, ExamplesFailed):
            raise whole
        return whole


@dataclass(frozen=True, slots=True)
class _Question:
    texts: Texts
    shown: Any
    example: Any
    state: Any


def _step(
    rounds: Generator[list[Pair], list[Result], list[Result]], scored: list[Result] | None
) -> tuple[list[Pair], list[Result] | None]:
    """What is wanted next, or the end. StopIteration cannot leave a thread."""
    try:
        return (next(rounds) if scored is None else rounds.send(scored)), None
    except StopIteration as end:
        return [], end.value


def _batch(results: Sequence[Result]) -> Batch | ExamplesFailed:
    failures = {place: one for place, one in enumerate(results) if isinstance(one, AttemptFailed)}
    done = [one for one in results if isinstance(one, Evaluated)]
    named = [one.objectives for one in done]
    batch = EvaluationBatch(
        outputs=[(one.score, one.texts, one.side_info) for one in done],
        scores=[one.score for one in done],
        trajectories=[one.side_info for one in done],
        objective_scores=named if any(named) else None,
        num_metric_calls=sum(one.calls for one in done),
    )
    return ExamplesFailed(failures, batch) if failures else batch


def _record(name: str, score: float, side_info: Mapping[str, Any], others: set[str]) -> dict[str, Any]:
    told: dict[str, Any] = {OWN_SCORE: score}
    specific = side_info.get(name + SPECIFIC)
    parts = [{key: value for key, value in side_info.items() if key not in others}]
    parts += [dict(specific)] if isinstance(specific, Mapping) else [{SPECIFIC: specific}] if specific else []
    for part in parts:
        scores = part.pop(SCORES, None)
        if scores:
            told[OWN_SCORES] = {**told.get(OWN_SCORES, {}), **scores}
        told |= part
    return told
