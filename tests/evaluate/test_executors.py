"""Python evaluators: as many at once as the run allows, and no thread outlives the run that used it."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

from evaluate.far_side import requests
from paretune.core.errors import AttemptFailed, FailureKind
from paretune.core.rollout import Answer
from paretune.engine.run import Runner
from paretune.evaluate.evaluator import QueueSettings
from paretune.evaluate.executors import Dispatch, FunctionExecutor
from paretune.store import MemoryStore
from support.runs import CASES, begin

MANY = 24
"""More than a machine's default pool of threads has for a blocking call."""


def dispatches(count: int) -> list[Dispatch]:
    return [Dispatch(request, f"r_{i}", "run") for i, request in enumerate(requests(*range(count)))]


def threads() -> set[threading.Thread]:
    return {t for t in threading.enumerate() if t.name.startswith("paretune-evaluator")}


async def test_blocking_evaluators_run_side_by_side_whatever_the_number_of_cores() -> None:
    """The barrier opens only if all of them are inside at once."""
    barrier = threading.Barrier(MANY)

    def score(components: Any, data: Any) -> float:
        barrier.wait(timeout=10)
        return 1.0

    executor = FunctionExecutor(score)
    answers = await executor.run(dispatches(MANY))
    assert [a.reward for a in answers if isinstance(a, Answer)] == [1.0] * MANY
    executor.close()


async def test_an_evaluator_sees_the_context_it_was_called_from_and_may_raise_anything() -> None:
    word = contextvars.ContextVar("word", default="")
    word.set("here")

    def score(components: Any, data: Any) -> tuple[float, dict[str, str]]:
        if data["seed"] == "1":
            raise KeyError("gone")
        return 1.0, {"output": word.get()}

    executor = FunctionExecutor(score)
    right, wrong = await executor.run(dispatches(2))
    assert isinstance(right, Answer)
    assert right.output == "here"
    assert isinstance(wrong, AttemptFailed)
    assert (wrong.kind, wrong.message) == (FailureKind.EVALUATOR_RAISED, "KeyError: 'gone'")
    executor.close()


def test_a_run_uses_its_concurrency_and_ends_its_threads_and_the_next_run_opens_them_again() -> None:
    case = CASES["classic"](0)
    job = case.job(queue=QueueSettings(concurrency=12))
    most, inside, lock = 0, 0, threading.Lock()
    full = threading.Event()

    def score(components: Any, data: Any) -> Answer:
        nonlocal most, inside
        with lock:
            inside += 1
            most = max(most, inside)
            if inside == 12:
                full.set()
        full.wait(timeout=10)  # the first twelve meet, whoever comes later passes
        with lock:
            inside -= 1
        return case.book.answer(components, data)

    executor, before = FunctionExecutor(score), threads()
    for _ in range(2):
        most, store = 0, MemoryStore()
        run_id = begin(store, job, case.proposer())
        asyncio.run(Runner(store, run_id, job, executor, case.proposer()).run())
        assert store.run(run_id).status == "succeeded"
        assert most <= 12
        for thread in threads():
            thread.join(timeout=5)
        assert threads() <= before
    assert full.is_set()
