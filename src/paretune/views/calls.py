"""The attempts of a run as columns, in the order in which they ended: 5 MB for a hundred thousand."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from paretune.core.budget import Ledger
from paretune.core.errors import FailureKind
from paretune.engine.run import restore
from paretune.store.base import Attempt

ROLES = ("rollout", "proposal", "verdict", "proxy")
OUTCOMES = ("done", "failed", "lost", "unsent")
FAILURES = ("", *(kind.value for kind in FailureKind))
"""What the numbers in the columns `role`, `outcome` and `failure` stand for."""

ENDED = np.dtype(
    [
        ("at", "f8"),
        ("place", "i8"),
        ("role", "u1"),
        ("outcome", "u1"),
        ("failure", "u1"),
        ("tokens", "i8"),
        ("usd", "f8"),
        ("seconds", "f8"),
    ]
)
"""One attempt: the second at which it ended, since 1970; its place; what it was; tokens; money as the ledger
books it (what was reserved, where nobody knows whether it was paid); seconds of the call, if it was done."""

_ROLE, _OUTCOME, _FAILURE = ({name: at for at, name in enumerate(n)} for n in (ROLES, OUTCOMES, FAILURES))


@lru_cache(maxsize=64)  # those of one group were written with one time
def second(at: str) -> float:
    """A time on record in seconds since 1970; 0 where there is none."""
    try:
        return datetime.datetime.fromisoformat(at).timestamp()
    except ValueError:
        return 0.0


class Calls:
    """Attempts that ended, sorted by the second and then by place. Only grows."""

    def __init__(self) -> None:
        self._rows = np.zeros(64, ENDED)
        self._size = 0

    @property
    def table(self) -> np.ndarray:
        """One row of `ENDED` for each; good until more are added."""
        return self._rows[: self._size]

    def add(self, attempts: Iterable[Attempt]) -> None:
        """Those of `attempts` that ended."""
        new = np.array([_row(attempt) for attempt in attempts if attempt.ended], ENDED)
        if not len(new):
            return
        new = new[np.lexsort((new["place"], new["at"]))]
        size = self._size + len(new)
        if size > len(self._rows):
            self._rows = np.concatenate([self.table, np.zeros(size, ENDED)])
        self._rows[self._size : size] = new
        # What was read before may have ended in the same moment as the first of the new ones, or later.
        start = int(np.searchsorted(self.table["at"], new["at"][0]))
        self._size = size
        if start < size - len(new):
            tail = self._rows[start:size]
            tail[:] = tail[np.lexsort((tail["place"], tail["at"]))]

    def done_by(self, at: float) -> int:
        """Rollouts that were done by this second."""
        table = self.table[: int(np.searchsorted(self.table["at"], at, "right"))]
        return int(np.count_nonzero((table["role"] == 0) & (table["outcome"] == 0)))


def _row(attempt: Attempt) -> tuple[float, int, int, int, int, int, float, float]:
    begun, ended = attempt.begun, attempt.ended
    assert ended is not None
    return (
        second(ended.at),
        attempt.place,
        _ROLE[begun.role],
        _OUTCOME[ended.outcome],
        _FAILURE.get(ended.failure, 0),
        ended.prompt_tokens + ended.completion_tokens,
        _booked_usd(attempt),
        ended.seconds,
    )


def _booked_usd(attempt: Attempt) -> float:
    begun, ended = attempt.begun, attempt.ended
    if ended is not None and ended.outcome == "done":
        return ended.cost_usd or 0.0
    if not begun.reserved_usd:
        return 0.0
    ledger = Ledger()
    restore(ledger, [attempt])
    return ledger.cost_usd
