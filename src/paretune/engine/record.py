"""The decision log as the search meets it: what is on record is returned, the rest is decided and kept."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

from paretune.algorithms.ports import D
from paretune.core.budget import PAID
from paretune.core.errors import ParetuneError
from paretune.core.events import Decision, SearchEnded, from_record, to_record
from paretune.store.base import StoredDecision
from paretune.store.book import RunBook
from paretune.store.chain import chain


class Diverged(ParetuneError):
    """The record and this program disagree: another version wrote it, or somebody edited it."""


Observer = Callable[[Decision], None]


class RunRecord:
    """Reads the log to its end, then writes on.

    With `verify` every recorded decision is decided again and must come out the same. `observe` is
    told each decision, recorded or new, in order.
    """

    def __init__(
        self,
        book: RunBook,
        log: Sequence[StoredDecision],
        *,
        clock: Callable[[], float] = time.monotonic,
        observe: Observer = lambda decision: None,
        verify: bool = False,
    ) -> None:
        self._book = book
        self._ahead = deque(log)  # of earlier sessions; what is passed is not needed any more
        self._cursor = 0
        self._clock = clock
        self._observe = observe
        self._verify = verify
        self._began = clock()
        self._before = log[-1].elapsed if log else 0.0
        self.reached = 0.0
        """Active seconds at the newest decision that was passed."""
        self._chain = log[-1].chain if log else book.run_id
        ends = [at for at, stored in enumerate(log, 1) if stored.body["kind"] == SearchEnded.kind]
        self._stopped = max((end for end in ends if log[end - 1].body["reason"] in PAID), default=0)

    @property
    def decided(self) -> int:
        """Decisions on record, those that were not passed yet included: none of them can have read what
        comes home now."""
        return self._cursor + len(self._ahead)

    @property
    def replaying(self) -> bool:
        return bool(self._ahead)

    @property
    def stop_ahead(self) -> bool:
        """True if a stop by money or tokens is still to come on record. What was decided before it follows
        from facts, and what was under way then was given up: nobody needs to be asked."""
        return self._cursor < self._stopped

    @property
    def elapsed(self) -> float:
        """Active seconds of the run, earlier sessions included."""
        return self._before + (self._clock() - self._began)

    async def step(self, key: str, decide: Callable[[], D]) -> D:
        """The decision of this key. Raises Diverged if the log has another one in its place."""
        if self.replaying:
            return cast(D, self._recorded(key, decide))
        decision = decide()
        self._append(key, decision)
        return decision

    async def chance(self, key: str, decide: Callable[[], D | None]) -> D | None:
        """A decision that depends on clock, money or people: past the end of the log only."""
        if self.replaying:
            if self._ahead[0].key != key:
                return None
            return cast(D, self._recorded(key, None))
        decision = decide()
        if decision is not None:
            self._append(key, decision)
        return decision

    def _recorded(self, key: str, decide: Callable[[], Decision | None] | None) -> Decision:
        stored = self._ahead[0]
        if stored.key != key:
            raise Diverged(f"decision {stored.seq} on record is {stored.key!r}, the run asks for {key!r}")
        decision = from_record(stored.body)
        if self._verify and decide is not None and decide() != decision:
            raise Diverged(f"decision {stored.seq} ({key}) comes out differently when it is made again")
        self._ahead.popleft()
        self._cursor += 1
        self.reached = stored.elapsed
        self._observe(decision)
        return decision

    def _append(self, key: str, decision: Decision) -> None:
        body = to_record(decision)
        link = chain(self._chain, key, body)
        self.reached = self.elapsed
        self._book.decide(StoredDecision(self._cursor, key, body, link, elapsed=self.reached))
        self._chain = link
        self._cursor += 1
        self._observe(decision)


def verify_chain(run_id: str, log: Sequence[StoredDecision]) -> None:
    """Raises Diverged at the first decision whose place or digest is not what the log before it implies."""
    link = run_id
    for position, stored in enumerate(log):
        if stored.seq != position:
            raise Diverged(f"decision {position} is missing: the log goes on with {stored.seq}")
        link = chain(link, stored.key, stored.body)
        if link != stored.chain:
            raise Diverged(f"decision {position} ({stored.key}) was changed after it was written")
