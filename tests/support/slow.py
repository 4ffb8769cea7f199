"""Rollouts and proposals that take their time, and runs on the virtual clock.

How long each takes is drawn from its question, and from the session's mood: in another one, whoever asks
again waits longer or shorter.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from paretune.core.errors import AttemptFailed
from paretune.core.rollout import Answer
from paretune.engine.run import Runner
from paretune.evaluate.executors import Dispatch
from paretune.propose.base import Packet, Proposal, Proposer
from paretune.store import MemoryStore
from support.clock import run_virtual
from support.rulebook import Fails, HintProposer, RulebookExecutor, dice
from support.runs import Case, begin, canonical

STRAGGLER = 1.0


def seconds(mood: object, *question: object) -> float:
    """Log-normal with a median of a fifth of a second, in milliseconds; one of a hundred is a straggler."""
    rng = dice("seconds", mood, *question)
    return STRAGGLER if rng.random() < 0.01 else round(0.2 * math.exp(rng.gauss(0, 0.8)), 3)


@dataclass(slots=True)
class Slow:
    """An executor whose calls take their time; `busy` adds them up. Those that fail do so at once."""

    inner: RulebookExecutor
    mood: object = None
    busy: float = 0.0

    async def run(self, batch: Sequence[Dispatch]) -> list[Answer | AttemptFailed]:
        (dispatch,) = batch
        request = dispatch.request
        if self.inner.fails(dispatch, 1):
            return await self.inner.run(batch)
        wait = seconds(self.mood, dict(request.candidate.components), request.example.id)
        await asyncio.sleep(wait)
        self.busy += wait
        return await self.inner.run(batch)


@dataclass(slots=True)
class Thinking:
    """A proposer that takes its time."""

    inner: Proposer
    mood: object = None
    busy: float = 0.0

    @property
    def identity(self) -> str:
        return self.inner.identity

    async def propose(self, packet: Packet) -> Proposal:
        wait = seconds(self.mood, "proposal", dict(packet.parent.components), packet.draw)
        await asyncio.sleep(wait)
        self.busy += wait
        return await self.inner.propose(packet)


@dataclass(frozen=True, slots=True)
class Lived:
    store: MemoryStore
    run_id: str
    executor: Slow
    proposer: Thinking
    seconds: float

    def canonical(self) -> dict[str, Any]:
        return canonical(self.store, self.run_id)


def lived(
    case: Case,
    *,
    store: MemoryStore | None = None,
    run_id: str = "",
    now: float = 0.0,
    fails: Fails = lambda dispatch, asked: None,
    executor: RulebookExecutor | None = None,
    proposer: Thinking | None = None,
    mood: object = None,
    **changes: Any,
) -> Lived:
    """A session of a run that begins at the virtual second `now`; `changes` are those of the job."""
    store, job = store or MemoryStore(), case.job(**changes)
    slow = Slow(executor or RulebookExecutor(case.book, fails), mood)
    thinking = proposer or Thinking(HintProposer(case.book.seed), mood)
    run_id = run_id or begin(store, job, thinking)

    async def carried() -> None:
        clock = asyncio.get_running_loop().time
        await Runner(store, run_id, job, slow, thinking, clock=clock).run()

    _, took = run_virtual(carried(), now)
    return Lived(store, run_id, slow, thinking, took)
