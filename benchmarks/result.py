"""What a run found, whichever optimizer made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

Texts = Mapping[str, str]


class Incumbent(NamedTuple):
    """The best fully evaluated texts, known after so many rollouts and so many seconds of wall clock."""

    rollouts: int
    seconds: float
    texts: Texts


@dataclass(frozen=True, slots=True)
class Result:
    """`best` and what it took.

    `curve`: every incumbent in turn. `calls` were counted at the evaluator, `ledger` is the optimizer's own
    count, `wall` in seconds. `means`: texts evaluated in full, with the validation mean that the optimizer
    went by; empty where it does not tell.
    """

    best: Texts
    curve: tuple[Incumbent, ...]
    calls: int
    ledger: int
    wall: float
    means: tuple[tuple[Texts, float], ...] = ()
