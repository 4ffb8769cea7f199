"""Jobs drawn at random: whatever the numbers of a file are, the run ends, keeps its caps and can be resumed.

`make test` draws a few beside those that once went wrong, `make test-all` (marker `slow`) some hundreds.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paretune.algorithms.settings import GepaSettings, Pipeline, Proxy, ProxyRule, Rungs, Staleness
from paretune.algorithms.stops import closing_rollouts
from paretune.core.budget import Limits
from paretune.core.errors import AttemptFailed, FailureKind, RunFailed
from paretune.core.frontier import FrontierType
from paretune.core.gate import Acceptance
from paretune.core.rollout import Usage
from paretune.engine.job import Job, Prices
from paretune.engine.run import Runner
from paretune.engine.verify import check_record, replay_record
from paretune.evaluate.evaluator import QueueSettings
from paretune.evaluate.executors import Dispatch
from paretune.store import Store
from paretune.views.coverage import coverage
from paretune.views.evidence import check_packet, write_packet
from paretune.views.lift import lift_table
from paretune.views.run_view import read
from support.rulebook import Rulebook, RulebookExecutor, dice
from support.runs import CHEAP, THREE, Case, JournalStore, begin, canonical, first_difference, stands_still

ONCE_WRONG = ["1/159", "1/705", "1/1378", "2/468", "2/636", "2/703"]
"""Put-off evaluations made up for after the end; a noise floor that the money did not hold."""


def drawn(name: str) -> tuple[Case, dict[str, Any], RulebookExecutor]:
    """A case, more of its job, and a task that may fail."""
    rng = random.Random(name)
    book = Rulebook(
        rng.randrange(50),
        THREE[: rng.randint(1, 3)],
        rules=rng.choice([4, 6, 12]),
        most=rng.choice([1, 2, 3]),
        signal=rng.random() < 0.85,
    )
    shared = rng.random() < 0.3
    screened = "proxy" in name
    splits = book.splits(
        reflect=rng.randint(1, 12),
        pareto=rng.randint(1, 14) + 24 * screened,
        select=rng.choice([0, 0, 3, 8]),
        test=rng.choice([0, 4, 8]),
        shared=shared,
    )
    settings = GepaSettings(
        seed=rng.randrange(99),
        minibatch_size=rng.randint(1, 6),
        initial_size=rng.randint(1, 8),
        generations=rng.randint(1, 8),
        children_per_generation=rng.randint(1, 5),
        crossover_rate=rng.choice([0, 0.3, 0.9]),
        mutation_rate=rng.choice([0, 0.5, 1]),
        pressure=rng.choice([0, 1, 3]),
        patience=rng.choice([0, 1, 3]),
        archive_size=rng.choice([1, 2, 4, 64]),
        frontier=rng.choice(list(FrontierType)),
        acceptance=rng.choice(list(Acceptance)),
        skip_perfect=rng.random() < 0.7,
        finalists=rng.randint(1, 4),
        merge_overlap_floor=rng.choice([1, 5]),
        merge_gate_size=rng.randint(1, 6),
        target=rng.choice([None, None, 0.9]),
        pipeline=pipeline(dice("pipeline", name)) if "lanes" in name else Pipeline(),
        rungs=rungs(dice("rungs", name)),
        proxy=proxy(dice("proxy", name)) if screened else None,
    )
    least = len(splits.pareto) + closing_rollouts(splits) + 300 * screened
    money = rng.random() < 0.3
    limits = Limits(
        rollouts=rng.choice([None, least + rng.randint(0, 150), least + rng.randint(0, 40)]),
        steps=rng.choice([30, 60]),
        cost_usd=rng.uniform(0.2, 0.9) if money else None,
        tokens=rng.choice([None, None, 4000]),
    )
    tolerance, share = rng.choice([0.25, 1.0]), rng.choice([0, 0, 0.05, 0.15])
    queue = QueueSettings(concurrency=rng.choice([1, 4, 32]))
    lo = CHEAP if screened else None
    case = Case(book, splits, settings, limits, model=rng.random() < 0.4, queue=queue, lo=lo)
    more = {"tolerance": tolerance, "noise_replicates": rng.choice([0, 1])}

    def fails(dispatch: Dispatch, asked: int) -> AttemptFailed | None:
        request = dispatch.request
        ill = dice("f", request.candidate.id, request.example.id, request.replicate).random() < share
        return AttemptFailed(FailureKind.TASK_FAILED, "ill") if ill else None

    usage = Usage(10, 3, rng.choice([0.004, 0.001]))
    return case, more, RulebookExecutor(book, fails=fails, usage=usage)


def _carried(job: Job, case: Case, executor: RulebookExecutor, store: Store, run_id: str) -> bool:
    """False if the task failed too often, as it may."""
    try:
        asyncio.run(Runner(store, run_id, job, executor, case.proposer(), clock=stands_still).run())
    except RunFailed as failure:
        if "ill" not in failure.cause:
            raise
        return False
    return True


def pipeline(rng: random.Random) -> Pipeline:
    return Pipeline(
        lanes=rng.choice([1, 2, 3, 8]),
        staleness=rng.choice([Staleness.REPAIR, Staleness.REPAIR, *Staleness]),
        oldest=rng.randint(0, 2),
        guards=rng.choice([0, 0, 3, 16]),
        validate_every=rng.randint(1, 4),
        validation_share=rng.choice([0.1, 0.3, 1.0]),
        panel=rng.choice([0, 4, 56]),
        plateau=rng.randint(1, 3),
    )


def rungs(rng: random.Random) -> Rungs:
    return Rungs(rng.choice([0, 1, 1, 2, 4]), rng.choice([0.05, 0.5, 0.99]), rng.choice([0.1, 0.5, 1.0]))


def proxy(rng: random.Random) -> Proxy:
    return Proxy(
        rule=rng.choice(list(ProxyRule)),
        n_min_hi=rng.choice([0, 5, 20]),
        r2_thresh=rng.choice([0.0, 0.5]),
        r2_stop=rng.choice([0.2, 0.9]),
        verify_every=rng.choice([0, 1, 2]),
        patience_usd=rng.choice([-100.0, -0.01]),
    )


def _holds(name: str, folder: Path) -> None:
    case, more, executor = drawn(name)
    job, store = case.job(prices=Prices(0.004, 0.01, 0.001), **more), JournalStore()
    run_id = begin(store, job, case.proposer())
    if not _carried(job, case, executor, store, run_id):
        assert (check_record(store, run_id), store.run(run_id).status) == ([], "failed")
        return
    view = read(store, run_id)
    caps = case.limits
    assert check_record(store, run_id) == []
    assert replay_record(store, run_id) == len(view.decisions)
    assert len(executor.calls) <= (caps.rollouts or len(executor.calls))
    assert view.ledger.cost_usd <= (caps.cost_usd or view.ledger.cost_usd) + 1e-9
    assert sorted(row.index for row in view.rows.values()) == list(range(len(view.rows)))
    assert check_packet(write_packet(view, folder)) == []
    assert all(lift.candidate in view.rows for lift in lift_table(view))
    asked = {f.key.candidate for f in view.failures if f.example in view.splits["pareto"]}
    asked |= {row for row in view.rows if view.rewards(row, "pareto")}
    assert sorted(strip.candidate for strip in coverage(view)) == sorted(asked)
    if view.failures or caps.cost_usd or caps.tokens:
        return  # what a kill costs may end these runs elsewhere
    cut = dice("cut", name).randrange(len(store.commits))
    again = store.after(run_id, cut)
    assert _carried(job, case, replace(executor, calls=type(executor.calls)()), again, run_id)
    assert first_difference(canonical(store, run_id), canonical(again, run_id)) == ""


@pytest.mark.parametrize(
    "name",
    [
        *ONCE_WRONG,
        *(f"{kind}/{n}" for kind in ("core", "lanes") for n in range(30)),
        *(f"{kind}/{n}" for kind in ("proxy", "lanes proxy") for n in (*range(8), 147)),
    ],
)
def test_a_job_drawn_at_random(name: str, tmp_path: Path) -> None:
    _holds(name, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_hundreds_of_jobs_drawn_at_random(tmp_path: Path) -> None:
    for number in range(250):
        _holds(f"slow/{number}", tmp_path / str(number))
        _holds(f"slow lanes/{number}", tmp_path / f"lanes-{number}")
