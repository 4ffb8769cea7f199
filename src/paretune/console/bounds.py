"""Intervals in words, as pages show them."""

from __future__ import annotations

import math

from paretune.core.statistics import Interval


def between(interval: Interval, difference: bool = False, to: str = " to ") -> str:
    """`0.224 to 1.000`, or `-0.100 to +0.300` of a difference.

    Empty where there is none to show: of one value, or of values that are all the same.
    """
    low, high = interval.low, interval.high
    if interval.n < 2 or not math.isfinite(low + high) or high - low < 1e-9:
        return ""
    return f"{low:+.3f}{to}{high:+.3f}" if difference else f"{low:.3f}{to}{high:.3f}"
