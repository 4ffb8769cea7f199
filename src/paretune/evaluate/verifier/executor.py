"""Rollouts with a verdict each."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from paretune.core.budget import POLICY, Brings, Ledger
from paretune.core.errors import AttemptFailed
from paretune.core.rollout import Answer
from paretune.evaluate.executors import Closes, Dispatch, Executor, one_by_one
from paretune.evaluate.verifier.fusion import Fusion, without_verdict
from paretune.evaluate.verifier.subject import subject_of
from paretune.evaluate.verifier.verdicts import Verdicts, Verifier
from paretune.store.book import RunBook


@runtime_checkable
class Pays(Protocol):
    """An executor that asks others beside the task, and pays them: it works once it has a run's book."""

    def opened(self, book: RunBook, ledger: Ledger, clock: Callable[[], float]) -> Executor: ...


@dataclass(frozen=True, slots=True)
class Judged:
    """Rollouts of `inner`, judged by `verifier`; `opened` makes the executor of one run."""

    inner: Executor
    verifier: Verifier
    fusion: Fusion

    def opened(self, book: RunBook, ledger: Ledger, clock: Callable[[], float] = time.monotonic) -> Executor:
        who = self.verifier
        brings = Brings("verdict", len(who.judges), who.usd or 0.0, who.tokens)
        ledger.brings |= dict.fromkeys(POLICY, brings)
        return JudgedExecutor(self.inner, Verdicts(who, book, ledger, clock), self.fusion)

    def close(self) -> None:
        if isinstance(self.inner, Closes):
            self.inner.close()


@dataclass(slots=True, eq=False)
class JudgedExecutor:
    """The task's answer first, then the verdict on it, then both in one.

    An answer whose verdict was given up half-way, by a deadline, is kept for the next attempt: its rollout
    is not asked for again. A verdict that fails is the rollout's failure, unless its reward does not
    depend on it.
    """

    inner: Executor
    verdicts: Verdicts
    fusion: Fusion
    _home: dict[str, Answer] = field(default_factory=dict)

    def run(self, batch: Sequence[Dispatch]) -> Coroutine[Any, Any, list[Answer | AttemptFailed]]:
        return one_by_one(self._one, batch)

    async def _one(self, dispatch: Dispatch) -> Answer | AttemptFailed:
        known = self._home.get(dispatch.key)
        if known is None:
            (answer,) = await self.inner.run([dispatch])
            if isinstance(answer, AttemptFailed):
                return answer
            known = self._home[dispatch.key] = answer
        try:
            verdict = await self.verdicts.of(subject_of(known))
            judged: Answer | AttemptFailed = self.fusion.fused(known, verdict)
        except AttemptFailed as error:
            judged = without_verdict(known, error.message) if self.fusion.source == "task_app" else error
        del self._home[dispatch.key]
        return judged
