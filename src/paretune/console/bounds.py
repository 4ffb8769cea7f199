"""Intervals as pages show them: not beyond what a reward can be, and none where nothing varied."""

from __future__ import annotations

import math
from dataclasses import replace

from paretune.core.statistics import Interval


def shown(interval: Interval, unit: bool, difference: bool = False) -> Interval | None:
    """None where there is none to show: of one value, or of values that are all the same.

    With `unit` all rewards of the run are within 0 to 1, so their means are, and the differences of means
    are within -1 to 1.
    """
    low, high = interval.low, interval.high
    if interval.n < 2 or not math.isfinite(low + high) or high - low < 1e-9:
        return None
    if not unit:
        return interval
    return replace(interval, low=max(low, -1.0 if difference else 0.0), high=min(high, 1.0))


def between(interval: Interval, unit: bool, difference: bool = False, to: str = " to ") -> str:
    """`0.224 to 1.000`, or `-0.100 to +0.300` of a difference; empty where there is none to show."""
    told = shown(interval, unit, difference)
    if told is None:
        return ""
    return f"{told.low:+.3f}{to}{told.high:+.3f}" if difference else f"{told.low:.3f}{to}{told.high:.3f}"
