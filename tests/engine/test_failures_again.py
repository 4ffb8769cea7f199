"""A run on the results of an earlier one: failures are asked again, and judged by all that is needed."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.core.budget import Limits
from paretune.core.errors import AttemptFailed, FailureKind, RunFailed
from paretune.core.example import Split
from paretune.core.retry import RetryPolicy
from paretune.core.rollout import Failure, Identity, RolloutKey
from paretune.engine.run import Runner
from paretune.evaluate.evaluator import QueueSettings
from paretune.evaluate.executors import Dispatch
from paretune.evaluate.health import Health
from paretune.store import MemoryStore, Write
from paretune.store.base import StoredDecision
from paretune.views.run_view import read
from support.rulebook import Fails, RulebookExecutor
from support.runs import CASES, Case, JournalStore, begin, canonical, first_difference, stands_still

NOBODY = RolloutKey("c", "e", Split.PARETO, 0, Identity("task", "1", "policy"))
ILL = Failure(NOBODY, FailureKind.TASK_FAILED, "the clerk is ill")
ONE_TRY = QueueSettings(concurrency=4, retry=RetryPolicy(attempts=1))


def _wide(name: str) -> Case:
    """Full evaluations of sixty examples."""
    case = CASES[name](1)
    return replace(
        case, splits=case.book.splits(reflect=20, pareto=60), limits=Limits(rollouts=330, steps=30)
    )


def _every_eighth(dispatch: Dispatch, asked: int) -> AttemptFailed | None:
    hit = int(dispatch.request.example.id.split("-")[1]) % 8 == 3
    return AttemptFailed(FailureKind.TASK_FAILED, "the clerk is ill") if hit else None


def _always(dispatch: Dispatch, asked: int) -> AttemptFailed:
    return AttemptFailed(FailureKind.TASK_FAILED, "the clerk has left")


def _run(case: Case, store: MemoryStore, fails: Fails, run_id: str = "") -> tuple[str, RulebookExecutor]:
    job, proposer, executor = case.job(queue=ONE_TRY), case.proposer(), RulebookExecutor(case.book, fails)
    run_id = run_id or begin(store, job, proposer)
    asyncio.run(Runner(store, run_id, job, executor, proposer, clock=stands_still).run())
    return run_id, executor


def _is_decision(write: Write) -> bool:
    return isinstance(write, StoredDecision)


@pytest.mark.parametrize("name", ["classic", "lanes"])
def test_a_warm_run_asks_what_failed_again_and_ends_as_the_first_did(name: str) -> None:
    case, store = _wide(name), MemoryStore()
    first, cold = _run(case, store, _every_eighth)
    failures = len(read(store, first).failures)
    assert failures > 32, "more than the window of the failure rate"
    second, warm = _run(case, store, _every_eighth)
    assert warm.calls.total() == failures < cold.calls.total()
    decisions = (canonical(store, run)["decisions"] for run in (first, second))
    assert first_difference(*decisions) == ""
    assert len(read(store, second).failures) == failures


def test_a_warm_run_scores_what_failed_before_once_it_is_mended() -> None:
    case, store = _wide("classic"), MemoryStore()
    first, _ = _run(case, store, _every_eighth)
    second, warm = _run(case, store, lambda dispatch, asked: None)
    assert read(store, first).seed.mean != read(store, second).seed.mean
    assert not read(store, second).failures
    assert warm.calls.total() > 0


def test_known_results_do_not_hide_for_long_that_nothing_works_any_more() -> None:
    case, store = _wide("classic"), MemoryStore()
    _run(case, store, lambda dispatch, asked: None)
    longer = replace(case, limits=Limits(rollouts=2_000, steps=300))
    asked = RulebookExecutor(case.book, _always)
    job, proposer = longer.job(queue=ONE_TRY), longer.proposer()
    run_id = begin(store, job, proposer)
    with pytest.raises(RunFailed, match="the clerk has left"):
        asyncio.run(Runner(store, run_id, job, asked, proposer).run())
    assert asked.calls.total() < 2 * 32


def test_failures_that_a_resumed_run_asks_again_are_judged_beside_what_it_has() -> None:
    """Killed in its first full evaluation, when nothing had been decided by what failed in it."""
    case, journal = _wide("classic"), JournalStore()
    run_id, _ = _run(case, journal, _every_eighth)
    decided = [number for number, writes in enumerate(journal.commits) for w in writes if _is_decision(w)]
    cut = decided[1]  # the first is that the run began
    again = journal.after(run_id, cut)
    _, executor = _run(case, again, _every_eighth, run_id)
    assert executor.calls.total() > 8
    assert again.run(run_id).status == "succeeded"
    assert (
        first_difference(canonical(journal, run_id)["decisions"], canonical(again, run_id)["decisions"]) == ""
    )


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)), min_size=1, max_size=30))
def test_where_everything_may_fail_nothing_stops_the_run(batches: list[tuple[int, int]]) -> None:
    health, stopped = Health(tolerance=1.0), []
    for known, asked in batches:
        share = health.share(known, asked)
        for _ in range(asked):
            try:
                health.observe(ILL, share)
            except RunFailed as failure:
                stopped.append(failure)
    assert stopped == []


@given(st.integers(0, 12), st.integers(0, 200), st.integers(1, 40))
def test_the_failure_rate_is_that_of_known_and_asked_together(tenths: int, known: int, asked: int) -> None:
    """Everything that is asked fails; the rate is exact as long as all of it is within the window."""
    health = Health(tolerance=tenths / 10, least=1, window=10_000)
    share = health.share(known, asked)
    tripped = False
    for _ in range(asked):
        with contextlib.suppress(RunFailed):
            health.observe(ILL, share)
            continue
        tripped = True
    assert tripped == (10 * asked > tenths * (known + asked))
