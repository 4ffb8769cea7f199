"""One run: start, resume, pause, cancel, finish."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from paretune.algorithms.finish import Finish
from paretune.algorithms.gepa import Gepa, Ports
from paretune.algorithms.mipro import Mipro
from paretune.algorithms.phases import Phases
from paretune.algorithms.trunk import Trunk
from paretune.core import events
from paretune.core.budget import PAID, Ledger, together
from paretune.core.candidate import Candidate
from paretune.core.errors import BudgetExceeded, Cancelled, FailureKind, Paused, RunFailed
from paretune.core.rollout import Usage
from paretune.engine.job import Job, split_digests
from paretune.engine.outlook import Outlook, outlook, rollouts_ahead
from paretune.engine.proposals import Proposals
from paretune.engine.record import Diverged, Observer, RunRecord
from paretune.engine.standing import Course, Standing
from paretune.engine.tiers import cheap_tier
from paretune.evaluate.evaluator import Evaluator
from paretune.evaluate.executors import Closes, Executor
from paretune.evaluate.health import Health
from paretune.evaluate.verifier.executor import Pays
from paretune.propose.base import Packet, Proposer
from paretune.store.base import Attempt, Store
from paretune.store.book import RunBook

DRAIN_SECONDS = 10.0
LOOKED_AT = 500
"""Facts that are in memory at once when all of a run's are gone through."""
WISH_EVERY_SECONDS = 1.0


@dataclass(slots=True)
class Live:
    """What may be looked at while the run works."""

    job: Job
    ledger: Ledger
    record: RunRecord
    evaluator: Evaluator
    course: Course = field(default_factory=Course)
    _searched: int = 0

    def decided(self, decision: events.Decision) -> None:
        """Called with each decision, in order."""
        self.course = self.course.after(decision, self.record.reached)
        if isinstance(decision, events.BestChosen):
            finals = len(decision.means) * len(self.job.splits.select)
            self._searched = len(self.ledger.drawn) - finals
        elif not self.course.best:
            self._searched = len(self.ledger.drawn)

    def outlook(self) -> Outlook:
        """The forecast of the run at this moment."""
        ledger, queue = self.ledger, self.evaluator.state
        standing = Standing(
            self.course,
            drawn=len(ledger.drawn),
            elapsed=self.record.elapsed,
            timed=ledger.role("rollout").calls,
            out=queue.in_flight + queue.waiting,
            closing=len(ledger.drawn) - self._searched if self.course.ended else 0,
            spent=ledger.by_role,
        )
        return outlook(self.job, standing)


@dataclass(frozen=True, slots=True)
class Watch:
    """How to follow a run: told every decision, and handed the live counters once."""

    decision: Observer = lambda decision: None
    live: Callable[[Live], None] = lambda live: None


def searching(job: Job, ports: Ports) -> Gepa | Trunk | Mipro | Phases:
    """The search of the job's algorithm."""
    parts = job.splits, job.surface, job.settings, ports
    if job.mipro is not None:
        return Mipro(*parts, mipro=job.mipro) if job.algorithm == "mipro" else Phases(*parts, job.mipro)
    return Trunk(*parts) if job.settings.pipeline.lanes else Gepa(*parts)


