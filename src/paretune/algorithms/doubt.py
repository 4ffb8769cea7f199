"""Asking again where a decision hangs on one answer, as long as asking again can give another one."""

from __future__ import annotations

from dataclasses import dataclass, field

from paretune.core.candidate import CandidateId
from paretune.core.example import ExampleId

CONVINCED = 8
"""After so many second answers that were all like the first, answers are taken to repeat."""
SAME = 1e-9


@dataclass(slots=True)
class Doubt:
    """Which questions were asked twice, and whether a second answer was ever another one (`noisy`)."""

    noisy: bool = False
    asked: set[tuple[CandidateId, ExampleId]] = field(default_factory=set)

    def asks(self, candidate: CandidateId, example: ExampleId) -> bool:
        """True if asking this once more may tell something, or was done already."""
        if self.noisy or len(self.asked) < CONVINCED:
            self.asked.add((candidate, example))
        return (candidate, example) in self.asked

    def heard(self, first: float, second: float) -> None:
        """Two rewards of the same text on the same example."""
        self.noisy = self.noisy or abs(first - second) > SAME
