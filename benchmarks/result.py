"""What a run found, whichever optimizer made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Texts = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Result:
    """`best` and what it took.

    `curve`: (rollouts made, texts of the incumbent) whenever the incumbent changed. `calls` were counted
    at the evaluator, `ledger` is the optimizer's own count, `wall` in seconds.
    """

    best: Texts
    curve: tuple[tuple[int, Texts], ...]
    calls: int
    ledger: int
    wall: float
