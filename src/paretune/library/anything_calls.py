"""Calling the evaluators of `optimize_anything`: with what they declare, several at once."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from paretune.core.canonical import digest
from paretune.library.anything_log import Heard

A = TypeVar("A")
T = TypeVar("T")

Texts = dict[str, str]
Pair = tuple[Texts, Any]
"""A candidate by component, and an example."""

SPECIFIC = "_specific_info"
"""`<component>_specific_info`: side information that only the component's author is shown."""
SCORES = "scores"


class _SingleInstanceSentinel:
    """Stands for the example where there is one task and no data."""

    def __repr__(self) -> str:
        return "<the one task>"


SINGLE = _SingleInstanceSentinel()


@dataclass
class OptimizationState:
    """What an evaluator that declares `opt_state` may know: `best_example_evals`, the best evaluations of
    this example so far, best first, each `{"score": float, "side_info": dict}`."""

    best_example_evals: list[dict[str, Any]]


class Evaluator(Protocol):
    """Score, or (score, side information); higher is better. Is given those of `example` and `opt_state` that
    it declares, and no `example` for a single task. May be async."""

    def __call__(
        self, candidate: str | dict[str, str], example: object | None = None, **kwargs: Any
    ) -> tuple[float, dict[str, Any]] | float: ...


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One evaluation. `texts` are those that were measured; `calls` counts evaluations made for it."""

    score: float
    texts: Texts
    side_info: dict[str, Any]
    objectives: dict[str, float]
    calls: int = 1


Result = Evaluated | Exception


def evaluated(texts: Texts, answer: Any, heard: Heard | None = None) -> Evaluated:
    """What an evaluator answered, read. Raises TypeError."""
    score, side = answer if isinstance(answer, tuple) and len(answer) == 2 else (answer, None)
    if isinstance(score, str | bytes):
        raise TypeError(f"an evaluator returns a score or (score, side_info), not {answer!r}")
    try:
        score = float(score)
    except (TypeError, ValueError):
        kind = type(answer).__name__
        raise TypeError(f"an evaluator returns a score or (score, side_info), not a {kind}") from None
    if side is not None and not isinstance(side, Mapping):
        raise TypeError(f"side_info is a dict, not a {type(side).__name__}")
    told = heard.told(side or {}) if heard else dict(side or {})
    return Evaluated(score, texts, told, objectives(texts, told) if told else {})


def objectives(texts: Mapping[str, str], side_info: Mapping[str, Any]) -> dict[str, float]:
    """Named scores, higher is better; a component's own as `component::name`. Raises TypeError."""
    found = _numbers(side_info.get(SCORES), "")
    for component in texts:
        specific = side_info.get(component + SPECIFIC)
        if isinstance(specific, Mapping):
            found |= _numbers(specific.get(SCORES), f"{component}::")
    return found


def _numbers(scores: Any, prefix: str) -> dict[str, float]:
    if scores is None:
        return {}
    if not isinstance(scores, Mapping):
        raise TypeError(f"scores in side_info is a dict of names to numbers, not a {type(scores).__name__}")
    try:
        return {f"{prefix}{name}": float(score) for name, score in scores.items()}
    except (TypeError, ValueError) as error:
        raise TypeError(f"scores in side_info are numbers: {error}") from None


# -- what a function declares ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Declared:
    """Which further arguments a function takes; `example` is "" (no), "named" or "second"."""

    example: str
    states: bool

    @classmethod
    def of(cls, function: Callable[..., Any], states: str) -> Declared:
        """`states` is the name under which it may ask for optimization state."""
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):  # code that is not Python's
            return cls("second", states=False)
        anything = any(p.kind is p.VAR_KEYWORD for p in parameters)
        named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        by_place = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        second = len(by_place) > 1 and by_place[1].name != states
        example = "named" if anything or "example" in named else "second" if second else ""
        return cls(example, states=anything or states in named)

    def arguments(self, example: Any, state: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What comes after the candidate."""
        wanted: dict[str, Any] = {"opt_state": state} if self.states else {}
        if example is SINGLE or not self.example:
            return (), wanted
        if self.example == "second":
            return (example,), wanted
        return (), {"example": example, **wanted}


def asynchronous(function: Callable[..., Any]) -> bool:
    """Whether what it returns is to be awaited."""
    while isinstance(function, functools.partial):
        function = function.func
    call = getattr(function, "__call__", None)  # noqa: B004 - the method is looked at, not whether it is there
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


# -- the best of each example ------------------------------------------------------------------------------


@dataclass(slots=True)
class Best:
    """The `most` best evaluations of each example."""

    most: int
    _known: dict[Any, list[dict[str, Any]]] = field(default_factory=dict)

    def state(self, example: Any) -> OptimizationState:
        return OptimizationState(list(self._known.get(_key(example), ())))

    def heard(self, example: Any, one: Evaluated) -> None:
        known = self._known.setdefault(_key(example), [])
        if len(known) >= self.most and (not known or one.score <= known[-1]["score"]):
            return
        place = next((n for n, other in enumerate(known) if other["score"] < one.score), len(known))
        known.insert(place, {"score": one.score, "side_info": one.side_info})
        del known[self.most :]


def _key(example: Any) -> Any:
    """The same for equal examples, also where a loader makes them anew."""
    try:
        hash(example)
    except TypeError:
        try:
            return digest(example)
        except (TypeError, ValueError, RecursionError):
            return repr(example)
    return type(example), example


# -- several at once ---------------------------------------------------------------------------------------

QUICK = 0.001
"""Seconds. Calls that return so soon are not worth a thread."""


@dataclass(slots=True)
class Crew:
    """Up to `workers` blocking calls at once, in threads that stay; in this thread while calls are quick."""

    workers: int
    clock: Callable[[], float]
    _pool: ThreadPoolExecutor | None = None
    _quick: bool = False

    def settled(self, call: Callable[[A], T], arguments: Sequence[A]) -> list[T | Exception]:
        """`call(argument)` for each, in order; what a call raised stands in its place."""

        def one(argument: A) -> T | Exception:
            try:
                return call(argument)
            except Exception as error:  # noqa: BLE001 - theirs, whatever it is; the caller sees it
                return error

        if self.workers < 2:
            return [one(argument) for argument in arguments]
        here: list[T | Exception] = []
        alone = len(arguments) == 1
        while len(here) < len(arguments) and (self._quick or alone):
            began = self.clock()
            here.append(one(arguments[len(here)]))
            self._quick = self.clock() - began < QUICK
        rest = arguments[len(here) :]
        if not rest:
            return here
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="paretune-evaluate")
        began = self.clock()
        futures = [self._pool.submit(contextvars.copy_context().run, one, each) for each in rest]
        here += [future.result() for future in futures]
        self._quick = self.clock() - began < QUICK * len(rest)
        return here

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False)


async def settled(call: Callable[[A], Any], arguments: Sequence[A], *, workers: int) -> list[Any | Exception]:
    """As `Crew.settled`, with an awaitable from each call, as tasks of this loop."""
    gate = asyncio.Semaphore(workers)

    async def one(argument: A) -> Any:
        async with gate:
            try:
                return await call(argument)
            except Exception as error:  # noqa: BLE001 - theirs, whatever it is; the caller sees it
                return error

    return list(await asyncio.gather(*(one(argument) for argument in arguments)))
