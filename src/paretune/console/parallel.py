"""Parallel coordinates as drawn lines: an axis for each choice, the last for what came of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

SIDE = 1000
"""Units of the drawing, in both directions."""
BAND = 0.5
"""Lines through one option spread over so much of the room that it has on its axis."""
TICKS = 5


@dataclass(frozen=True, slots=True)
class Through:
    """One line: the place of its option on each axis, counted from the top, and its value. A `loud` one
    stands out, one that is not `firm` is dashed; `href` is what it opens."""

    places: Sequence[int]
    value: float
    words: str
    href: str
    loud: bool = False
    firm: bool = True


@dataclass(frozen=True, slots=True)
class Axis:
    """`at`: per cent from the left. `marks` are (per cent from the top, words)."""

    title: str
    at: float
    marks: Sequence[tuple[float, str]]


@dataclass(frozen=True, slots=True)
class Line:
    """SVG path data; `share` is 0 for the lowest value and 1 for the highest."""

    path: str
    words: str
    href: str
    share: float
    loud: bool
    firm: bool


@dataclass(frozen=True, slots=True)
class Parallel:
    """Lines are in the order of drawing, the highest last."""

    axes: Sequence[Axis]
    lines: Sequence[Line]


def parallel(
    axes: Sequence[tuple[str, Sequence[str]]], value_title: str, lines: Sequence[Through]
) -> Parallel | None:
    """`axes` are titles, and the names of the options from the top down. None where there is no line."""
    if not lines:
        return None
    low, high = min(one.value for one in lines), max(one.value for one in lines)
    span = high - low or 1.0
    ordered = sorted(lines, key=lambda one: (one.loud, one.value))
    shares = [(one.value - low) / span if high > low else 1.0 for one in ordered]
    ups = [_spread([one.places[at] for one in ordered], len(names)) for at, (_, names) in enumerate(axes)]
    across = [round(100 * at / len(axes), 2) for at in range(len(axes) + 1)]
    drawn = [
        Line(
            _path(
                [(x, up[number]) for x, up in zip(across, [*ups, [_down(s) for s in shares]], strict=True)]
            ),
            one.words,
            one.href,
            round(shares[number], 3),
            one.loud,
            one.firm,
        )
        for number, one in enumerate(ordered)
    ]
    told = [
        Axis(
            title,
            across[at],
            [(round(100 * _middle(n, len(names)), 2), name) for n, name in enumerate(names)],
        )
        for at, (title, names) in enumerate(axes)
    ]
    ticks = [low + span * n / (TICKS - 1) for n in range(TICKS)] if high > low else [high]
    marks = [(round(100 * _down((v - low) / span if high > low else 1.0), 2), f"{v:.3f}") for v in ticks]
    return Parallel([*told, Axis(value_title, across[-1], marks)], drawn)


def _middle(place: int, options: int) -> float:
    """Where an option stands on its axis, as a part of it from the top."""
    return (place + 0.5) / options


def _down(share: float) -> float:
    return 0.05 + 0.9 * (1 - share)


def _spread(places: Sequence[int], options: int) -> list[float]:
    """Each line's height on an axis: those through one option side by side, the highest value on top."""
    through: dict[int, list[int]] = defaultdict(list)
    for number, place in enumerate(places):
        through[place].append(number)
    found = [0.0] * len(places)
    for place, numbers in through.items():
        for rank, number in enumerate(reversed(numbers)):
            aside = (rank + 0.5) / len(numbers) - 0.5
            found[number] = _middle(place, options) + aside * BAND / options
    return found


def _path(spots: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x * SIDE / 100:g} {y * SIDE:.1f}" for x, y in spots)
