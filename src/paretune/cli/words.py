"""Figures in few characters."""

from __future__ import annotations


def count(number: float) -> str:
    """`950`, `12.3k`, `4.56M`."""
    for size, letter in ((1e6, "M"), (1e4, "k")):
        if number >= size:
            return f"{number / (1e3 if letter == 'k' else 1e6):.3g}{letter}"
    return f"{number:.0f}"


def money(usd: float) -> str:
    """Cents, and small sums in full."""
    return f"${usd:.2f}" if usd >= 1 else f"${usd:.4f}"


def duration(seconds: float) -> str:
    """`45 s`, `12 min` or `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def clock(seconds: float) -> str:
    """`0:07`, `12:05` or `1:02:05`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
