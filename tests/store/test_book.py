"""The run's book: order, groups, and what happens when the disk says no."""

import pytest

from paretune.store import MemoryStore, Run
from paretune.store.base import StoredDecision, StoreError, Write
from paretune.store.book import RunBook

RUN = Run("run_1", "a", "2025-01-01T00:00:00Z", {})


class FullDisk(MemoryStore):
    """Refuses commits while `full`."""

    full = False

    def commit(self, run_id: str, writes: list[Write]) -> None:  # type: ignore[override]
        if self.full:
            raise StoreError("no space left")
        super().commit(run_id, writes)


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
