"""Executors: who really runs a rollout."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from paretune.container.body import json_text
from paretune.container.messages import Message, RolloutCall, candidate_part, example_part
from paretune.core.candidate import CandidateId
from paretune.core.canonical import JsonValue, digest_of_words
from paretune.core.errors import AttemptFailed, FailureKind
from paretune.core.rollout import Answer, RolloutRequest, Usage

if TYPE_CHECKING:
    from paretune.container.client import ContainerClient

WRITTEN = 64
"""Candidates whose part of the request is kept in memory."""


class Dispatch(NamedTuple):
    """One rollout on its way out, for the fact of this key."""

    request: RolloutRequest
    key: str
    run_id: str

    @property
    def rollout_id(self) -> str:
        """`ro_` and 32 hexadecimal digits, the same when the call is repeated."""
        return "ro_" + digest_of_words(self.run_id, self.key, length=32)


class Executor(Protocol):
    """Runs a batch of rollouts; a failed one is returned, in its place, not raised."""

    async def run(self, batch: Sequence[Dispatch]) -> list[Answer | AttemptFailed]: ...


@runtime_checkable
class Closes(Protocol):
    """An executor that holds on to something while it is used. The run that used it closes it at its end;
    used again after that, it opens anew."""

    def close(self) -> None: ...


@runtime_checkable
class Batches(Protocol):
    """An executor that runs many rollouts in one call: it is told which ones are about to come."""

    def expect(self, keys: Sequence[str]) -> None: ...


async def one_by_one(
    run: Callable[[Dispatch], Awaitable[Answer | AttemptFailed]], batch: Sequence[Dispatch]
) -> list[Answer | AttemptFailed]:
    """All of a batch at once; a batch of one, the usual case, without a task of its own."""
    if len(batch) == 1:
        return [await run(batch[0])]
    return list(await asyncio.gather(*map(run, batch)))


@dataclass(frozen=True, slots=True)
class ContainerExecutor:
    """Rollouts over HTTP, one call each. `as_candidate`: the texts are fields of the container's program,
    `hosts`: demonstrations stand as text in these components.

    `price` knows what tokens cost, for answers that tell tokens and no money. `lo` is the cheap policy, with
    its price, of a job that has one.
    """

    client: ContainerClient
    messages: tuple[Message, ...] = ()
    policy: Mapping[str, JsonValue] | None = None
    env_name: str = ""
    env_config: Mapping[str, JsonValue] | None = None
    as_candidate: bool = True
    hosts: Mapping[str, str] = field(default_factory=dict)
    price: Callable[[Usage], float | None] = lambda usage: None
    lo: tuple[Mapping[str, JsonValue], Callable[[Usage], float | None]] | None = None
    _written: dict[tuple[CandidateId, str, str], str] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def run(self, batch: Sequence[Dispatch]) -> Coroutine[Any, Any, list[Answer | AttemptFailed]]:
        return one_by_one(self._one, batch)

    def call(self, dispatch: Dispatch) -> RolloutCall:
        """What goes out for this rollout."""
        candidate = dispatch.request.candidate
        policy, _ = self._tier(dispatch.request.tier)
        return RolloutCall(
            rollout_id=dispatch.rollout_id,
            run_id=dispatch.run_id,
            candidate_id=candidate.id,
            components=candidate.components,
            example_data=dispatch.request.example.data,
            messages=self.messages,
            policy=policy or {},
            env_name=self.env_name,
            env_config=self.env_config or {},
            as_candidate=self.as_candidate,
            hosts=self.hosts,
        )

    def _tier(self, tier: str) -> tuple[Mapping[str, JsonValue] | None, Callable[[Usage], float | None]]:
        """Policy and price."""
        return self.lo if tier and self.lo else (self.policy, self.price)

    def _request(self, call: RolloutCall, tier: str = "") -> bytes:
        """The body that goes out. A candidate's part is written once for all of its examples."""
        whose = call.candidate_id, call.run_id, tier
        shared = self._written.get(whose)
        if shared is None:
            if len(self._written) >= WRITTEN:
                del self._written[next(iter(self._written))]
            shared = self._written[whose] = json_text(candidate_part(call))
        return f"{json_text(example_part(call))[:-1]}, {shared[1:]}".encode()

    async def _one(self, dispatch: Dispatch) -> Answer | AttemptFailed:
        try:
            call = self.call(dispatch)
            answer = await self.client.ask(call.rollout_id, self._request(call, dispatch.request.tier))
        except AttemptFailed as error:
            return error
        usage = answer.usage
        if usage.cost_usd is None and usage.tokens:
            _, price = self._tier(dispatch.request.tier)
            return replace(answer, usage=replace(usage, cost_usd=price(usage)))
        return answer


Scorer = Callable[[Mapping[str, str], Mapping[str, JsonValue]], Any]
"""`(components, example data)` -> reward, or (reward, side information), or Answer; may be async."""


MOST_THREADS = 10_000
"""Never reached: the queue's concurrency is."""


@dataclass(slots=True, eq=False)
class FunctionExecutor:
    """Rollouts by a Python function of this process.

    A plain function runs in a thread, and there are as many threads as rollouts were ever in flight: it is
    the queue's `concurrency` that limits them, not the number of cores. A call that is past its deadline
    is not waited for, but its thread cannot be stopped: it ends when the function returns.
    """

    score: Scorer
    _is_async: bool = field(init=False)
    _threads: ThreadPoolExecutor | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._is_async = inspect.iscoroutinefunction(self.score)

    def close(self) -> None:
        """Threads without work end now, the others with their call."""
        if self._threads is not None:
            self._threads.shutdown(wait=False)
            self._threads = None

    def run(self, batch: Sequence[Dispatch]) -> Coroutine[Any, Any, list[Answer | AttemptFailed]]:
        return one_by_one(self._one, batch)

    async def _one(self, dispatch: Dispatch) -> Answer | AttemptFailed:
        request = dispatch.request
        try:
            if self._is_async:
                value = await self.score(request.candidate.components, request.example.data)
            else:
                value = await self._in_thread(request.candidate.components, request.example.data)
            if type(value) is not Answer and isinstance(value, Awaitable):
                value = await value
            return as_answer(value)
        except AttemptFailed as error:
            return error
        except Exception as error:  # noqa: BLE001 - user code may raise anything; it becomes a typed failure
            message = f"{type(error).__name__}: {error}"
            return AttemptFailed(FailureKind.EVALUATOR_RAISED, message)

    async def _in_thread(self, *arguments: Mapping[str, Any]) -> Any:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="paretune-evaluator")
        call = partial(contextvars.copy_context().run, self.score, *arguments)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


def as_answer(value: Any) -> Answer:
    """An Answer from what a Python evaluator may return. Raises AttemptFailed(BAD_REWARD)."""
    if isinstance(value, Answer):
        return value
    reward, side = value if isinstance(value, tuple) and len(value) == 2 else (value, {})
    if isinstance(reward, bool) or not isinstance(reward, int | float):
        raise AttemptFailed(
            FailureKind.BAD_REWARD, f"the evaluator returned {type(reward).__name__}, not a number"
        )
    texts = {k.lower(): str(v) for k, v in side.items()}
    objectives = {str(k): float(v) for k, v in side.get("scores", {}).items()}
    try:
        return Answer(
            float(reward),
            objectives=objectives,
            input=texts.get("input", ""),
            output=texts.get("output", ""),
            expected=texts.get("expected", ""),
            feedback=texts.get("feedback", ""),
        )
    except ValueError as error:
        raise AttemptFailed(FailureKind.BAD_REWARD, str(error)) from error
