"""How the calls of a run go: how many, how fast, and what is wrong with those that fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from paretune.core.example import ExampleId
from paretune.core.rollout import Failure
from paretune.views.calls import FAILURES, OUTCOMES, ROLES
from paretune.views.faults import Fault, Signature, signature
from paretune.views.run_view import RunView

MOST_BINS = 200
WIDTHS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
"""Seconds that a bin may span; a multiple of the last if all are too short."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds of the calls of one role that were done."""

    calls: int
    p50: float
    p90: float
    p99: float
    longest: float


@dataclass(frozen=True, slots=True)
class Pace:
    """Calls per minute: by role those that were done, and those of all roles that failed or were lost.

    The first bin begins at second `start` since 1970 and each is `width` seconds long; all lists are as long.
    """

    start: float = 0.0
    width: int = 1
    done: Mapping[str, list[float]] = field(default_factory=dict)
    failed: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Flow:
    """`attempts`: role -> outcome (done, failed, lost, unsent) -> number. `failures`: kind -> attempts.

    `in_flight` and `reused` (results of other runs) are numbers by role; `given_up` are rollouts that have no
    result after all their attempts.
    """

    attempts: Mapping[str, Mapping[str, int]]
    failures: Mapping[str, int]
    in_flight: Mapping[str, int]
    reused: Mapping[str, int]
    given_up: int
    pace: Pace
    latency: Mapping[str, Latency]


def flow(view: RunView) -> Flow:
    """The calls of a run up to now."""
    spent = view.spent
    numbers = np.bincount(
        spent["role"] * np.int64(len(OUTCOMES)) + spent["outcome"], minlength=len(ROLES) * len(OUTCOMES)
    ).reshape(len(ROLES), len(OUTCOMES))
    kinds = np.bincount(spent["failure"][spent["outcome"] == OUTCOMES.index("failed")])
    roles = [role for role, row in zip(ROLES, numbers, strict=True) if row.any()]
    return Flow(
        attempts={
            role: {name: int(n) for name, n in zip(OUTCOMES, row, strict=True) if n}
            for role, row in zip(ROLES, numbers, strict=True)
            if row.any()
        },
        failures={FAILURES[at]: int(kinds[at]) for at in np.argsort(-kinds, kind="stable") if kinds[at]},
        in_flight=dict(Counter(begun.role for begun in view.in_flight)),
        reused={role: each.reused for role, each in sorted(view.ledger.by_role.items()) if each.reused},
        given_up=len(view.failures),
        pace=_pace(spent, roles),
        latency={role: found for role in roles if (found := _latency(spent, role))},
    )


def _done(spent: np.ndarray, role: str) -> np.ndarray:
    done: np.ndarray = (spent["role"] == ROLES.index(role)) & (spent["outcome"] == OUTCOMES.index("done"))
    return done


def _latency(spent: np.ndarray, role: str) -> Latency | None:
    seconds = spent["seconds"][_done(spent, role)]
    if not len(seconds):
        return None
    found = np.quantile(seconds, [0.5, 0.9, 0.99, 1.0])
    return Latency(len(seconds), *map(float, found))


def _pace(spent: np.ndarray, roles: list[str]) -> Pace:
    if not len(spent):
        return Pace()
    first, last = float(spent["at"][0]), float(spent["at"][-1])
    least = (last - first) / (MOST_BINS - 2)  # the first bin begins at a whole multiple
    width = next((w for w in WIDTHS if w >= least), WIDTHS[-1] * int(-(-least // WIDTHS[-1])))
    start = first // width * width
    bins = ((spent["at"] - start) // width).astype(np.int64)
    size = int(bins[-1]) + 1
    lost = np.isin(spent["outcome"], [OUTCOMES.index("failed"), OUTCOMES.index("lost")])

    def per_minute(these: np.ndarray) -> list[float]:
        counted: list[float] = (np.bincount(bins[these], minlength=size) * (60 / width)).tolist()
        return counted

    done = {role: per_minute(_done(spent, role)) for role in roles}
    return Pace(start, width, done, per_minute(lost))


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Failures of one role and kind that say the same, numbers and ids aside.

    `attempts` failed so, from `first` to `last` (seconds since 1970; None if no attempt is on record);
    `given_up` rollouts have no result because of it, on `examples`, the worst first. `message` is one of
    those that were said, `keys` are a few of the facts that were asked for.
    """

    role: str
    kind: str
    pattern: str
    message: str
    attempts: int
    first: float | None
    last: float | None
    given_up: int
    examples: list[ExampleId]
    keys: list[str]


def errors(view: RunView) -> list[ErrorGroup]:
    """Those that cost a result first, then by the number of attempts."""
    given_up: dict[Signature, list[Failure]] = {}
    for failure in view.failures:
        signed = signature("rollout", failure.kind.value, failure.message)
        given_up.setdefault(signed, []).append(failure)
    every = {*view.faults, *given_up}
    groups = [_group(each, view.faults.get(each), given_up.get(each, [])) for each in every]
    return sorted(groups, key=lambda g: (-g.given_up, -g.attempts, g.kind, g.pattern, g.role))


def _group(one: Signature, fault: Fault | None, failures: list[Failure]) -> ErrorGroup:
    examples = Counter(failure.example for failure in failures)
    worst = sorted(examples, key=lambda example: (-examples[example], example))
    if fault is None:
        keys = [failure.key.id for failure in failures[:5]]
        return ErrorGroup(*one, failures[0].message, 0, None, None, len(failures), worst, keys)
    times = fault.first, fault.last
    return ErrorGroup(*one, fault.message, fault.attempts, *times, len(failures), worst, fault.keys)
