"""What a run spent, over its active time: money, tokens and calls of each role."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from paretune.views.calls import OUTCOMES, ROLES, second
from paretune.views.run_view import Moment, RunView

Measure = Literal["usd", "tokens", "calls"]
POINTS = 300
"""A line has at most so many."""
MARKS = 2000
"""So many decisions tell how the run's active time went."""

_UNSENT, _DONE = OUTCOMES.index("unsent"), OUTCOMES.index("done")


@dataclass(frozen=True, slots=True)
class Line:
    """What one role had spent, in all, after so many active `seconds`."""

    role: str
    seconds: tuple[float, ...]
    total: tuple[float, ...]


def active_seconds(view: RunView, at: np.ndarray) -> np.ndarray:
    """Times since 1970 as active seconds of the run: rests between its decisions do not count."""
    if not view.moments or not len(at):
        return np.zeros(len(at))
    known = _known(view.moments)
    seconds: np.ndarray = np.interp(at, *known.T)
    before = known[0, 1] - (known[0, 0] - at)
    return np.where(at < known[0, 0], np.maximum(before, 0.0), seconds)


@lru_cache(maxsize=16)
def _known(moments: tuple[Moment, ...]) -> np.ndarray:
    """Seconds since 1970 and active seconds of at most `MARKS` decisions, both rising."""
    picked = [*moments[:: max(1, len(moments) // MARKS)], moments[-1]]
    known = np.array([(second(moment.at), moment.elapsed) for moment in picked])
    rising: np.ndarray = np.maximum.accumulate(known, axis=0)
    return rising


def over_time(view: RunView, measure: Measure, points: int = POINTS) -> list[Line]:
    """A line for each role that was called, in the order of `ROLES`, that ends where the ledger stands.

    `calls` are those that were done, `usd` is money paid and money lost."""
    table = view.spent
    table = table[table["outcome"] == _DONE if measure == "calls" else table["outcome"] != _UNSENT]
    seconds = active_seconds(view, table["at"])
    amounts = np.ones(len(table)) if measure == "calls" else table[measure].astype(float)
    lines = []
    for number, role in enumerate(ROLES):
        mine = table["role"] == number
        if mine.any():
            lines.append(_line(role, seconds[mine], np.cumsum(amounts[mine]), float(seconds.max()), points))
    return lines


def _line(role: str, seconds: np.ndarray, total: np.ndarray, end: float, points: int) -> Line:
    """From nothing at 0 to all at `end`, thinned evenly between."""
    at = np.unique(np.linspace(0, len(seconds) - 1, points).round().astype(int))
    times = (0.0, *seconds[at].round(3).tolist(), round(end, 3))
    return Line(role, times, (0.0, *total[at].tolist(), float(total[-1])))
