"""A search put together from its parts, for tests that look into the pool."""

from __future__ import annotations

from paretune.algorithms.gepa import Gepa, Ports
from paretune.algorithms.trunk import Trunk
from paretune.core.budget import Ledger
from paretune.engine.proposals import Proposals
from paretune.engine.record import RunRecord
from paretune.engine.tiers import cheap_tier
from paretune.evaluate.evaluator import Evaluator
from paretune.evaluate.health import Health
from paretune.store import MemoryStore
from paretune.store.book import RunBook
from support.rulebook import RulebookExecutor
from support.runs import Case, begin


async def searched(case: Case, executor: RulebookExecutor) -> tuple[MemoryStore, str, Gepa | Trunk]:
    """The search of this case without its closing evaluation, as the runner puts it together."""
    store, job, proposer = MemoryStore(), case.job(), case.proposer()
    run_id = begin(store, job, proposer)
    book = RunBook(store, run_id, now=lambda: "")
    ledger, record = Ledger(job.limits), RunRecord(book, [])
    evaluator = Evaluator(
        book,
        ledger,
        executor,
        job.identity,
        queue=job.queue,
        health=Health(1.0),
        lo=cheap_tier(job),
        decided=lambda: record.decided,
    )
    ports = Ports(evaluator, Proposals(book, ledger, proposer), record, ledger, lambda step: None)
    kind = Trunk if job.settings.pipeline.lanes else Gepa
    gepa = kind(job.splits, job.surface, job.settings, ports)
    try:
        await gepa.run(job.seed)
    finally:
        await book.close()
    return store, run_id, gepa
