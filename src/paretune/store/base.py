"""The store: runs, their facts, decisions and attempts. Everything else is a fold over these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from paretune.core.canonical import JsonValue
from paretune.core.errors import ParetuneError

RunStatus = Literal["queued", "running", "paused", "failed", "cancelled", "succeeded"]
SETTLED: tuple[RunStatus, ...] = ("succeeded", "cancelled")
"""Nothing changes the job of such a run any more."""
Wish = Literal["", "pause", "cancel"]
Role = Literal["rollout", "proposal", "verdict", "proxy"]
FactKind = Literal["rollout", "proposal", "verdict", "failure", "rejection"]


class StoreError(ParetuneError):
    """The store cannot be read or written; names the file and what to do."""


class UnknownRun(ParetuneError):
    """No run of this id (or more than one run whose id starts so)."""


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a job. `job` is the resolved document without secrets, `status_detail` says why."""

    id: str
    name: str
    created_at: str
    job: Mapping[str, JsonValue]
    status: RunStatus = "queued"
    status_detail: str = ""
    wish: Wish = ""


class Fact(NamedTuple):
    """A paid result, found by what was asked.

    `scope` is empty for results that any run may use, or the id of the one run that may (failures are
    never handed to another run). `body` is canonical; `seconds` and `at` are observations beside it.
    """

    key: str
    kind: FactKind
    body: Mapping[str, JsonValue]
    scope: str = ""
    paid_by: str = ""
    seconds: float = 0.0
    at: str = ""


@dataclass(frozen=True, slots=True)
class Draw:
    """This run uses this fact, though no attempt of its own was done for it. Repeating it changes nothing."""

    key: str


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """One line of the decision log. `seq` counts from 0 without gaps, `key` is unique in the run.

    `chain` is the digest of this decision and of the chain before it. `elapsed` is the run's active
    time in seconds.
    """

    seq: int
    key: str
    body: Mapping[str, JsonValue]
    chain: str
    elapsed: float = 0.0
    at: str = ""


class AttemptBegun(NamedTuple):
    """Committed before the call goes out, so that a killed run knows what it may have paid for."""

    id: str
    key: str
    role: Role
    number: int
    reserved_usd: float = 0.0
    at: str = ""


class AttemptEnded(NamedTuple):
    """How an attempt ended: `done`, `failed` (the far side or the wire said so), `lost` (killed) or `unsent`
    (booked ahead, and the run came to rest before its turn)."""

    id: str
    outcome: Literal["done", "failed", "lost", "unsent"]
    failure: str = ""
    message: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = None
    seconds: float = 0.0
    at: str = ""


@dataclass(frozen=True, slots=True)
class StatusSet:
    """The run's new status. Clears any wish when `clear_wish`."""

    status: RunStatus
    detail: str = ""
    clear_wish: bool = False


Write = Fact | Draw | StoredDecision | AttemptBegun | AttemptEnded | StatusSet


@dataclass(frozen=True, slots=True)
class Attempt:
    """Both ends of one attempt; `ended` is None while in flight or after a kill.

    `place` counts up in the order in which the run's attempts began, with gaps; it is this store's own.
    """

    begun: AttemptBegun
    ended: AttemptEnded | None = field(default=None)
    place: int = field(default=0, compare=False)


class Store(Protocol):
    """One behaviour, several places. Every method may be called from any thread."""

    def create_run(self, run: Run) -> None:
        """Add a run. Raises StoreError if the id exists."""
        ...

    def runs(self) -> list[Run]:
        """All runs, newest first."""
        ...

    def headings(self) -> list[Run]:
        """All runs, newest first; the jobs of those that have `SETTLED` are left out, and empty."""
        ...

    def run(self, run_id: str) -> Run:
        """The run of this id, or the only one whose id starts so. Raises UnknownRun."""
        ...

    def commit(self, run_id: str, writes: Sequence[Write]) -> frozenset[str]:
        """All writes in one transaction, durable on return. Gives the keys of the facts that something else
        is kept for.

        A fact or draw that is there already stays as it is. Raises StoreError if a decision's `seq`
        or `key` is taken by another decision, or an attempt is ended that never began.
        """
        ...

    def facts(self, keys: Sequence[str], scope: str = "") -> dict[str, Fact]:
        """Those of `keys` that are known, in the run's own scope first, then in everybody's."""
        ...

    def drawn(self, run_id: str) -> list[str]:
        """Keys of the facts that the run uses, sorted: drawn, or of an attempt of its own that is done."""
        ...

    def draws(self, run_id: str, known: int = -1) -> list[str]:
        """Of `drawn` those that were drawn, attempts aside; none if there are exactly `known` of them."""
        ...

    def own(self, run_id: str) -> list[str]:
        """Keys of the facts that no other run may use, sorted: its failures above all."""
        ...

    def decisions(self, run_id: str, since: int = 0) -> list[StoredDecision]:
        """The log in order, from `seq` `since` on."""
        ...

    def attempts(self, run_id: str, since: int = 0, again: Sequence[int] = ()) -> list[Attempt]:
        """Attempts of the run, in the order in which they began: those behind place `since`, and those at the
        places `again`."""
        ...

    def attempts_of(self, run_id: str, key: str) -> list[Attempt]:
        """The run's attempts for this key, in the order in which they began."""
        ...

    def forget_failures(self, run_id: str, keys: Sequence[str]) -> None:
        """Remove failures that no decision has read, so that `resume` asks again."""
        ...

    def wish(self, run_id: str, wish: Wish) -> None:
        """Ask the run's process to pause or cancel; it looks every second."""
        ...

    def claim(self, run_id: str) -> AbstractContextManager[bool]:
        """False if a process that this one shares no folder with works on the run; else no such process may
        while the context lasts. For stores of several machines; who shares a file has the lock beside it."""
        ...

    def set_limits(self, run_id: str, limits: Mapping[str, JsonValue]) -> None:
        """These stand as `limits` in the run's job from now on."""
        ...

    def close(self) -> None: ...
