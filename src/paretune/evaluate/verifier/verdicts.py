"""Asking judges: each question once, booked and kept like every paid result."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from paretune.core.budget import Ledger
from paretune.core.canonical import JsonValue, digest
from paretune.core.errors import AttemptFailed, BudgetExceeded, FailureKind, RunFailed
from paretune.core.retry import RetryPolicy
from paretune.core.rollout import Usage
from paretune.evaluate.facts import priced
from paretune.evaluate.verifier.graph import Verdict, verdict_of
from paretune.evaluate.verifier.judge import Judge, Judgement, Mark
from paretune.evaluate.verifier.rubric import Graph, Node
from paretune.evaluate.verifier.subject import Subject
from paretune.store import as_stored
from paretune.store.base import Fact
from paretune.store.book import RunBook

VERDICT_VERSION = 1
MALFORMED = frozenset({FailureKind.BAD_ANSWER, FailureKind.NOT_JSON})
"""A model that wrote something else may write a verdict when asked again."""
SHARES = 2**32


@dataclass(frozen=True, slots=True)
class Verifier:
    """A graph, and a judge for each of its nodes with a rubric. `name` is what people call it.

    `usd` and `tokens` are the most that one call takes, None where nobody knows. At most `concurrency`
    calls are out. Of all verdicts the share `repeat` is asked twice: by how much two of them differ is the
    judge's noise.
    """

    graph: Graph
    judges: Mapping[str, Judge]
    name: str = ""
    concurrency: int = 8
    retry: RetryPolicy = RetryPolicy(attempts=6, base=0.5)
    usd: float | None = None
    tokens: int | None = None
    repeat: float = 0.0

    @property
    def identity(self) -> str:
        """Equal identities give exchangeable verdicts."""
        who = {name: judge.identity for name, judge in sorted(self.judges.items())}
        return f"verifier {digest([VERDICT_VERSION, self.graph.record(), who], 16)}"


@dataclass(slots=True, eq=False)
class Verdicts:
    """What judges say, for one run. `clock` and `sleep` are in seconds.

    The first call of a judge for a rollout is reserved with that rollout (`Ledger.brings`); what else is
    asked reserves for itself, and is not asked where the budget does not hold it.
    """

    verifier: Verifier
    book: RunBook
    ledger: Ledger
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _slots: asyncio.Semaphore = field(init=False)
    _out: dict[str, asyncio.Future[None]] = field(default_factory=dict)
    _drawn: set[str] = field(default_factory=set)
    _held_until: float = field(default=float("-inf"), init=False)
    _rng: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.verifier.concurrency)

    async def of(self, subject: Subject) -> Verdict:
        """The verdict on this. Raises AttemptFailed(VERIFIER) with the reason, RunFailed if the verifier
        refuses the key."""
        try:
            return await verdict_of(self.verifier.graph, partial(self._judged, subject))
        except AttemptFailed as error:
            if error.kind is FailureKind.UNAUTHORISED:
                raise RunFailed("the verifier refuses the key", error.message) from error
            said = error.message if error.kind is FailureKind.VERIFIER else str(error)
            raise AttemptFailed(FailureKind.VERIFIER, f"no verdict: {said}") from error

    async def _judged(self, subject: Subject, node: Node, before: tuple[Judgement, ...]) -> Judgement:
        if before:
            subject = replace(subject, notes=tuple(_note(judgement) for judgement in before))
        judge = self.verifier.judges[node.name]
        first = self._key(judge, subject, 0)
        if not self._is_repeated(first):
            return await self._known(first, judge, subject, first)
        again = asyncio.create_task(self._again(judge, subject, first))
        try:
            found = await self._known(first, judge, subject, first)
            await again
            return found
        finally:
            again.cancel()

    def _key(self, judge: Judge, subject: Subject, draw: int) -> str:
        return "v_" + digest([VERDICT_VERSION, judge.identity, subject.digest, draw], 32)

    def _is_repeated(self, key: str) -> bool:
        """By the key, so that it is the same verdicts in whatever order they are asked."""
        return int(key[2:10], 16) < self.verifier.repeat * SHARES

    async def _again(self, judge: Judge, subject: Subject, first: str) -> None:
        """The same question once more, of which nothing depends."""
        with contextlib.suppress(AttemptFailed):
            await self._known(self._key(judge, subject, 1), judge, subject, first)

    async def _known(self, key: str, judge: Judge, subject: Subject, first: str) -> Judgement:
        """From its fact, or from whoever asks already, or from the judge."""
        while (other := self._out.get(key)) is not None:
            await asyncio.wait({other})
        mine = self._out[key] = asyncio.get_running_loop().create_future()
        try:
            fact = (await self.book.known([key])).get(key)
            if fact is None:
                fact = await self._ask(key, judge, subject, first)
            elif fact.paid_by != self.book.run_id and key not in self._drawn:
                self._drawn.add(key)
                await self.book.draw([key])
                self.ledger.reuse("verdict")
        finally:
            del self._out[key]
            mine.set_result(None)
        return judgement_in(fact, judge.name)

    # -- one call ---------------------------------------------------------------------------------

    async def _ask(self, key: str, judge: Judge, subject: Subject, first: str) -> Fact:
        number, began, covered = 1, self.clock(), key == first
        policy = self.verifier.retry if covered else replace(self.verifier.retry, attempts=1)
        while True:
            async with self._slots:
                while (rest := self._held_until - self.clock()) > 0:
                    await self.sleep(rest)
                try:
                    return await self._attempt(key, judge, subject, first, number, began)
                except AttemptFailed as error:
                    wait = _wait(policy, number, error, self._rng)
                    if wait is None:
                        raise
                    if error.retry_after is not None:
                        self._held_until = max(self._held_until, self.clock() + wait)
                        wait = 0.0
            await self.sleep(wait)
            number += 1

    async def _attempt(
        self, key: str, judge: Judge, subject: Subject, first: str, number: int, began: float
    ) -> Fact:
        usd, reservation = self._reserved(key, number, covered=key == first and number == 1)
        try:
            attempt = await self.book.begin(key, "verdict", number, usd)
            out = self.clock()
            try:
                judgement, usage = await judge.ask(subject)
            except AttemptFailed as error:
                self.ledger.give_up(reservation, "verdict", error.kind, usd)
                await self.book.failed(attempt, error)
                raise
        except BaseException:
            self.ledger.release(reservation)
            raise
        seconds, paid = self.clock() - out, priced(usage, usd)
        self.ledger.settle(reservation, "verdict", paid, seconds)
        fact = Fact(key, "verdict", _body(judge, subject, judgement, usage, first))
        fact = fact._replace(seconds=round(self.clock() - began, 6))
        if await self.book.done(attempt, fact, paid, seconds):
            return as_stored(fact)
        return (await self.book.known([key]))[key]

    def _reserved(self, key: str, number: int, *, covered: bool) -> tuple[float, str]:
        """The money held for this attempt, and the name it is held under.

        Raises AttemptFailed(VERIFIER) if the budget does not hold it.
        """
        usd, name = self.verifier.usd or 0.0, f"{key}/{number}"
        if covered:
            return usd, name
        try:
            return self.ledger.reserve(name, usd, "verdict", self.verifier.tokens), name
        except BudgetExceeded as error:
            raise AttemptFailed(
                FailureKind.VERIFIER, f"the budget does not hold another call: {error}"
            ) from error


def _wait(policy: RetryPolicy, number: int, error: AttemptFailed, rng: random.Random) -> float | None:
    """Seconds before the next attempt, None to give up."""
    if error.kind in MALFORMED and number < min(policy.attempts, 3):
        return policy.jitter(number, rng)
    return policy.wait(number, error, rng)


def _note(judgement: Judgement) -> str:
    words = [f"{mark.criterion}: {mark.score:g} ({mark.explanation})" for mark in judgement.marks]
    rewards = [
        f"{part} {value:.3f}" for part in ("events", "outcome") if (value := judgement.part(part)) is not None
    ]
    return "; ".join([", ".join(rewards), *words])


def _body(
    judge: Judge, subject: Subject, judgement: Judgement, usage: Usage, first: str
) -> Mapping[str, JsonValue]:
    """`of` is the key of the first verdict on the same: a repeated one names another key than its own."""
    return {
        "version": VERDICT_VERSION,
        "judge": judge.identity,
        "subject": subject.digest,
        "of": first,
        "events": judgement.events,
        "outcome": judgement.outcome,
        "marks": [
            {name: value for name, value in asdict(mark).items() if name != "node"}
            for mark in judgement.marks
        ],
        "usage": asdict(usage),
    }


def judgement_in(fact: Fact, node: str) -> Judgement:
    """Raises ValueError if it is no verdict, or one of a newer version."""
    body: Mapping[str, Any] = fact.body
    if fact.kind != "verdict" or body["version"] > VERDICT_VERSION:
        raise ValueError(f"fact {fact.key} is a {fact.kind} of version {body.get('version')}")
    marks = tuple(Mark(node, **mark) for mark in body["marks"])
    return Judgement(body["events"], body["outcome"], marks)
