"""How many failures a run stands before it stops and says why."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from paretune.core.errors import FailureKind, RunFailed
from paretune.core.rollout import Failure, Outcome


@dataclass(slots=True)
class Health:
    """Watches the newest outcomes that were really asked for.

    Trips when more than `tolerance` of at least `least` outcomes (at most `window`) failed, and at
    once on a failure that would only repeat itself for every rollout (a wrong key). A task that nobody
    can connect to fails no rollout: the queue's circuit waits for it, and ends the run.
    """

    tolerance: float = 0.25
    least: int = 8
    window: int = 32
    _recent: deque[Failure | None] = field(init=False)

    def __post_init__(self) -> None:
        self._recent = deque(maxlen=self.window)

    def observe(self, outcome: Outcome) -> None:
        """Raises RunFailed when the run should not go on."""
        failure = outcome if isinstance(outcome, Failure) else None
        self._recent.append(failure)
        if failure and failure.kind is FailureKind.UNAUTHORISED:
            raise RunFailed("the task refuses the key", failure.message)
        count = len(self._recent)
        failed = count - self._recent.count(None)
        if count >= self.least and failed > self.tolerance * count:
            failures = [f for f in self._recent if f]
            raise RunFailed(f"{failed} of the last {count} rollouts failed", _commonest(failures))


def _commonest(failures: list[Failure]) -> str:
    kind, count = Counter(f.kind for f in failures).most_common(1)[0]
    message = next(f.message for f in reversed(failures) if f.kind is kind)
    return f"{kind.value} ({count} times), for example: {message}"
