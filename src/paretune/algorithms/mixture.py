"""Minibatches for a line of heads: a part of them what its latest texts failed, the rest by epochs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from paretune.core.example import Example, ExampleId


@dataclass(slots=True)
class Mixture:
    """Draws minibatches of `size` from `examples`; `epoch` gives the next ones that are due by epochs.

    As heads get better, most of an epoch teaches nothing. So up to half of a minibatch are examples whose
    last reward on the line was below `perfect`: those that were longest ago come first, and none that was
    drawn within the last `rest` steps, which other lanes may still be at work on.
    """

    examples: Sequence[Example]
    size: int
    perfect: float
    epoch: Callable[[], Sequence[Example]]
    _rewards: dict[ExampleId, float] = field(default_factory=dict)
    _drawn: dict[ExampleId, int] = field(default_factory=dict)
    _due: deque[Example] = field(default_factory=deque)

    def saw(self, rewards: Mapping[ExampleId, float]) -> None:
        """What a head, or a child that is about to be one, got."""
        self._rewards.update(rewards)

    def draw(self, step: int, rest: int) -> tuple[Example, ...]:
        """The minibatch of this step, no example twice."""
        size = min(self.size, len(self.examples))
        never = -1 - rest
        failed = [e for e in self.examples if self._rewards.get(e.id, self.perfect) < self.perfect]
        rested = [e for e in failed if self._drawn.get(e.id, never) < step - rest]
        picked = sorted(rested, key=lambda e: self._drawn.get(e.id, never))[: size // 2]
        while len(picked) < size:
            if not self._due:
                self._due.extend(self.epoch())
            example = self._due.popleft()
            if example not in picked:
                picked.append(example)
        self._drawn |= {e.id: step for e in picked}
        return tuple(picked)
