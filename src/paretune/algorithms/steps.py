"""What a lane has in hand: its step, and the child that came of it."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from paretune.algorithms.lanes import Lane
from paretune.core.candidate import Candidate
from paretune.core.example import Example, ExampleId
from paretune.propose.base import Packet, Proposal


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a lane. `drawn` is the minibatch, `known` are further examples that the parent is known to
    fail. `off_line`: the parent comes from the frontier and not from the line of heads.
    """

    lane: Lane
    number: int
    drawn: tuple[Example, ...]
    known: tuple[Example, ...]
    targets: tuple[str, ...]
    off_line: bool

    def examples(self, scored: Container[ExampleId]) -> tuple[Example, ...]:
        """On which a text is shown, or has to be beaten, that was `scored` on these before: of the known
        failures only those among them, so that a text that is not the first parent pays for none."""
        return (*self.drawn, *(e for e in self.known if e.id in scored))


@dataclass(frozen=True, slots=True)
class Draft:
    """A child before its gate. `baseline` is the text that it must beat, `onto` the one that it replaces."""

    child: Candidate
    baseline: Candidate
    onto: Candidate
    packet: Packet
    proposal: Proposal
