"""How many failures a run stands before it stops and says why."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from paretune.core.errors import FailureKind, RunFailed
from paretune.core.rollout import Failure, Outcome

ROUNDING = 1e-6
"""Shares of known results are fractions, and their sum is not exact."""


@dataclass(slots=True)
class Health:
    """Watches the newest outcomes that the run needed, whether they were asked for or known.

    Trips when more than `tolerance` of at least `least` outcomes (about `window` at most) failed, and at
    once on a failure that would only repeat itself for every rollout (a wrong key). A task that nobody
    can connect to fails no rollout: the queue's circuit waits for it, and ends the run.

    Failures are kept for their own run only, results for every run. So a run that finds the results of an
    earlier one asks for what failed then and little else: all of that may fail again, and the share of all
    that is needed be what it was. Known results therefore count beside what is asked; known failures were
    judged when they came home.
    """

    tolerance: float = 0.25
    least: int = 8
    window: int = 32
    _recent: deque[tuple[Failure | None, float]] = field(default_factory=deque, init=False)
    _count: float = field(default=0.0, init=False)
    _failed: int = field(default=0, init=False)
    _known: float = field(default=0.0, init=False)

    def share(self, known: int, asked: int) -> float:
        """Known results for each of `asked` rollouts, once `known` more were found beside them.

        Results that were found while nothing had to be asked count too, `window` of them at most.
        """
        self._known += known
        if not asked:
            self._known = min(self._known, self.window)
            return 0.0
        share, self._known = self._known / asked, 0.0
        return share

    def observe(self, outcome: Outcome, known: float = 0.0) -> None:
        """An outcome that was asked for, and its share of known results. Raises RunFailed when the run
        should not go on."""
        failure = outcome if isinstance(outcome, Failure) else None
        if failure and failure.kind is FailureKind.UNAUTHORISED:
            raise RunFailed("the task refuses the key", failure.message)
        self._recent.append((failure, 1 + known))
        self._count += 1 + known
        self._failed += failure is not None
        while self._count - self._recent[0][1] >= self.window:
            oldest, weight = self._recent.popleft()
            self._count -= weight
            self._failed -= oldest is not None
        count = self._count + ROUNDING
        if count >= self.least and self._failed > self.tolerance * count:
            failures = [failure for failure, _ in self._recent if failure]
            reason = f"{self._failed} of the last {self._count:.0f} rollouts failed"
            raise RunFailed(reason, _commonest(failures))


def _commonest(failures: list[Failure]) -> str:
    kind, count = Counter(f.kind for f in failures).most_common(1)[0]
    message = next(f.message for f in reversed(failures) if f.kind is kind)
    return f"{kind.value} ({count} times), for example: {message}"
