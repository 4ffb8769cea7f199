"""What a run of MIPRO found, whichever optimizer made it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Mark(NamedTuple):
    """The best prompt that was evaluated in full, known after so many task calls and seconds.

    `shown`: texts and answers of its demonstrations.
    """

    calls: int
    seconds: float
    instruction: str
    shown: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Found:
    """Incumbents in turn, the last one what was given back; task calls in all, and wall clock in seconds."""

    curve: Sequence[Mark]
    calls: int
    seconds: float
