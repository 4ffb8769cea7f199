"""Lookups go to the store in groups."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from threading import Event

import pytest

from evaluate.far_side import RUN, LookedAt
from paretune.evaluate.lookups import Lookups
from paretune.store import Fact, Run
from paretune.store.base import StoreError
from paretune.store.book import RunBook


class Slow(LookedAt):
    """Answers a lookup when it is told to; one that holds `bad` fails."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = Event()

    def facts(self, keys: Sequence[str], scope: str = "") -> dict[str, Fact]:
        self.may_answer.wait(5)
        if "bad" in keys:
            raise StoreError("damaged")
        return super().facts(keys, scope)


async def test_who_asks_while_one_is_under_way_is_answered_by_the_next() -> None:
    store = Slow()
    store.create_run(Run(RUN, "", "", {}))
    store.commit(RUN, [Fact("r_1", "rollout", {"a": 1})])
    book = RunBook(store, RUN, now=lambda: "")
    lookups = Lookups(book)

    def ask(*keys: str) -> asyncio.Task[dict[str, Fact]]:
        return asyncio.create_task(lookups.facts(keys))

    first = ask("r_1")
    await asyncio.sleep(0.005)
    later, gone = [ask("r_1", "r_2") for _ in range(10)], ask("r_3")
    await asyncio.sleep(0.005)
    later.append(ask("r_1", "r_4"))
    await asyncio.sleep(0.005)
    gone.cancel()
    store.may_answer.set()
    for found in [await first, *[await task for task in later]]:
        assert found.keys() == {"r_1"}
    assert gone.cancelled()
    assert store.lookups == [1, 4]
    assert await lookups.facts([]) == {}

    for task in [ask("bad"), ask("r_1")]:
        with pytest.raises(StoreError, match="damaged"):
            await task
    assert (await lookups.facts(["r_1"]))["r_1"].body == {"a": 1}
    await book.close()
