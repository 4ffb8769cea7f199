"""The gate as a race: failures first, then passes in chunks, over as soon as the answer is clear."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from paretune.core.example import ExampleId
from paretune.core.gate import Verdict

ROUNDING = 1e-12


@dataclass(slots=True)
class Race:
    """Child against baseline on exactly the same examples, chunk by chunk, in two strata.

    `failed` and `passed` are the baseline's rewards on examples that it fails (below perfect) and passes;
    *guards*, passes from outside the minibatch, are among the latter. `share` (0 to 1) is the part of all
    examples that the baseline passes: the strata count by it and not by their sizes, or else a gate with
    many guards would turn down whoever changes much, and one without would take whoever breaks much.

    First come the failures: a child that gains nothing there is out. Passes follow in chunks of
    `chunk`, until what is left cannot change the sign. Rewards are taken to be 0 at least. With `ties` a draw
    passes, too, so that a child which loses nothing goes on to the last example.
    """

    failed: Mapping[ExampleId, float]
    passed: Mapping[ExampleId, float]
    share: float
    chunk: int
    rng: Random
    ties: bool = False
    after: dict[ExampleId, float] = field(default_factory=dict)
    asked: list[ExampleId] = field(default_factory=list)
    _chunks: list[list[ExampleId]] = field(init=False)

    def __post_init__(self) -> None:
        passed = list(self.passed)
        self.rng.shuffle(passed)
        rest = [passed[i : i + self.chunk] for i in range(0, len(passed), self.chunk)]
        self._chunks = [list(self.failed), *rest] if self.failed else rest

    def next(self) -> Sequence[ExampleId]:
        """The examples to score next; empty when the race is over."""
        if not self._chunks or self._decided():
            return ()
        chunk = self._chunks.pop(0)
        self.asked.extend(chunk)
        return chunk

    def scored(self, rewards: Mapping[ExampleId, float]) -> None:
        """What the child got; an example that failed to be scored counts on neither side."""
        self.after.update(rewards)

    @property
    def hangs_on(self) -> ExampleId | None:
        """The one failure on which all that the child gained was gained, if it is only one."""
        gained = self.gained()
        return gained[0] if len(gained) == 1 else None

    def gained(self) -> list[ExampleId]:
        """The failures on which the child is better."""
        return [e for e in self.failed if self.after.get(e, self.failed[e]) > self.failed[e] + ROUNDING]

    def verdict(self) -> Verdict:
        """Sums over all pairs; passed if the weighted difference is above 0 (a draw is no improvement)."""
        before = {**self.failed, **self.passed}
        pairs = [e for e in self.asked if e in self.after]
        old = math.fsum(before[e] for e in pairs)
        new = math.fsum(self.after[e] for e in pairs)
        if not pairs or 2 * len(pairs) < len(self.asked):
            return Verdict(False, old, new, len(pairs), "too_few_scored")
        difference = self._difference(worst=False)
        if self.ties and abs(difference) <= ROUNDING:
            return Verdict(True, old, new, len(pairs), "equal")
        better = difference > ROUNDING
        return Verdict(better, old, new, len(pairs), "improved" if better else "not_improved")

    def _decided(self) -> bool:
        if not self.asked:
            return False
        if self.ties:
            return self._difference(worst=False) < -ROUNDING
        if self._mean(self.failed) <= ROUNDING and self.failed:
            return True
        return self._difference(worst=True) > ROUNDING or self._difference(worst=False) <= ROUNDING

    def _difference(self, *, worst: bool) -> float:
        """Weighted difference of child and baseline; passes not asked yet are all held, or all lost."""
        left = [self.passed[e] for e in self.passed if e not in self.asked] if worst else []
        passes = self._mean(self.passed, lost=left, among=len(self.passed))
        return (1 - self.share) * self._mean(self.failed) + self.share * passes

    def _mean(
        self, before: Mapping[ExampleId, float], lost: Sequence[float] = (), among: int | None = None
    ) -> float:
        scored = [e for e in before if e in self.after]
        total = math.fsum(self.after[e] - before[e] for e in scored)
        total -= math.fsum(max(0.0, reward) for reward in lost)
        return total / (among or len(scored) or 1)
