"""Two candidates of a run against each other, on what both were scored on."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from paretune.core.statistics import Interval, compare_paired

SELECTED_ON = (
    "Selected on these very examples: the best of several candidates looks better here than it is, and the "
    "p value does not count that. Only examples that the run never saw can confirm it."
)


@dataclass(frozen=True, slots=True)
class CandidateComparison:
    """Candidate `after` minus candidate `before`, paired by validation id.

    `difference` is a mean with its interval over the `n` shared ids, `p_value` that of a two-sided sign-flip
    test; `gained` and `lost` count ids. `candidates` is how many the run chose from.
    """

    before: int
    after: int
    difference: Interval
    p_value: float
    gained: int
    lost: int
    candidates: int

    @property
    def n(self) -> int:
        return self.difference.n

    @property
    def selected_on(self) -> bool:
        """Whether the run chose on these examples, so that the figures flatter the chosen one."""
        return self.candidates > 1

    def __str__(self) -> str:
        d = self.difference
        said = (
            f"#{self.after} minus #{self.before}: {d.mean:+.4f} ({d.level:.0%} interval {d.low:+.4f} to "
            f"{d.high:+.4f}, p = {self.p_value:.3g}, n = {d.n}; {self.gained} up, {self.lost} down)."
        )
        return f"{said} {SELECTED_ON}" if self.selected_on else said


def compare_candidates(
    before: int,
    after: int,
    scores: tuple[Mapping[Hashable, float], Mapping[Hashable, float]],
    *,
    candidates: int,
    level: float = 0.95,
) -> CandidateComparison:
    """`scores` by validation id, of `before` and of `after`. Raises ValueError if they share no id."""
    shared = [val_id for val_id in scores[0] if val_id in scores[1]]
    if not shared:
        raise ValueError(f"#{before} and #{after} were scored on no example in common")
    old, new = ({str(k): float(side[val_id]) for k, val_id in enumerate(shared)} for side in scores)
    found = compare_paired(old, new, level=level)
    return CandidateComparison(
        before, after, found.difference, found.p_value, found.gained, found.lost, candidates
    )
