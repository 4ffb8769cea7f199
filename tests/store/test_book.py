"""The run's book: order, groups, and what happens when the disk says no."""

import asyncio
import threading
import traceback
from collections.abc import Awaitable, Callable

import pytest

from paretune.core.rollout import Usage
from paretune.store import Fact, MemoryStore, Run
from paretune.store.base import StoredDecision, StoreError, Write
from paretune.store.book import DECISIONS_SECONDS, RunBook

RUN = Run("run_1", "a", "2025-01-01T00:00:00Z", {})


class FullDisk(MemoryStore):
    """Refuses commits while `full`."""

    full = False

    def commit(self, run_id: str, writes: list[Write]) -> frozenset[str]:  # type: ignore[override]
        if self.full:
            raise StoreError("no space left")
        return super().commit(run_id, writes)


class SlowDisk(MemoryStore):
    """A commit takes until it is `flushed`."""

    def __init__(self) -> None:
        super().__init__()
        self.flushed = threading.Event()

    def commit(self, run_id: str, writes: list[Write]) -> frozenset[str]:  # type: ignore[override]
        assert self.flushed.wait(10)
        return super().commit(run_id, writes)


def book_of(store: MemoryStore) -> RunBook:
    store.create_run(RUN)
    return RunBook(store, RUN.id, now=lambda: "")


def decision(seq: int) -> StoredDecision:
    return StoredDecision(seq, f"step/{seq}", {"kind": "x"}, f"link-{seq}")


async def test_decisions_are_not_waited_for_and_precede_what_is_written_after_them() -> None:
    store = MemoryStore()
    book = book_of(store)
    for seq in range(3):
        book.decide(decision(seq))
    assert store.decisions(RUN.id) == []
    await book.draw(["r_1"])
    assert [d.seq for d in store.decisions(RUN.id)] == [0, 1, 2]
    book.decide(decision(3))
    await book.flush()
    assert len(store.decisions(RUN.id)) == 4
    await book.close()


async def test_decisions_that_nobody_follows_are_written_soon_and_at_the_end() -> None:
    store = MemoryStore()
    book = book_of(store)
    book.decide(decision(0))
    await asyncio.sleep(10 * DECISIONS_SECONDS)
    assert [d.seq for d in store.decisions(RUN.id)] == [0]
    book.decide(decision(1))
    await book.close()
    assert [d.seq for d in store.decisions(RUN.id)] == [0, 1]


async def test_after_a_group_that_could_not_be_written_nothing_else_is() -> None:
    store = FullDisk()
    book = book_of(store)
    book.decide(decision(0))
    await book.flush()
    store.full = True
    book.decide(decision(1))
    with pytest.raises(StoreError, match="no space"):
        await book.flush()
    store.full = False
    with pytest.raises(StoreError, match="no space"):
        book.decide(decision(2))
    with pytest.raises(StoreError, match="no space"):
        await book.draw(["r_1"])
    assert [d.seq for d in store.decisions(RUN.id)] == [0], "a record has no gap"
    await book.status("failed", "no space left")
    assert store.run(RUN.id).status == "failed"
    await book.close()


async def test_everybody_in_a_failing_group_is_told() -> None:
    store = FullDisk()
    book = book_of(store)
    store.full = True
    one, other = book.post(decision(0)), book.post(decision(1))
    for waiting in (one, other):
        with pytest.raises(StoreError, match="no space"):
            await waiting
    await book.close()


async def test_each_caller_is_told_by_an_error_of_its_own_without_the_frames_of_others() -> None:
    store = FullDisk()
    book = book_of(store)
    store.full = True
    told = [await _told(lambda: book.draw(["r_1"])), *[await _told(book.flush) for _ in range(3)]]
    assert len(set(map(id, told))) == len(told)
    assert {(type(error), str(error)) for error in told} == {(StoreError, "no space left")}
    assert {len(traceback.extract_tb(error.__traceback__)) for error in told[1:]} == {2}
    assert len({id(error.__cause__) for error in told}) == 1
    await book.close()


async def _told(call: Callable[[], Awaitable[None]]) -> StoreError:
    try:
        await call()
    except StoreError as error:
        return error
    raise AssertionError("nothing was said")


async def test_a_lookup_does_not_wait_for_a_commit() -> None:
    store = SlowDisk()
    book = book_of(store)
    writing = book.post(decision(0))
    assert await book.known(["r_1"]) == {}
    assert not writing.done()
    store.flushed.set()
    await writing
    await book.close()


async def test_who_gives_up_waiting_takes_nothing_back_and_stops_nobody() -> None:
    store = SlowDisk()
    book = book_of(store)
    one, other = (asyncio.create_task(book.draw(keys)) for keys in (["r_1"], []))
    await book.known([])
    one.cancel()
    store.flushed.set()
    await other
    assert one.cancelled()
    assert store.drawn(RUN.id) == ["r_1"]
    await book.close()


async def test_a_result_says_whether_it_is_the_one_that_is_kept() -> None:
    store = MemoryStore()
    book = book_of(store)
    store.create_run(Run("run_2", "b", "", {}))
    theirs = Fact("r_2", "rollout", {"reward": 1.0}, paid_by="run_2")
    store.commit("run_2", [theirs])
    kept = []
    for key in ("r_1", "r_2"):
        attempt = await book.begin(key, "rollout", 1, 0.0)
        kept.append(await book.done(attempt, Fact(key, "rollout", {"reward": 0.0}), Usage(), 0.1))

    assert kept == [True, False]
    assert store.drawn(RUN.id) == ["r_1", "r_2"]
    facts = await book.known(["r_1", "r_2"])
    assert (facts["r_1"].paid_by, facts["r_2"]) == (RUN.id, theirs)
    await book.close()
