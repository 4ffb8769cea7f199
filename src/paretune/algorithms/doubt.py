"""Asking again where a decision hangs on one answer, as long as asking again can give another one."""

from __future__ import annotations

from dataclasses import dataclass

CONVINCED = 8
"""After so many second answers that were all like the first, answers are taken to repeat."""
SAME = 1e-9


@dataclass(slots=True)
class Doubt:
    """What second answers to the same question said so far."""

    alike: int = 0
    other: int = 0

    @property
    def noisy(self) -> bool:
        """True once a second answer was another one."""
        return self.other > 0

    @property
    def remains(self) -> bool:
        """True as long as asking again may tell something."""
        return self.noisy or self.alike < CONVINCED

    def heard(self, first: float, second: float) -> None:
        """Two rewards of the same text on the same example."""
        if abs(first - second) > SAME:
            self.other += 1
        else:
            self.alike += 1
