"""Asking the proposer: once per packet, booked and kept like every paid result."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
from collections.abc import Callable, Coroutine, Generator, Mapping
from typing import Any

from paretune.algorithms.ports import Drafted
from paretune.core.budget import Ledger
from paretune.core.candidate import CandidateId
from paretune.core.canonical import JsonValue, canonical_json, digest
from paretune.core.errors import AttemptFailed, FailureKind, RunFailed
from paretune.core.retry import RetryPolicy, retrying
from paretune.core.rollout import Usage
from paretune.evaluate.facts import priced
from paretune.evaluate.purse import released
from paretune.propose.base import Packet, Proposal, Proposer, Reasons
from paretune.propose.guards import Reason, Rejected
from paretune.propose.instructions import SUMMARY_PROMPT_TOKENS, summary_calls
from paretune.store import as_stored
from paretune.store.base import Fact
from paretune.store.book import RunBook

PROPOSAL_VERSION = 1
SPELLED_OUT = 64
"""Proposals that were turned down stand in a packet's record one by one up to so many."""
GIVE_UP_AFTER = 3
"""Packets in a row without an answer, each asked after the one before had failed."""

CHARACTERS_A_TOKEN, WORDS_AROUND = 3, 1_000
"""For the most tokens of a prompt: those of its packet by its length, and those of the instructions."""


class Drafting:
    """A proposal that is under way: await it."""

    def __init__(
        self, work: Callable[[Drafting], Coroutine[Any, Any, Drafted]], clock: Callable[[], float]
    ) -> None:
        self._clock = clock
        self._began: float | None = None
        self._took: float | None = None
        self._task = asyncio.create_task(work(self))

    def __await__(self) -> Generator[Any, None, Drafted]:
        return self._task.__await__()

    def called(self) -> None:
        """A call goes out; the first one counts."""
        if self._began is None:
            self._began = self._clock()

    def known(self, seconds: float) -> None:
        """It has a fact with these seconds."""
        self._took = seconds

    def answered(self) -> float:
        """There will be no further call; the seconds until now."""
        self._took = self.seconds()
        return self._took

    def seconds(self) -> float:
        """Those of the fact, from the first call until its result, in whole microseconds; or so far."""
        if self._took is not None:
            return self._took
        return 0.0 if self._began is None else round(self._clock() - self._began, 6)


