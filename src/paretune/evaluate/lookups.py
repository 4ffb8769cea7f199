"""Facts by key, looked up in groups: who asks while one lookup is under way is answered by the next."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from paretune.store.base import Fact
from paretune.store.book import RunBook

Answer = asyncio.Future[dict[str, Fact]]


class Lookups:
    """Many rollouts share one trip to the store, as their writes share one commit."""

    def __init__(self, book: RunBook) -> None:
        self._book = book
        self._asked: list[tuple[Sequence[str], Answer]] = []
        self._reader: asyncio.Task[None] | None = None

    async def facts(self, keys: Sequence[str]) -> dict[str, Fact]:
        """Those of `keys` that the run may use (its own failures too), and maybe more. Raises StoreError."""
        if not keys:
            return {}
        answer: Answer = asyncio.get_running_loop().create_future()
        self._asked.append((keys, answer))
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read_groups())
        return await answer

    async def _read_groups(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, []
            try:
                found = await self._book.known(key for keys, _ in asked for key in keys)
            except Exception as error:  # noqa: BLE001 - handed to everybody of the group
                for _, answer in asked:
                    if not answer.done():
                        answer.set_exception(error)
            else:
                for _, answer in asked:
                    if not answer.done():
                        answer.set_result(found)
