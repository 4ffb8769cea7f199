"""How long work of rollouts lasts on the lanes' clock: as long as its facts say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from paretune.algorithms.lanes import Ends
from paretune.algorithms.ports import Work


class Span(NamedTuple):
    """Work that is under way, and when it ends."""

    work: Work
    ends: Ends


@dataclass(slots=True)
class Spans:
    """Knows since when each rollout is under way that a lane still waits for.

    A rollout that was home before costs no time; one that is out for another lane ends when it ends there.
    """

    _since: dict[str, float] = field(default_factory=dict)

    def begin(self, work: Work, now: float, slots: int = 0) -> Span:
        """All at once, or with `slots` in so many slots: what nobody waits for has its share of the calls."""
        self._since.update(dict.fromkeys(work.new, now))
        since = {key: self._since[key] for key in work.keys if key in self._since}

        def ends() -> float:
            last = max((begun + work.seconds(key) for key, begun in since.items()), default=now)
            in_turn = sum(work.seconds(key) for key in work.new) / slots if slots else 0.0
            return max(now, last, now + in_turn)

        return Span(work, ends)

    def over(self, span: Span) -> None:
        """Its lane has gone on."""
        for key in span.work.new:
            self._since.pop(key, None)
