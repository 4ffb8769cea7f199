"""Runs as they stand, for many readers at once."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, field, replace
from threading import Lock

from paretune.store import Run, Store
from paretune.views.follow import Following
from paretune.views.run_view import RunView

KEPT = 8
"""So many runs are followed; of more, those that nobody asked for lately are read anew."""
LATELY_SECONDS = 5.0
MOST = 64


@dataclass(slots=True)
class _Kept:
    following: Following
    reading: Lock = field(default_factory=Lock)
    view: RunView | None = None
    asked: float = 0.0


@dataclass(slots=True)
class Views:
    """The views of a store's runs. Who reads one run waits for nobody who reads another, and nobody changes
    what somebody reads."""

    store: Store
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def __call__(self, run_id: str) -> RunView:
        """The run as it is now. Raises UnknownRun, or ParetuneError if its record cannot be read."""
        run = self.store.run(run_id)
        kept = self._of(run)
        with kept.reading:
            try:
                kept.view = _apart(kept.following.catch_up(), kept.view)
            except BaseException:
                with self._lock:
                    self._kept.pop(run.id, None)  # half of it may be read
                raise
            return kept.view

    def _of(self, run: Run) -> _Kept:
        with self._lock:
            kept = self._kept.pop(run.id, None) or _Kept(Following(self.store, run.id))
            self._kept[run.id] = kept
            kept.asked = time.monotonic()
            while len(self._kept) > KEPT:
                oldest = next(iter(self._kept))
                if kept.asked - self._kept[oldest].asked < LATELY_SECONDS and len(self._kept) <= MOST:
                    break
                del self._kept[oldest]
            return kept


def _apart(view: RunView, before: RunView | None) -> RunView:
    """The view without anything that goes on growing; the one before if nothing has changed."""
    if before is not None and _size(view) == _size(before) and view.failures is before.failures:
        return before
    return replace(
        view,
        rows=dict(view.rows),
        rollouts=view.rollouts.copy(),
        cheap=view.cheap.copy(),
        verdicts=view.verdicts.copy(),
        known=dict(view.known),
        faults={signature: copy.deepcopy(fault) for signature, fault in view.faults.items()},
        spent=view.spent.copy(),
    )


def _size(view: RunView) -> tuple[object, ...]:
    calls = len(view.spent), view.in_flight
    return view.run, len(view.decisions), len(view.rollouts), len(view.ledger.drawn), *calls
