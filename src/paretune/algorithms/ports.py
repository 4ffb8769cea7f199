"""What a search is handed. It decides; these act."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence, Set
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


class Work(Awaitable[list[Outcome]], Protocol):
    """Outcomes to come, in the order of `keys`. Those of `new` are asked for the first time in this run."""

    @property
    def keys(self) -> Sequence[str]: ...

    @property
    def new(self) -> Set[str]: ...

    def seconds(self, key: str) -> float:
        """Those of the fact of this key; as long as it is not home, a lower bound."""
        ...


class Evaluate(Protocol):
    """Scores candidates; see `paretune.evaluate.evaluator.Evaluator`. `concurrency` calls are out at most."""

    @property
    def concurrency(self) -> int: ...

    def keys(self, requests: Sequence[RolloutRequest]) -> list[str]: ...

    def start(self, requests: Sequence[RolloutRequest], priority: Priority = Priority.FULL) -> Work:
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


class Drafting(Awaitable[Drafted], Protocol):
    """What is to come of asking the proposer."""

    def seconds(self) -> float:
        """Those of the fact, from the first call until its result; before that, so far."""
        ...


class Propose(Protocol):
    """Asks the proposer, once per packet."""

    def start(self, packet: Packet) -> Drafting: ...


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
