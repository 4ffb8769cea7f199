"""What a search is handed. It decides; these act."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from paretune.algorithms.stops import LiveStop
from paretune.core.budget import Ledger
from paretune.core.events import Decision
from paretune.core.rollout import Outcome, RolloutRequest
from paretune.evaluate.queue import Priority
from paretune.propose.base import Packet, Proposal
from paretune.propose.guards import Rejected

D = TypeVar("D", bound=Decision)


class Evaluate(Protocol):
    """Scores candidates; see `paretune.evaluate.evaluator.Evaluator`."""

    def keys(self, requests: Sequence[RolloutRequest]) -> list[str]: ...

    def start(
        self, requests: Sequence[RolloutRequest], priority: Priority = Priority.FULL
    ) -> Awaitable[list[Outcome]]:
        """The budget is drawn before it returns, so that lanes draw in the order of their calls."""
        ...

    async def evaluate(
        self, requests: Sequence[RolloutRequest], priority: Priority = Priority.FULL
    ) -> list[Outcome]: ...


@dataclass(frozen=True, slots=True)
class Drafted:
    """What came of asking the proposer: the fact's key, and the proposal or why it is unusable."""

    key: str
    result: Proposal | Rejected


class Propose(Protocol):
    """Asks the proposer, once per packet."""

    async def propose(self, packet: Packet) -> Drafted: ...


class Record(Protocol):
    """The decision log. What is on record is returned, not decided again."""

    async def step(self, key: str, decide: Callable[[], D]) -> D:
        """The decision of this key, made now if there is none yet."""
        ...

    async def chance(self, key: str, decide: Callable[[], D | None]) -> D | None:
        """A decision that may not be taken (a stop by time): asked only past the end of the log."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything a search acts through."""

    evaluate: Evaluate
    propose: Propose
    record: Record
    ledger: Ledger
    live_stop: LiveStop