class Proposals:
    """The `Propose` port. `price` gives the money to reserve for a packet, `decided` the number of
    decisions so far. `longest` is the most tokens of an answer, None where nobody knows.

    A proposer that gives no answer costs the step, not the run, until that happens `GIVE_UP_AFTER` times
    in a row. What was under way already when the last of these failed, for other lanes, tells nothing new.
    A refused key ends the run at once.
    """

    def __init__(
        self,
        book: RunBook,
        ledger: Ledger,
        proposer: Proposer,
        *,
        retry: RetryPolicy = RetryPolicy(),
        price: Callable[[Packet], float] = lambda packet: 0.0,
        longest: int | None = None,
        decided: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._book = book
        self._ledger = ledger
        self._proposer = proposer
        self._retry = retry
        self._price = price
        self._longest = longest
        self._decided = decided
        self._clock = clock
        self._failures = 0
        self._heard = 0
        self._summed = {digest([], 32)}  # the rows that a proposer knows already

    def start(self, packet: Packet) -> Drafting:
        """Await it for the proposal of this packet, or why there is none. That raises BudgetExceeded and
        RunFailed."""
        return Drafting(lambda drafting: self._propose(packet, drafting), self._clock)

    async def _propose(self, packet: Packet, drafting: Drafting) -> Drafted:
        key = "p_" + digest([PROPOSAL_VERSION, self._proposer.identity, packet_record(packet)], 32)
        fact = (await self._book.known([key])).get(key)
        if fact is None:
            made = await self._ask(key, packet, drafting)
            fact = made or (await self._book.known([key]))[key]
        elif fact.paid_by != self._book.run_id:
            await self._book.draw([key])
            self._ledger.reuse("proposal")
        drafting.known(fact.seconds)
        return Drafted(key, _result(fact))

    async def _ask(self, key: str, packet: Packet, drafting: Drafting) -> Fact | None:
        """The fact as a resumed run will find it; None if something else is kept for this key."""
        heard = self._heard
        try:
            made = await retrying(
                lambda number: self._attempt(key, packet, number, drafting),
                self._retry,
                sleep=asyncio.sleep,
                rng=random.Random(),
            )
        except AttemptFailed as error:
            await self._without(key, error, drafting, news=heard == self._heard)
            return None
        self._failures = 0
        return made

    async def _attempt(self, key: str, packet: Packet, number: int, drafting: Drafting) -> Fact | None:
        tokens = self._tokens(packet)
        while self._ledger.must_wait("proposal", tokens):
            await released(self._ledger)
        usd = self._ledger.reserve(f"{key}/{number}", self._price(packet), "proposal", tokens)
        try:
            attempt = await self._book.begin(key, "proposal", number, usd)
        except BaseException:
            self._ledger.release(f"{key}/{number}")
            raise
        began = self._clock()
        drafting.called()
        result: Proposal | Rejected
        try:
            result = await self._proposer.propose(packet)
        except Rejected as rejection:
            result = rejection
        except AttemptFailed as error:
            self._ledger.give_up(f"{key}/{number}", "proposal", error.kind, usd)
            await self._book.failed(attempt, error)
            raise
        except BaseException:
            self._ledger.release(f"{key}/{number}")
            raise
        seconds, took = self._clock() - began, drafting.answered()
        self._summed.add(_rows(packet))
        paid = priced(result.usage, usd)
        self._ledger.settle(f"{key}/{number}", "proposal", paid, seconds)
        fact = _fact(key, result)._replace(seconds=took)
        return as_stored(fact) if await self._book.done(attempt, fact, paid, seconds) else None

    def _tokens(self, packet: Packet) -> int | None:
        """The most that this packet can take, by its size; None where nobody knows how long an answer is."""
        if self._longest is None:
            return None
        if not self._longest:
            return 0
        size = len(canonical_json(packet_record(packet)))
        longest = size // CHARACTERS_A_TOKEN + WORDS_AROUND + self._longest
        grounding = packet.grounding
        if grounding is None:
            return longest
        shown = sum(len(text) for e in grounding.demonstrations for text in (e.input, e.output, e.expected))
        known = _rows(packet) in self._summed
        calls = 0 if known else summary_calls(len(grounding.rows))
        return longest + shown // CHARACTERS_A_TOKEN + calls * (SUMMARY_PROMPT_TOKENS + self._longest)

    async def _without(self, key: str, error: AttemptFailed, drafting: Drafting, *, news: bool) -> None:
        """`news` unless another packet failed since this one was asked."""
        if news:
            self._failures += 1
            self._heard += 1
        if error.kind is FailureKind.UNAUTHORISED or self._failures >= GIVE_UP_AFTER:
            raise RunFailed("the proposer gives no answer", str(error)) from error
        took = drafting.answered()
        fact = _fact(key, Rejected(Reason.PROPOSER_FAILED, str(error)))
        body = {**fact.body, "after": self._decided()}
        kept = fact._replace(kind="failure", body=body, seconds=took)
        await self._book.keep_failure(kept)


def _rows(packet: Packet) -> str:
    return digest(list(packet.grounding.rows) if packet.grounding else [], 32)


def packet_record(packet: Packet) -> dict[str, JsonValue]:
    """What the proposal's key is made of, with a digest for each record of evidence."""
    record: dict[str, JsonValue] = {
        "parent": dict(packet.parent.components),
        "targets": list(packet.targets),
        "grandparent": dict(packet.grandparent.components) if packet.grandparent else None,
        "evidence": [e.digest for e in packet.evidence],
        "examples": [e.digest for e in packet.examples],
        "surface": dataclasses.asdict(packet.surface),
        "rejected": [[dict(t.components), t.reason] for t in packet.rejected],
        "tried": _tried(packet.tried),
        "draw": packet.draw,
    }
    if packet.grounding is not None:
        record["grounding"] = packet.grounding.record()
    return record


def _tried(tried: Mapping[CandidateId, str]) -> JsonValue:
    """All of it while it is short: each packet has more, and writing it out would take ever longer."""
    if isinstance(tried, Reasons) and len(tried) > SPELLED_OUT:
        return [len(tried), f"{tried.total:064x}"]
    return dict(tried)


def _fact(key: str, result: Proposal | Rejected) -> Fact:
    body: dict[str, Any] = {"version": PROPOSAL_VERSION, "usage": dataclasses.asdict(result.usage)}
    if isinstance(result, Rejected):
        body |= {"reason": result.reason.value, "detail": result.detail, "transcript": result.transcript}
        return Fact(key, "rejection", body)
    body |= {
        "components": dict(result.components),
        "rationale": result.rationale,
        "demonstrations": list(result.demonstrations),
        "transcript": result.transcript,
    }
    return Fact(key, "proposal", body)


def _result(fact: Fact) -> Proposal | Rejected:
    body = fact.body
    usage = Usage(**body["usage"])
    if fact.kind != "proposal":
        return Rejected(Reason(body["reason"]), body["detail"], usage=usage, transcript=body["transcript"])
    return Proposal(
        components=body["components"],
        rationale=body["rationale"],
        demonstrations=tuple(body["demonstrations"]),
        usage=usage,
        transcript=body["transcript"],
    )
