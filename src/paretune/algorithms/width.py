"""How many lanes are worth having: fewer where edits made side by side clash."""

from __future__ import annotations

from dataclasses import dataclass, field

LEAST = 2
"""Two lanes cost little even where every edit clashes."""
WINDOW = 8
"""Edits carried onto a head that moved, by whose fate the number of lanes is changed."""


@dataclass(slots=True)
class Width:
    """Half as many lanes after a window with more clashes than not, one more after one with a clash at most.

    Lanes are fast because their edits are independent of each other. Where they are not (ordered steps,
    reworded sentences), most work of all but one lane is in vain.
    """

    most: int
    now: int = field(init=False)
    carried: int = 0
    clashed: int = 0

    def __post_init__(self) -> None:
        self.now = self.most

    def count(self, *, clashed: bool) -> bool:
        """Another edit was carried onto a head that moved, or clashed with it; True if a window is full."""
        if self.carried == WINDOW:
            self.carried = self.clashed = 0
        self.carried += 1
        self.clashed += clashed
        if self.carried < WINDOW:
            return False
        if 2 * self.clashed > WINDOW:
            self.now = max(min(LEAST, self.most), self.now // 2)
        elif self.clashed <= 1:
            self.now = min(self.most, self.now + 1)
        return True