@dataclass(slots=True)
class Runner:
    """Carries one job to its end, from wherever its record stands.

    `stop` may be set from a signal handler: the run then rests as after `pause`. `clock` gives the
    seconds that all times are measured in. `search` makes the search; without a word it is the one that the
    job names.
    """

    store: Store
    run_id: str
    job: Job
    executor: Executor | Pays
    proposer: Proposer
    watch: Watch = Watch()
    verify: bool = False
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    clock: Callable[[], float] = time.monotonic
    search: Callable[[Job, Ports], Gepa | Trunk | Mipro | Phases] = searching
    _live: Live = field(init=False)

    async def run(self) -> Candidate:
        """The best candidate. Raises RunFailed, Paused or Cancelled; the status is on record by then."""
        book = RunBook(self.store, self.run_id, now=_now)
        try:
            return await self._guarded(book)
        finally:
            if isinstance(self.executor, Closes):
                self.executor.close()
            await book.close()

    async def _guarded(self, book: RunBook) -> Candidate:
        await book.status("running", clear_wish=True)
        try:
            best = await self._session(book)
            await book.flush()
        except Paused as rest:
            await book.status("paused", str(rest), clear_wish=True)
            raise
        except Cancelled as end:
            await book.status("cancelled", str(end), clear_wish=True)
            raise
        except BudgetExceeded as empty:
            failure = RunFailed("the budget ended before the closing evaluation", str(empty))
            await book.status("failed", str(failure), clear_wish=True)
            raise failure from empty
        except RunFailed as failure:
            await book.status("failed", str(failure), clear_wish=True)
            raise
        except Exception as error:
            await book.status("failed", f"{type(error).__name__}: {error}", clear_wish=True)
            raise
        await book.status("succeeded", clear_wish=True)
        return best

    async def _session(self, book: RunBook) -> Candidate:
        ledger = Ledger(self.job.limits)
        restore(ledger, await book.lose_unfinished())
        log = self.store.decisions(self.run_id)
        self._forget_unread_failures(len(log))
        record = RunRecord(book, log, clock=self.clock, observe=self._decided, verify=self.verify)
        del log  # the record lets go of what it has passed
        ledger.closed = record.stop_ahead
        evaluator = Evaluator(
            book,
            ledger,
            self.executor.opened(book, ledger, self.clock)
            if isinstance(self.executor, Pays)
            else self.executor,
            self.job.identity,
            queue=self.job.queue,
            health=Health(self.job.tolerance),
            price=lambda: self.job.prices.rollout or 0.0,
            tokens=self.job.prices.rollout_tokens,
            lo=cheap_tier(self.job),
            decided=lambda: record.decided,
            clock=self.clock,
        )
        proposals = Proposals(
            book,
            ledger,
            self.proposer,
            price=self._price,
            longest=self.job.prices.answer_tokens,
            decided=lambda: record.decided,
            clock=self.clock,
        )
        self._live = Live(self.job, ledger, record, evaluator)
        self.watch.live(self._live)
        search = asyncio.create_task(self._search(ledger, record, evaluator, proposals))
        watcher = asyncio.create_task(self._wishes(book))
        try:
            await asyncio.wait({search, watcher}, return_when=asyncio.FIRST_COMPLETED)
            if not search.done():
                await evaluator.drain(DRAIN_SECONDS)
                await asyncio.wait({search}, timeout=DRAIN_SECONDS)  # a proposal that is out comes home too
                search.cancel()
                (end,) = await asyncio.gather(search, return_exceptions=True)
                if isinstance(end, BaseException):
                    watcher.result()
            return search.result()
        finally:
            search.cancel()
            watcher.cancel()
            await asyncio.gather(search, watcher, return_exceptions=True)
            await evaluator.drain(DRAIN_SECONDS)

    async def _search(
        self, ledger: Ledger, record: RunRecord, evaluator: Evaluator, proposals: Proposals
    ) -> Candidate:
        job = self.job
        started = await record.step(
            "start",
            lambda: events.RunStarted(
                job=job.digest,
                seed=job.settings.seed,
                candidate=job.seed.id,
                splits=split_digests(job.splits),
            ),
        )
        if started.job != job.digest:
            raise Diverged(f"{self.run_id} was begun with another job; go on with the one it was begun with")
        ports = Ports(
            evaluator, proposals, record, ledger, lambda step: self._live_stop(step, ledger, record)
        )
        search = self.search(job, ports)
        await search.run(job.seed)
        ledger.reopen()
        finish = Finish(job.splits, evaluator, record, ledger)
        best = await finish.best(search.contenders(), job.settings.finalists)
        test = await finish.report(job.seed, best, job.noise_replicates)
        await record.step("finish", lambda: events.RunFinished(best=best.id, test=test))
        return best

    def _live_stop(self, step: int, ledger: Ledger, record: RunRecord) -> events.SearchEnded | None:
        """Time, tokens and money: asked once per new step, with a step of each lane and the end kept back."""
        limits = self.job.limits
        if limits.seconds is not None and record.elapsed >= limits.seconds:
            return _ended(step, "time", f"{record.elapsed:.0f} s of {limits.seconds:g} s")
        rollouts = rollouts_ahead(self.job)
        proposals = max(1, self.job.settings.pipeline.lanes)
        ahead = {
            "rollout": rollouts * ledger.mean_tokens("rollout") + (self.job.prices.rollout_tokens or 0),
            "proposal": proposals * ledger.mean_tokens("proposal"),
            "verdict": rollouts * self.job.prices.judges * ledger.mean_tokens("verdict"),
        }
        if limits.tokens is not None and ledger.tokens + sum(ahead.values()) > limits.tokens:
            return _ended(step, "tokens", f"{ledger.tokens} of {limits.tokens} tokens")
        for role, tokens in ahead.items():
            cap, spent = limits.tokens_of(role), ledger.tokens_of(role)
            if cap is not None and spent + tokens > cap:
                return _ended(step, f"{role}_tokens", f"{spent} of {cap} tokens")
        if limits.cost_usd is not None:
            price = sum(self._usd_ahead(rollouts, proposals).values())
            if ledger.cost_usd + price > limits.cost_usd:
                return _ended(step, "cost_usd", f"${ledger.cost_usd:.4f} of ${limits.cost_usd:g} spent")
        for role, usd in self._usd_ahead(rollouts, proposals).items():
            most = limits.usd_of(role)
            paid = sum(ledger.role(one).usd for one in together(role))
            if most is not None and paid + usd > most:
                return _ended(step, f"{role}_usd", f"${paid:.4f} of ${most:g} spent")
        return None

    def _usd_ahead(self, rollouts: float, proposals: int) -> dict[str, float]:
        """Money of so many rollouts and proposals; what nobody knows counts as nothing."""
        prices = self.job.prices
        return {
            "rollout": rollouts * (prices.rollout or 0.0),
            "proposal": proposals * (prices.proposal or 0.0),
            "verdict": rollouts * prices.judges * (prices.verdict or 0.0),
        }

    def _decided(self, decision: events.Decision) -> None:
        if isinstance(decision, events.SearchEnded) and decision.reason in PAID:
            self._live.ledger.closed = True  # to work that other lanes begin to pay only now
        self._live.decided(decision)
        self.watch.decision(decision)

    def _price(self, packet: Packet) -> float:
        return self.job.prices.proposal or 0.0

    def _forget_unread_failures(self, decided: int) -> None:
        """Failures that no decision has read are asked again; read ones are part of the record."""
        unread: list[str] = []
        own = self.store.own(self.run_id)
        for start in range(0, len(own), LOOKED_AT):
            known = self.store.facts(own[start : start + LOOKED_AT], self.run_id).values()
            unread += [f.key for f in known if f.kind == "failure" and f.body["after"] >= decided]
        if unread:
            self.store.forget_failures(self.run_id, unread)

    async def _wishes(self, book: RunBook) -> None:
        """Returns by raising Paused or Cancelled once somebody asked for it."""
        while True:
            try:
                await asyncio.wait_for(self.stop.wait(), WISH_EVERY_SECONDS)
            except TimeoutError:
                wish = (await book.run()).wish
                if wish == "cancel":
                    raise Cancelled("cancelled on request") from None
                if wish == "pause":
                    raise Paused("paused on request") from None
            else:
                raise Paused("interrupted")


def restore(ledger: Ledger, attempts: list[Attempt]) -> None:
    """Book what earlier sessions of the run paid, failed and lost."""
    for attempt in attempts:
        begun, ended = attempt.begun, attempt.ended
        if ended is None or ended.outcome == "lost":
            ledger.lose(begun.id, begun.role, begun.reserved_usd)
        elif ended.outcome == "unsent":
            continue
        elif ended.outcome == "failed":
            ledger.give_up(begun.id, begun.role, FailureKind(ended.failure), begun.reserved_usd)
        else:
            usage = Usage(ended.prompt_tokens, ended.completion_tokens, ended.cost_usd)
            ledger.settle(begun.id, begun.role, usage, ended.seconds)


def _ended(step: int, reason: str, detail: str) -> events.SearchEnded:
    return events.SearchEnded(step=step, reason=reason, detail=detail)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
