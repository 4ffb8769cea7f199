"""The gate: is the child better than its parent on exactly the same examples?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from paretune.core.example import ExampleId


class Acceptance(StrEnum):
    """What the child must show (gepa's `acceptance_criterion`)."""

    STRICT = "strict_improvement"
    EQUAL = "improvement_or_equal"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Summed rewards over the examples that both were scored on."""

    passed: bool
    before: float
    after: float
    pairs: int
    reason: str


def compare(
    before: Mapping[ExampleId, float],
    after: Mapping[ExampleId, float],
    *,
    acceptance: Acceptance = Acceptance.STRICT,
) -> Verdict:
    """Sum over the pairs; an example that failed on either side counts on neither.

    Without a single pair, or with fewer than half of the examples paired, the verdict is no:
    too little was measured. Sums are exact up to rounding, so the order of examples never matters.
    """
    pairs = [example for example in before if example in after]
    old, new = math.fsum(before[e] for e in pairs), math.fsum(after[e] for e in pairs)
    rounding = 1e-12 * math.fsum(abs(before[e]) + abs(after[e]) for e in pairs)
    if 2 * len(pairs) < len(before) or not pairs:
        return Verdict(False, old, new, len(pairs), "too_few_scored")
    if new > old + rounding:
        return Verdict(True, old, new, len(pairs), "improved")
    if acceptance is Acceptance.EQUAL and new >= old - rounding:
        return Verdict(True, old, new, len(pairs), "equal")
    return Verdict(False, old, new, len(pairs), "not_improved")
