"""A run that is followed beside its work: its record is read as it grows, and told of."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from threading import Lock

from paretune.core.errors import ParetuneError
from paretune.store import Store
from paretune.views.follow import Following
from paretune.views.headline import Headline, Headlines
from paretune.views.run_view import RunView

EVERY_SECONDS = 0.5
SHARE = 0.02
"""Looks take at most about so much of the time: where one takes long, the next one waits longer."""


class Follower(ABC):
    """Use as an asynchronous context manager around the run's work; what was told last is as it ended.

    What is read on the way need not be read at the end: `view` is the run as it stood then, None if nobody
    looked.
    """

    def __init__(self, store: Store, run_id: str) -> None:
        self._following = Following(store, run_id)
        self._headlines = Headlines()
        self._looking = Lock()
        self._over = asyncio.Event()
        self._seen: RunView | None = None
        self.view: RunView | None = None

    @abstractmethod
    def tell(self, view: RunView, told: Headline) -> None:
        """How the run stands. Called in another thread, never twice at once."""

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._follow())

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        await self._task
        await asyncio.to_thread(self._look)
        self.view = self._seen

    async def _follow(self) -> None:
        wait = EVERY_SECONDS
        while True:
            try:
                await asyncio.wait_for(self._over.wait(), wait)
            except TimeoutError:
                # A store that cannot be read just now is no reason to stop: at the end it is read again.
                with suppress(ParetuneError):
                    wait = max(EVERY_SECONDS, await asyncio.to_thread(self._look) / SHARE)
            else:
                return

    def _look(self) -> float:
        """Gives the seconds of CPU that it took."""
        began = time.thread_time()
        with self._looking:
            self._seen = view = self._following.catch_up()
            self.tell(view, self._headlines(view))
        return time.thread_time() - began
