"""Small charts as drawn lines: no script, and at any width. The drawing is stretched, its text is not."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

SIDE = 1000
"""Units of the drawing, in both directions."""
TICKS = 6
DOTS = 500
"""Dots of one series, at most; of more, evenly picked ones."""

Spot = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Dot:
    """A measurement; `about` is the candidate that a click on it opens."""

    x: float
    y: float
    words: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """`tone` is a class of the style sheet. A `step` holds each value until the next; a `band` goes up along
    `spots` and back along `under`."""

    name: str
    tone: str
    kind: Literal["line", "step", "dots", "band"]
    spots: Sequence[Spot] = ()
    dots: Sequence[Dot] = ()
    under: Sequence[Spot] = ()
    listed: bool = True


@dataclass(frozen=True, slots=True)
class Drawn:
    """A series with places in the drawing: lines as SVG path data, dots as (x, y, words, href)."""

    name: str
    tone: str
    kind: str
    path: str = ""
    dots: Sequence[tuple[str, str, str, str]] = ()


@dataclass(frozen=True, slots=True)
class Plot:
    """`ticks` are (per cent from the left or from the bottom, words)."""

    series: Sequence[Drawn]
    legend: Sequence[tuple[str, str, str]]
    across: Sequence[tuple[float, str]]
    up: Sequence[tuple[float, str]]
    x_title: str
    left_out: int = 0


def plot(
    series: Sequence[Series],
    *,
    x_title: str,
    link: Callable[[str], str],
    x_range: tuple[float, float] | None = None,
    whole: bool = False,
    words: Callable[[float], str] = lambda value: f"{value:,g}",
) -> Plot | None:
    """None where there is nothing to draw. `link` is the address of a candidate. With `whole` the horizontal
    ticks are whole numbers; `words` tells them."""
    spots = [spot for one in series for spot in _spots(one)]
    if not spots:
        return None
    x = x_range or _span([spot[0] for spot in spots], 0.0)
    y = _span([spot[1] for spot in spots], 0.06)
    picked = [_picked(one.dots) for one in series]
    return Plot(
        [
            _drawn(one, [(dot, link(dot.about)) for dot in dots], x, y)
            for one, dots in zip(series, picked, strict=True)
        ],
        [(one.name, one.tone, one.kind) for one in series if one.listed],
        [(_per_cent(value, x), words(value)) for value in _ticks(x, whole)],
        [(_per_cent(value, y), f"{value:.3g}") for value in _ticks(y, False)],
        x_title,
        sum(len(one.dots) - len(dots) for one, dots in zip(series, picked, strict=True)),
    )


def _spots(one: Series) -> list[Spot]:
    return [*one.spots, *one.under, *((dot.x, dot.y) for dot in one.dots)]


def _picked(dots: Sequence[Dot]) -> Sequence[Dot]:
    stride = max(1, math.ceil(len(dots) / DOTS))
    return dots[::stride] if stride > 1 else dots


def _span(values: Sequence[float], margin: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low == high == 0.0:
        low, high = 0.0, 1.0
    elif high - low < 1e-6 * max(1.0, abs(low), abs(high)):
        low, high = low - 0.5 * max(1.0, abs(low)), high + 0.5 * max(1.0, abs(high))
    more = (high - low) * margin
    return low - more, high + more


def _ticks(span: tuple[float, float], whole: bool) -> list[float]:
    """Round values within the span, about `TICKS` of them."""
    rough = (span[1] - span[0]) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * part for part in (1, 2, 5, 10) if power * part >= rough)
    step = max(1.0, step) if whole else step
    first = math.ceil(span[0] / step - 1e-9)
    last = math.floor(span[1] / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _part(value: float, span: tuple[float, float]) -> float:
    return (value - span[0]) / (span[1] - span[0])


def _per_cent(value: float, span: tuple[float, float]) -> float:
    return min(100.0, max(0.0, 100 * _part(value, span)))


def _drawn(
    one: Series, dots: Sequence[tuple[Dot, str]], x: tuple[float, float], y: tuple[float, float]
) -> Drawn:
    def at(spot: Spot) -> tuple[str, str]:
        return _short(_part(spot[0], x) * SIDE), _short((1 - _part(spot[1], y)) * SIDE)

    def path(spots: Sequence[Spot], stepped: bool) -> str:
        parts, before = [], ""
        for place, spot in enumerate(spots):
            across, down = at(spot)
            if place and stepped:
                parts.append(f"L{across} {before}")
            parts.append(f"{'L' if place else 'M'}{across} {down}")
            before = down
        return "".join(parts)

    line = path(one.spots, one.kind in ("step", "band")) if one.kind != "dots" else ""
    if one.kind == "band" and line:
        back = path(one.under, True)
        line = f"{line}{_backwards(back)}Z"
    return Drawn(
        one.name, one.tone, one.kind, line, [(*at((dot.x, dot.y)), dot.words, href) for dot, href in dots]
    )


def _backwards(path: str) -> str:
    """The same corners from the last to the first, going on from another path."""
    return "".join(f"L{corner}" for corner in reversed(path.replace("M", "L").split("L")[1:]))


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
