"""Who follows a run sees at any moment what somebody who reads all of it sees."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretune.core.budget import Limits
from paretune.core.canonical import JsonValue
from paretune.core.errors import AttemptFailed, FailureKind
from paretune.core.example import Split
from paretune.core.retry import RetryPolicy
from paretune.core.rollout import Answer, Failure, Identity, Rollout, RolloutKey, Usage
from paretune.engine.run import Runner
from paretune.evaluate.evaluator import QueueSettings
from paretune.evaluate.executors import Dispatch
from paretune.evaluate.facts import failure_fact, rollout_fact
from paretune.store import (
    AttemptBegun,
    AttemptEnded,
    Draw,
    MemoryStore,
    Run,
    SqlStore,
    StatusSet,
    Store,
    StoreError,
    Write,
)
from paretune.views.follow import Following
from paretune.views.run_view import RunView, read
from support.rulebook import RulebookExecutor
from support.runs import CASES, Case, JournalStore, begin, carry, stands_still

ONE_TRY = QueueSettings(concurrency=4, retry=RetryPolicy(attempts=1))


def rounded(value: Any) -> Any:
    """Sums of fractions depend in their last digits on the order."""
    return round(value, 9) if isinstance(value, float) else value


def told(view: RunView) -> dict[str, Any]:
    """All that a view says."""
    said = {f.name: getattr(view, f.name) for f in fields(view)}
    spent = {
        role: {name: rounded(value) for name, value in asdict(each).items()}
        for role, each in view.ledger.by_role.items()
    }
    said["ledger"] = (set(view.ledger.drawn), view.ledger.limits, spent)
    said["standing"] = replace(view.standing, spent={})
    said["rows"] = list(view.rows.items())
    said["spent"], said["drawn_at"] = view.spent.tolist(), view.drawn_at.tolist()
    said["known"] = {candidate: number for candidate, number in view.known.items() if number}
    said["best"] = view.best
    return said


class Watching:
    """Looks at a run after everything that is written, as somebody who has followed it from the start."""

    def __init__(self, store: Store, run_id: str) -> None:
        self.store = store
        self.run_id = run_id
        self.following = Following(store, run_id)
        self.looks = 0
        self.differences: list[str] = []

    def look(self) -> RunView:
        self.looks += 1
        view = self.following.catch_up()
        one, other = told(view), told(read(self.store, self.run_id))
        self.differences += [
            f"look {self.looks}, {name}" for name, value in one.items() if value != other[name]
        ]
        return view


class WatchedMemory(MemoryStore):
    watching: Watching | None = None

    def commit(self, run_id: str, writes: Sequence[Write]) -> frozenset[str]:
        others = super().commit(run_id, writes)
        if self.watching and writes:
            self.watching.look()
        return others

    def forget_failures(self, run_id: str, keys: Sequence[str]) -> None:
        super().forget_failures(run_id, keys)
        if self.watching:
            self.watching.look()

    def set_limits(self, run_id: str, limits: Mapping[str, JsonValue]) -> None:
        super().set_limits(run_id, limits)
        if self.watching:
            self.watching.look()


class WatchedFile(SqlStore):
    watching: Watching | None = None

    def commit(self, run_id: str, writes: Sequence[Write]) -> frozenset[str]:
        others = super().commit(run_id, writes)
        if self.watching and writes:
            self.watching.look()
        return others


Make = Callable[[Path], WatchedMemory | WatchedFile]
STORES: list[Make] = [lambda folder: WatchedMemory(), lambda folder: WatchedFile(folder / "workspace.sqlite")]


def small(name: str) -> Case:
    return replace(CASES[name](3), limits=Limits(rollouts=120, steps=10))


@pytest.mark.parametrize("make", STORES, ids=["memory", "sqlite"])
@pytest.mark.parametrize("name", ["judged", "lanes"])
def test_each_look_at_a_run_sees_what_is_on_record(make: Make, name: str, tmp_path: Path) -> None:
    store, case = make(tmp_path), small(name)
    run_id = begin(store, case.job(), case.proposer())
    store.watching = watching = Watching(store, run_id)
    asyncio.run(carry(case, store=store, run_id=run_id))
    view = watching.look()
    assert watching.differences == []
    assert watching.looks > 20
    assert view.finished
    assert view.best
    assert len(view.rollouts) == len(view.drawn_at) == len(view.ledger.drawn) > 80
    store.watching = None

    # The same job again: now all results are another run's.
    again = begin(store, case.job(), case.proposer())
    store.watching = watching = Watching(store, again)
    asyncio.run(carry(case, store=store, run_id=again))
    assert watching.differences == []
    assert watching.look().ledger.role("rollout").reused == len(view.rollouts)
    store.close()


def test_a_run_that_was_killed_is_followed_through_its_failures_and_their_repetition() -> None:
    case, first = small("judged"), JournalStore()
    run_id = carry_with(case, first, "", lambda example: example % 4 == 1)
    store = WatchedMemory()
    store.create_run(replace(first.run(run_id), status="queued", status_detail=""))
    store.watching = watching = Watching(store, run_id)
    seen = set[int]()
    for writes in first.commits[: len(first.commits) * 2 // 3]:
        store.commit(run_id, writes)
        seen.add(len(read(store, run_id).failures))
    # Some that nothing was decided upon yet: they are forgotten when the run goes on.
    keys = [RolloutKey(f"c_{n}", "pareto-1", Split.PARETO, 0, case.job().identity) for n in range(3)]
    failures = [failure_fact(Failure(key, FailureKind.TIMEOUT, "late"), 1.0, after=10**6) for key in keys]
    store.commit(run_id, [f._replace(scope=run_id, paid_by=run_id) for f in failures])
    store.commit(run_id, [Draw(fact.key) for fact in failures])
    store.set_limits(run_id, {"rollouts": 160})
    carry_with(case, store, run_id, lambda example: False)

    assert watching.differences == []
    assert len(seen) > 3
    assert not {fact.key for fact in failures} & set(watching.look().ledger.drawn)


def carry_with(case: Case, store: Store, run_id: str, ill: Callable[[int], bool]) -> str:
    def fails(dispatch: Dispatch, asked: int) -> AttemptFailed | None:
        hit = ill(int(dispatch.request.example.id.split("-")[1]))
        return AttemptFailed(FailureKind.TASK_FAILED, f"no answer to call {asked}") if hit else None

    job, proposer = case.job(queue=ONE_TRY, tolerance=1.0), case.proposer()
    run_id = run_id or begin(store, job, proposer)
    executor = RulebookExecutor(case.book, fails)
    asyncio.run(Runner(store, run_id, job, executor, proposer, clock=stands_still).run())
    return run_id


SPLITS = [Split.PARETO, Split.PARETO, Split.TEST, Split.REFLECT]
KEYS = [
    RolloutKey(f"c_{n % 2}", f"e_{n % 3}", split, 0, Identity("task", "1", "policy"))
    for n, split in enumerate(SPLITS)
]
KEYS.append(replace(KEYS[0], split=Split.TEST))  # one example in two splits
ACTS = ["begin", "done", "failed", "lost", "unsent", "fail", "forget", "again", "draw", "others", "rest"]


@given(st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 4), st.booleans()), max_size=40))
@settings(max_examples=150, deadline=None)
def test_whatever_is_written_and_forgotten_between_two_looks(acts: list[tuple[str, int, bool]]) -> None:
    store = MemoryStore()
    job = {"seed": {"text": "a"}, "splits": {}, "limits": {}}
    for run_id in ("run_1", "run_2"):
        store.create_run(Run(run_id, "a run", "t", job, "running"))
    watching = Watching(store, "run_1")
    for number, (act, at, look) in enumerate(acts):
        perform(store, act, KEYS[at], number)
        if look:
            watching.look()
    watching.look()
    assert watching.differences == []


def perform(store: Store, act: str, key: RolloutKey, number: int) -> None:
    """One thing that a run's process may write, or another run's."""
    run, at = "run_1", f"2026-01-01T00:00:{number // 3:02}.000+00:00"
    result = rollout_fact(Rollout(key, Answer(number / 7, usage=Usage(number, 1, 0.25))), 1.0, run, at)
    failure = failure_fact(Failure(key, FailureKind.TIMEOUT, f"after {number} s"), 1.0, after=0)
    there = store.facts([key.id], run)
    open_ones = [a.begun for a in store.attempts(run) if a.ended is None and a.begun.key == key.id]
    match act:
        case "begin":
            store.commit(run, [AttemptBegun(f"a_{number}", key.id, "rollout", 1, 0.5, at)])
        case "done":
            if not open_ones:
                open_ones = [AttemptBegun(f"a_{number}", key.id, "rollout", 1, 0.5, at)]
                store.commit(run, open_ones)
            store.commit(run, [result, AttemptEnded(open_ones[0].id, "done", "", "", 2, 3, 0.25, 1.0, at)])
        case "failed" if open_ones:
            store.commit(run, [AttemptEnded(open_ones[0].id, "failed", "timeout", f"in {number} s", at=at)])
        case "lost" | "unsent" if open_ones:
            outcome: Any = act
            store.commit(run, [AttemptEnded(open_ones[0].id, outcome, at=at)])
        case "fail" if not there:
            begun = AttemptBegun(f"a_{number}", key.id, "rollout", 1, 0.5, at)
            store.commit(run, [begun])
            store.commit(run, [AttemptEnded(begun.id, "failed", "timeout", "late", at=at)])
            store.commit(run, [failure._replace(scope=run, paid_by=run, at=at), Draw(key.id)])
        case "forget":
            store.forget_failures(run, [key.id])
        case "again":
            store.forget_failures(run, [key.id])
            perform(store, "fail", key, number)
        case "draw" if there:
            store.commit(run, [Draw(key.id)])
        case "others":
            store.commit("run_2", [result._replace(paid_by="run_2")])
        case "rest":
            status: Any = ["running", "paused"][number % 2]
            store.commit(run, [StatusSet(status)])


def test_a_failure_that_is_forgotten_while_it_is_read() -> None:
    class Forgetful(MemoryStore):
        def facts(self, keys: Sequence[str], scope: str = "") -> dict[str, Any]:
            self.forget_failures("run_1", keys)
            return super().facts(keys, scope)

    store = Forgetful()
    for run_id in ("run_1", "run_2"):
        store.create_run(Run(run_id, "a run", "t", {"seed": {"text": "a"}, "splits": {}}))
    perform(store, "fail", KEYS[0], 1)
    following = Following(store, "run_1")
    assert following.catch_up().failures == ()
    perform(store, "others", KEYS[0], 2)
    store.commit("run_1", [Draw(KEYS[0].id)])
    assert len(following.catch_up().rollouts) == 1


def test_who_follows_goes_on_after_the_store_could_not_be_read() -> None:
    class Moody(MemoryStore):
        locked = False

        def facts(self, keys: Sequence[str], scope: str = "") -> dict[str, Any]:
            if self.locked:
                raise StoreError("locked by another process")
            return super().facts(keys, scope)

    store = Moody()
    for run_id in ("run_1", "run_2"):
        store.create_run(Run(run_id, "a run", "t", {"seed": {"text": "a"}, "splits": {}}))
    following = Following(store, "run_1")
    for number, key in enumerate(KEYS):
        perform(store, "others", key, number)
        store.commit("run_1", [Draw(key.id), AttemptBegun(f"a_{number}", key.id, "rollout", 1, 0.5)])
        store.locked = True
        with pytest.raises(StoreError):
            following.catch_up()
        store.locked = False
        assert told(following.catch_up()) == told(read(store, "run_1"))


def test_views_are_read_in_proportion_to_what_is_new(tmp_path: Path) -> None:
    """No decision, attempt or fact is read twice."""
    read_again: list[str] = []

    class Counting(SqlStore):
        def facts(self, keys: Sequence[str], scope: str = "") -> dict[str, Any]:
            read_again.extend(keys)
            return super().facts(keys, scope)

    store, case = Counting(tmp_path / "workspace.sqlite"), small("lanes")
    done = asyncio.run(carry(case, store=store))
    following = Following(store, done.run_id)
    first = following.catch_up()
    read_again.clear()
    second = following.catch_up()
    assert read_again == []
    assert second.rollouts is first.rollouts
    assert np.array_equal(second.spent, first.spent)
    store.close()
