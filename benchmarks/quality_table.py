"""Outcomes of runs, and the table that sets them side by side."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from paretune.core.statistics import bootstrap_mean

OURS, THEIRS = "paretune", "gepa"


class Mark(NamedTuple):
    """Held-out mean of the incumbent from so many rollouts and seconds on."""

    rollouts: int
    seconds: float
    held_out: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run reached. `means` that it went by were recomputed; `differing` of them came out otherwise.

    `source`: the earlier result that the run was taken from, and what made it.
    """

    name: str
    world: int
    held_out: float
    validation: float
    calls: int
    ledger: int
    seconds: float
    candidate: Mapping[str, str]
    curve: Sequence[Mark] = ()
    means: int = 0
    differing: int = 0
    source: str = ""

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Outcome:
        """From its JSON form."""
        return cls(**{**record, "curve": [Mark(*mark) for mark in record["curve"]]})


def table(outcomes: Sequence[Outcome], goal: str, *, clock: bool = False) -> str:
    """Markdown: a row for each mode. `goal` names the mode whose final held-out mean is to be reached.

    With `clock` the seconds are real ones, and the table tells when the goal was reached by them too.
    """
    by_name: dict[str, list[Outcome]] = {}
    for outcome in sorted(outcomes, key=lambda o: o.world):
        by_name.setdefault(outcome.name, []).append(outcome)
    rivals = [name for name in by_name if name.startswith(THEIRS)]
    rows = [_row(own, by_name, rivals, goal, clock) for own in by_name.values()]
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)] if rows else []
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _row(
    own: Sequence[Outcome],
    by_name: Mapping[str, Sequence[Outcome]],
    rivals: Sequence[str],
    goal: str,
    clock: bool,
) -> dict[str, str]:
    """Heads and cells of one mode's row."""
    name, held_out = own[0].name, [o.held_out for o in own]
    row = {"": name, "held-out": short(statistics.mean(held_out)), "se": short(_error(held_out))}
    for rival in rivals:
        row[f"minus {rival}"] = _difference(own, by_name[rival]) if rival != name else ""
    row["calls"] = f"{statistics.mean(o.calls for o in own):,.0f}"
    final = [o.held_out for o in by_name.get(goal, ())]
    row[f"reaches {goal}"] = _reached(own, final, lambda mark: mark.rollouts, ",")
    row["in worlds"] = _reached_singly(own, final)
    row["wall s" if clock else "s"] = f"{statistics.mean(o.seconds for o in own):.1f}"
    if clock:
        row[f"reaches {goal} after s"] = _reached(own, final, lambda mark: mark.seconds, ".1f")
    return row


def _difference(own: Sequence[Outcome], rival: Sequence[Outcome]) -> str:
    """Mean and 95 % interval of the difference, world by world."""
    interval = bootstrap_mean([one.held_out - other.held_out for one, other in zip(own, rival, strict=True)])
    return re.sub(r"\b0\.", ".", f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]")


def _reached(own: Sequence[Outcome], final: Sequence[float], axis: Callable[[Mark], float], form: str) -> str:
    """Where on this axis the mean incumbent first is as good as the goal's final mean."""
    if not final:
        return ""
    for at in sorted({axis(mark) for o in own for mark in o.curve}):
        means = [next((m.held_out for m in reversed(o.curve) if axis(m) <= at), 0.0) for o in own]
        if statistics.mean(means) >= statistics.mean(final) - 1e-12:
            return format(at, form)
    return "never"


def _reached_singly(own: Sequence[Outcome], final: Sequence[float]) -> str:
    """In how many worlds an incumbent was as good as the goal's final one."""
    if not final:
        return ""
    reached = [any(mark.held_out >= level for mark in o.curve) for o, level in zip(own, final, strict=True)]
    return f"{sum(reached)}/{len(reached)}"


def _error(values: Sequence[float]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def short(value: float) -> str:
    """Three places, without the leading 0."""
    return f"{value:.3f}".removeprefix("0")
