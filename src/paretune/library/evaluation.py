"""Rollouts by an adapter: whole batches in one call, and the objects that no record can hold."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from paretune.core.candidate import Candidate
from paretune.core.canonical import JsonValue
from paretune.core.errors import AttemptFailed, FailureKind, RunFailed
from paretune.core.example import Example, ExampleId, Split
from paretune.core.rollout import Answer
from paretune.evaluate.executors import Dispatch
from paretune.library.adapter import EvaluationBatch, ExamplesFailed, GEPAAdapter
from paretune.library.loaders import DataLoader

LATE_SECONDS = 0.05
"""A batch goes out without those who were announced and did not come for so long."""
KEPT = 4096
"""Cells whose outputs and trajectories are kept as objects; those that are always needed do not count."""
LONGEST = 20_000
"""Characters of an output or trajectory that go on record."""

Texts = Mapping[str, str]
Caller = Callable[..., Coroutine[Any, Any, Any]]
"""How code of the user is called: `await caller(function, *arguments)`."""


async def inline(function: Callable[..., Any], *arguments: Any) -> Any:
    """Right here, in the thread of whoever called `optimize`: what it calls may belong to that thread."""
    value = function(*arguments)
    return await value if inspect.isawaitable(value) else value


@dataclass(slots=True)
class Aside:
    """In a thread beside the event loop, one call at a time, with the caller's context variables."""

    _context: contextvars.Context = field(default_factory=contextvars.copy_context)
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="paretune-adapter")
    )

    async def __call__(self, function: Callable[..., Any], *arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        value = await loop.run_in_executor(
            self._thread, partial(self._context.run, partial(function, *arguments))
        )
        return await value if inspect.isawaitable(value) else value

    def close(self) -> None:
        self._thread.shutdown(wait=False)


@dataclass(frozen=True, slots=True)
class Data:
    """The examples of one split, by the ids of the record and by those of their loader.

    Ids of the record begin with `name`: the third example to learn from is not the third of validation.
    """

    name: str
    loader: DataLoader[Any, Any]
    split: Split
    _ids: dict[ExampleId, Hashable] = field(default_factory=dict)
    _examples: dict[Hashable, Example] = field(default_factory=dict)

    def examples(self) -> tuple[Example, ...]:
        """All that the loader has now."""
        return tuple(self.example(id) for id in self.loader.all_ids())

    def example(self, id: Hashable) -> Example:
        known = self._examples.get(id)
        if known is None:
            text = f"{self.name}/{id if isinstance(id, str) else json.dumps(id, default=str)}"
            if text in self._ids:  # "3" and 3
                text += f" ({type(id).__name__})"
            known = self._examples[id] = Example(text, self.split)
            self._ids[text] = id
        return known

    def named(self, example: ExampleId) -> Example:
        """The example of this id of the record."""
        return self._examples[self._ids[example]]

    def id(self, example: ExampleId) -> Any:
        return self._ids[example]

    def fetch(self, examples: Iterable[ExampleId]) -> list[Any]:
        return list(self.loader.fetch([self._ids[example] for example in examples]))


@dataclass(frozen=True, slots=True)
class Cell:
    """What the adapter gave for one rollout, as it gave it."""

    output: Any
    score: float
    trajectory: Any = None
    objectives: Mapping[str, float] | None = None


@dataclass(slots=True)
class Outcomes:
    """Cells by candidate and example. The oldest are let go of, but those of `lasting`."""

    lasting: Callable[[Split], bool]
    _cells: OrderedDict[tuple[str, ExampleId, Split], Cell] = field(default_factory=OrderedDict)
    _passing: int = 0

    def keep(self, candidate: str, example: Example, cell: Cell) -> None:
        key = candidate, example.id, example.split
        self._passing += key not in self._cells and not self.lasting(example.split)
        self._cells[key] = cell
        while self._passing > KEPT:
            oldest = next(one for one in self._cells if not self.lasting(one[2]))
            del self._cells[oldest]
            self._passing -= 1

    def get(self, candidate: str, example: ExampleId, split: Split) -> Cell | None:
        return self._cells.get((candidate, example, split))


@dataclass(slots=True, eq=False)
class _Waiting:
    dispatch: Dispatch
    answer: asyncio.Future[Answer | AttemptFailed]


@dataclass(slots=True, eq=False)
class AdapterExecutor:
    """Runs rollouts by an adapter. Who is announced (`expect`) goes out in one call for each candidate.

    `traced`: splits whose trajectories a proposer needs; nothing is captured on the others. `readable`: texts
    of examples go on record, where the guard against copies finds them. With `raising`, what the adapter
    raises ends the run, and is `raised`.
    """

    adapter: GEPAAdapter[Any, Any, Any]
    data: Mapping[Split, Data]
    call: Caller
    kept: Outcomes
    traced: frozenset[Split] = frozenset({Split.REFLECT})
    readable: bool = True
    raising: bool = True
    raised: BaseException | None = field(default=None, init=False)
    calls: int = field(default=0, init=False)
    """Calls of the adapter by this process."""
    extra_calls: int = field(default=0, init=False)
    """Evaluations that the adapter counted beyond one for each example."""
    _coming: set[str] = field(default_factory=set, init=False)
    _here: list[_Waiting] = field(default_factory=list, init=False)
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)
    _works: set[asyncio.Task[None]] = field(default_factory=set, init=False)

    def expect(self, keys: Sequence[str]) -> None:
        """Rollouts of these facts are about to be asked for."""
        self._coming.update(keys)

    async def run(self, batch: Sequence[Dispatch]) -> list[Answer | AttemptFailed]:
        loop = asyncio.get_running_loop()
        waiting = [_Waiting(dispatch, loop.create_future()) for dispatch in batch]
        self._here += waiting
        self._coming.difference_update(dispatch.key for dispatch in batch)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(LATE_SECONDS if self._coming else 0, self._depart)
        return [await one.answer for one in waiting]

    def _depart(self) -> None:
        self._timer = None
        self._coming.clear()
        here, self._here = self._here, []
        work = asyncio.get_running_loop().create_task(self._answered(here))
        self._works.add(work)
        work.add_done_callback(self._works.discard)

    async def _answered(self, waiting: Sequence[_Waiting]) -> None:
        """Answers for all of these, by candidate; what is captured, in one call if the adapter takes it."""
        self.calls += 1
        groups: dict[tuple[str, bool], list[_Waiting]] = {}
        for one in waiting:
            request = one.dispatch.request
            traced = request.example.split in self.traced
            groups.setdefault((request.candidate.id, traced), []).append(one)
        captured = [group for (_, traced), group in groups.items() if traced]
        plain = [group for (_, traced), group in groups.items() if not traced]
        try:
            several = getattr(self.adapter, "batch_evaluate", None)
            if several is not None and len(captured) > 1:
                items = [(_candidate(group), self._batch(group)) for group in captured]
                for group, evaluated in zip(captured, await self.call(several, items), strict=True):
                    self._hand_out(group, evaluated)
                captured = []
            for group in captured:
                self._hand_out(group, await self._evaluate(_candidate(group), self._batch(group), True))
            for group in plain:
                self._hand_out(group, await self._evaluate(_candidate(group), self._batch(group), False))
        except Exception as error:  # noqa: BLE001 - code of the user
            self._fail(waiting, error)
        except BaseException as error:
            self._fail(waiting, error)
            raise

    def _fail(self, waiting: Sequence[_Waiting], error: BaseException) -> None:
        message = f"{type(error).__name__}: {error}"
        failure: BaseException = AttemptFailed(FailureKind.EVALUATOR_RAISED, message)
        if self.raising:
            self.raised = self.raised or error
            failure = RunFailed("the adapter raised", message)
        for one in waiting:
            if not one.answer.done():
                one.answer.set_exception(failure)

    def _batch(self, group: Sequence[_Waiting]) -> list[Any]:
        fetched: list[Any] = []
        for one in group:
            example = one.dispatch.request.example
            fetched += self.data[example.split].fetch([example.id])
        return fetched

    async def _evaluate(self, texts: dict[str, str], batch: list[Any], traces: bool) -> Any:
        try:
            return await self.call(partial(self.adapter.evaluate, batch, texts, capture_traces=traces))
        except ExamplesFailed as failed:
            if self.raising:
                raise
            return failed

    def _hand_out(
        self, group: Sequence[_Waiting], evaluated: EvaluationBatch[Any, Any] | ExamplesFailed
    ) -> None:
        if isinstance(evaluated, ExamplesFailed):
            group, evaluated = _without(group, evaluated), evaluated.batch
        cells = cells_of(evaluated, len(group))
        if evaluated.num_metric_calls is not None:
            self.extra_calls += evaluated.num_metric_calls - len(group)
        for one, cell in zip(group, cells, strict=True):
            request = one.dispatch.request
            data = self.data[request.example.split].fetch([request.example.id])[0] if self.readable else None
            answer = _answer(cell, data)
            if isinstance(answer, Answer):
                self.kept.keep(request.candidate.id, request.example, cell)
            if not one.answer.done():
                one.answer.set_result(answer)

    async def batch_of(self, candidate: Candidate, examples: Sequence[Example]) -> EvaluationBatch[Any, Any]:
        """What the adapter gave for this candidate on these examples, in their order.

        After a resume the objects are not there any more: the adapter is asked once more for the traces.
        """
        found = [self.kept.get(candidate.id, e.id, e.split) for e in examples]
        if any(cell is None for cell in found):
            batch = [self.data[e.split].fetch([e.id])[0] for e in examples]
            again = await self._evaluate(dict(candidate.components), batch, True)
            found = list(cells_of(again, len(batch)))
            for example, cell in zip(examples, found, strict=True):
                assert cell is not None
                self.kept.keep(candidate.id, example, cell)
        cells = [cell for cell in found if cell is not None]
        named = [dict(cell.objectives) for cell in cells if cell.objectives is not None]
        return EvaluationBatch(
            outputs=[cell.output for cell in cells],
            scores=[cell.score for cell in cells],
            trajectories=[cell.trajectory for cell in cells],
            objective_scores=named if len(named) == len(cells) else None,
        )


