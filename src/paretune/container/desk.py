"""The rollouts of a container: each id is run once, whoever asks and however often."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from paretune.container.prompt import BadRequest
from paretune.core.canonical import JsonValue, digest

Record = dict[str, JsonValue]
Run = Callable[[str, Mapping[str, JsonValue]], Awaitable[Record]]
"""(rollout id, request) -> the finished record; raises what the task raised."""

QUESTION = ("env", "policy", "candidate", "candidate_overlay", "task", "seed")
"""The parts of a request that decide the answer."""

KEPT_RECORDS = 10_000
KEPT_BYTES = 64 * 1024 * 1024


@dataclass(slots=True)
class _Entry:
    question: str
    task: asyncio.Task[Record]
    size: int = 0

    @property
    def failed(self) -> bool:
        return self.task.done() and (self.task.cancelled() or self.task.exception() is not None)


class Desk:
    """Runs rollouts and keeps the latest answers: 10,000 of them, or 64 MiB.

    A rollout that raised or was cancelled is run again when it is asked again.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._size = 0

    def submit(self, rollout_id: str, request: Mapping[str, JsonValue]) -> asyncio.Task[Record]:
        """The one task that answers this id. Raises BadRequest(409) if the id asked something else before."""
        self._forget()
        question = digest({name: request[name] for name in QUESTION if name in request})
        entry = self._entries.get(rollout_id)
        if entry is None or entry.failed:
            entry = _Entry(question, asyncio.create_task(self._fly(rollout_id, request)))
            entry.task.add_done_callback(_look)
            self._entries[rollout_id] = entry
        elif entry.question != question:
            message = f"rollout {rollout_id} was asked before with another prompt, example or policy"
            raise BadRequest("rollout_id_conflict", message, 409)
        self._entries.move_to_end(rollout_id)
        return entry.task

    def find(self, rollout_id: str) -> asyncio.Task[Record] | None:
        """The task of this id, None if it was never asked or is forgotten."""
        entry = self._entries.get(rollout_id)
        return entry.task if entry else None

    async def _fly(self, rollout_id: str, request: Mapping[str, JsonValue]) -> Record:
        record = await self._run(rollout_id, request)
        self._entries[rollout_id].size = size = len(json.dumps(record))
        self._size += size
        return record

    def _forget(self) -> None:
        """Drop the oldest finished answers beyond the limits."""
        if not self._full():
            return
        for name, entry in list(self._entries.items()):
            if entry.task.done():
                self._size -= entry.size
                del self._entries[name]
                if not self._full():
                    return

    def _full(self) -> bool:
        return len(self._entries) > KEPT_RECORDS or self._size > KEPT_BYTES


def _look(task: asyncio.Task[Record]) -> None:
    """Take note of a failure that nobody may ask for."""
    if not task.cancelled():
        task.exception()