def _without(group: Sequence[_Waiting], failed: ExamplesFailed) -> list[_Waiting]:
    """Those that have a score; the others are told why not."""
    for place, failure in failed.failures.items():
        if not group[place].answer.done():
            group[place].answer.set_result(failure)
    return [one for place, one in enumerate(group) if place not in failed.failures]


def _candidate(group: Sequence[_Waiting]) -> dict[str, str]:
    return dict(group[0].dispatch.request.candidate.components)


def cells_of(evaluated: EvaluationBatch[Any, Any], wanted: int) -> list[Cell]:
    """One for each example. Raises TypeError on what is no EvaluationBatch, ValueError on lists of another
    length."""
    try:
        outputs, scores = evaluated.outputs, evaluated.scores
        traces, named = evaluated.trajectories, evaluated.objective_scores
    except AttributeError as error:
        raise TypeError(f"evaluate returns an EvaluationBatch, not {type(evaluated).__name__}") from error
    lengths = {"outputs": outputs, "scores": scores, "trajectories": traces, "objective_scores": named}
    for name, column in lengths.items():
        if column is not None and len(column) != wanted:
            raise ValueError(f"evaluate gave {len(column)} {name} for {wanted} examples")
    return [
        Cell(
            outputs[place],
            scores[place],
            traces[place] if traces is not None else None,
            named[place] if named is not None else None,
        )
        for place in range(wanted)
    ]


def _answer(cell: Cell, data: Any) -> Answer | AttemptFailed:
    try:
        return Answer(
            float(cell.score),
            objectives={str(k): float(v) for k, v in (cell.objectives or {}).items()},
            input=_readable(data),
            output=_readable(cell.output),
            expected=_expected(data),
            trace=_recorded(cell.trajectory),
        )
    except (TypeError, ValueError) as error:
        return AttemptFailed(FailureKind.BAD_REWARD, f"score {cell.score!r}: {error}")


def _readable(value: Any) -> str:
    """For people and for the guards; empty where there is nothing that reads."""
    if value is None or isinstance(value, str):
        return (value or "")[:LONGEST]
    if isinstance(value, Mapping) and isinstance(value.get("input"), str):
        return str(value["input"])[:LONGEST]
    text = _json(value)
    return text if text is not None else ""


def _expected(data: Any) -> str:
    answer = data.get("answer") if isinstance(data, Mapping) else None
    return answer[:LONGEST] if isinstance(answer, str) else ""


def _recorded(value: Any) -> JsonValue:
    """The trajectory as JSON where it is JSON and short enough; else it lives as long as the process."""
    text = _json(value)
    return json.loads(text) if text is not None else None


def _json(value: Any) -> str | None:
    if value is None:
        return None
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return None
    return text if len(text) <= LONGEST else None
