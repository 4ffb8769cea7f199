"""The record: replay, tampering, rest and resume, failures read and unread, other programs, other stores."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paretune.core import events
from paretune.core.budget import Limits
from paretune.core.canonical import digest
from paretune.core.errors import AttemptFailed, Cancelled, FailureKind, ParetuneError, Paused, RunFailed
from paretune.core.events import from_record, to_record
from paretune.core.retry import RetryPolicy
from paretune.core.rollout import Answer
from paretune.engine import run as engine_run
from paretune.engine.job import Job
from paretune.engine.record import Diverged, RunRecord, verify_chain
from paretune.engine.run import Runner, Watch
from paretune.engine.verify import check_record, replay_record
from paretune.evaluate.evaluator import QueueSettings
from paretune.evaluate.executors import Dispatch, FunctionExecutor
from paretune.propose.base import Packet, Proposal
from paretune.store import MemoryStore, SqlStore, Store, export_run, import_run
from paretune.store.base import Wish
from paretune.store.book import RunBook
from paretune.store.chain import chain
from paretune.views.run_view import read
from support.rulebook import HintProposer, RulebookExecutor, dice
from support.runs import (
    CASES,
    Case,
    JournalStore,
    begin,
    canonical,
    carry,
    first_difference,
    plain_result,
    stands_still,
)

ONE_TRY = QueueSettings(retry=RetryPolicy(attempts=1))


def small(name: str = "judged", seed: int = 0) -> Case:
    """About 120 rollouts."""
    return replace(CASES[name](seed), limits=Limits(rollouts=130, steps=20))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "workspace.sqlite"


# -- replay ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_a_replay_makes_every_decision_again_and_asks_nobody(name: str) -> None:
    run = asyncio.run(carry(CASES[name](0)))
    before = run.canonical()
    assert replay_record(run.store, run.run_id) == len(before["decisions"])
    assert run.canonical() == before


def test_an_unfinished_run_cannot_be_replayed() -> None:
    store, case = MemoryStore(), small()
    run_id = begin(store, case.job(), case.proposer())
    with pytest.raises(ParetuneError, match="not finished"):
        replay_record(store, run_id)


_TEXT = st.text(max_size=12)
_DECISIONS = st.one_of(
    st.builds(events.StepSkipped, step=st.integers(0, 99), reason=_TEXT, detail=_TEXT),
    st.builds(
        events.BestChosen,
        best=_TEXT,
        chosen_on=st.sampled_from(["select", "pareto"]),
        means=st.dictionaries(_TEXT, st.floats(allow_nan=False, allow_infinity=False), max_size=3),
        pareto_means=st.dictionaries(_TEXT, st.floats(0, 1), max_size=3),
    ),
    st.builds(
        events.StepStarted,
        step=st.integers(0, 99),
        generation=st.integers(0, 9),
        parent=_TEXT,
        targets=st.lists(_TEXT, max_size=3),
        minibatch=st.lists(_TEXT, max_size=3),
    ),
)
_LOGS = st.lists(_DECISIONS, min_size=1, max_size=12)


async def _written(
    store: Store, run_id: str, decisions: list[events.Decision], *, verify: bool = False
) -> list[events.Decision]:
    book = RunBook(store, run_id, now=lambda: "")
    try:
        record = RunRecord(book, store.decisions(run_id), verify=verify)
        return [
            await record.step(f"{i}", lambda decision=decision: decision)  # type: ignore[misc] # a lambda keeps its value
            for i, decision in enumerate(decisions)
        ]
    finally:
        await book.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(log=_LOGS, cut=st.integers(0, 12))
def test_a_log_read_back_is_the_log_written_wherever_it_was_cut(log: list[events.Decision], cut: int) -> None:
    case, store = small(), MemoryStore()
    run_id = begin(store, case.job(), case.proposer())
    asyncio.run(_written(store, run_id, log[:cut]))
    assert asyncio.run(_written(store, run_id, log, verify=True)) == log
    stored = store.decisions(run_id)
    assert [from_record(s.body) for s in stored] == log
    assert all(from_record(json.loads(json.dumps(to_record(d)))) == d for d in log)
    verify_chain(run_id, stored)
    assert asyncio.run(_written(store, run_id, log, verify=True)) == log
    assert store.decisions(run_id) == stored


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(log=_LOGS, data=st.data())
def test_any_change_of_the_log_breaks_the_chain(log: list[events.Decision], data: st.DataObject) -> None:
    case, store = small(), MemoryStore()
    run_id = begin(store, case.job(), case.proposer())
    asyncio.run(_written(store, run_id, log))
    stored = store.decisions(run_id)
    place = data.draw(st.integers(0, len(stored) - 1))
    how = data.draw(st.sampled_from(["body", "key", "drop", "swap"]))
    if how == "drop" and place < len(stored) - 1:
        del stored[place]
    elif how == "swap" and place < len(stored) - 1:
        stored[place], stored[place + 1] = stored[place + 1], stored[place]
    elif how == "key":
        stored[place] = replace(stored[place], key=stored[place].key + "x")
    else:
        stored[place] = replace(stored[place], body={**stored[place].body, "detail": "another"})
    with pytest.raises(Diverged, match="decision"):
        verify_chain(run_id, stored)


# -- tampering ---------------------------------------------------------------------------------------


def _changed(body: dict[str, Any], kind: str) -> None:
    """One change that flatters, per kind."""
    if kind == "gate_decided":
        body["passed"] = not body["passed"]
    elif kind == "candidate_admitted":
        body["mean"] += 0.1
    elif kind == "best_chosen":
        body["means"][body["best"]] += 0.01
    elif kind == "run_finished":
        body["test"] = dict.fromkeys(body["test"], 1.0)
    elif kind == "step_started":
        body["minibatch"] = body["minibatch"][::-1]
    elif kind == "search_ended":
        body["reason"] = "patience"
    elif kind == "run_started":
        body["job"] = "0" * 24


KINDS = (
    "run_started",
    "step_started",
    "gate_decided",
    "candidate_admitted",
    "search_ended",
    "best_chosen",
    "run_finished",
)


@pytest.mark.parametrize("rechained", [False, True], ids=["as it is", "with a chain made to fit"])
def test_a_tampered_decision_is_found(rechained: bool, place: Path) -> None:
    """The chain finds a change; a forger who mends the chain is found by making the decision again."""
    case = small()
    run = asyncio.run(carry(case, store=SqlStore(place)))
    run.store.close()
    whole = place.read_bytes()
    for kind in KINDS:
        place.write_bytes(whole)
        _tamper(place, run.run_id, kind, rechained)
        store = SqlStore(place)
        if rechained:
            with pytest.raises(Diverged, match=r"differently|on record"):
                replay_record(store, run.run_id)
        else:
            assert any("was changed" in problem for problem in check_record(store, run.run_id)), kind
        store.close()


def _tamper(place: Path, run_id: str, kind: str, rechained: bool) -> None:
    with sqlite3.connect(place) as database:
        query = "SELECT seq, key, body FROM decisions WHERE run_id = ? ORDER BY seq"
        link, changed = run_id, False
        for seq, key, text in database.execute(query, (run_id,)).fetchall():
            body = json.loads(text)
            if body["kind"] == kind and not changed:
                _changed(body, kind)
                changed = True
                database.execute("UPDATE decisions SET body = ? WHERE seq = ?", (json.dumps(body), seq))
            link = chain(link, key, body)
            if rechained:
                database.execute("UPDATE decisions SET chain = ? WHERE seq = ?", (link, seq))
    database.close()
    assert changed


def test_a_tampered_or_missing_reward_is_found(place: Path) -> None:
    run = asyncio.run(carry(small(), store=SqlStore(place)))
    key = next(k for k in run.store.drawn(run.run_id) if k.startswith("r_"))
    other = next(k for k in run.store.drawn(run.run_id) if k.startswith("r_") and k != key)
    run.store.close()
    whole = place.read_bytes()

    def after(*statement: Any) -> SqlStore:
        place.write_bytes(whole)
        with sqlite3.connect(place) as database:
            database.execute(*statement)
        database.close()
        return SqlStore(place)

    store = after("DELETE FROM facts WHERE key = ?", (key,))
    assert any("missing" in problem and key in problem for problem in check_record(store, run.run_id))
    store.close()

    swap = "UPDATE facts SET body = (SELECT body FROM facts WHERE key = ?) WHERE key = ?"
    store = after(swap, (other, key))
    assert any("another question" in problem for problem in check_record(store, run.run_id))
    store.close()

    store = after("""UPDATE facts SET body = json_set(body, '$.reward', 0.987) WHERE kind = 'rollout'""")
    with pytest.raises(Diverged):
        replay_record(store, run.run_id)
    store.close()


# -- another program ---------------------------------------------------------------------------------


async def _until(runner: Runner, decisions: int) -> None:
    """Carry on until so many decisions are on record, then rest."""

    def look(decision: events.Decision) -> None:
        if len(runner.store.decisions(runner.run_id)) >= decisions:
            runner.stop.set()

    runner.watch = Watch(decision=look)
    with pytest.raises(Paused, match="interrupted"):
        await runner.run()


def _begun(case: Case, store: Store, decisions: int) -> tuple[str, RulebookExecutor]:
    """A run at rest after about so many decisions."""
    job, proposer, executor = case.job(), case.proposer(), RulebookExecutor(case.book)
    run_id = begin(store, job, proposer)
    asyncio.run(_until(Runner(store, run_id, job, executor, proposer), decisions))
    assert store.run(run_id).status == "paused"
    return run_id, executor


@pytest.mark.parametrize(
    "change",
    [
        lambda job: replace(job, settings=replace(job.settings, seed=99)),
        lambda job: replace(job, settings=replace(job.settings, minibatch_size=5)),
        lambda job: replace(job, limits=Limits(rollouts=131, steps=20)),
        lambda job: replace(job, identity=replace(job.identity, evaluator="2")),
    ],
    ids=["seed", "minibatch", "budget", "evaluator"],
)
def test_a_run_does_not_go_on_with_another_job(change: Callable[[Job], Job]) -> None:
    case, store = small(), MemoryStore()
    run_id, _ = _begun(case, store, 12)
    before = canonical(store, run_id)
    executor = RulebookExecutor(case.book)
    with pytest.raises(Diverged):
        asyncio.run(Runner(store, run_id, change(case.job()), executor, case.proposer()).run())
    assert executor.calls.total() == 0
    assert canonical(store, run_id) == before


def test_a_record_with_another_decision_in_its_place_is_refused() -> None:
    case, store = small(), JournalStore()
    run_id, _ = _begun(case, store, 12)
    book = RunBook(store, run_id, now=lambda: "")

    async def another() -> None:
        record = RunRecord(book, store.decisions(run_id))
        try:
            await record.step("start", lambda: events.StepSkipped(step=0, reason="x"))
            await record.step("7/start", lambda: events.StepSkipped(step=7, reason="x"))
        finally:
            await book.close()

    with pytest.raises(Diverged, match="the run asks for '7/start'"):
        asyncio.run(another())


# -- rest and resume ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_a_run_that_rests_again_and_again_ends_as_if_it_had_not(name: str, place: Path) -> None:
    case, store = small(name, 1), SqlStore(place)
    whole = asyncio.run(carry(case))
    job, proposer, executor = case.job(), case.proposer(), RulebookExecutor(case.book)
    run_id = begin(store, job, proposer)
    sessions = 0
    while store.run(run_id).status != "succeeded":
        sessions += 1
        runner = Runner(store, run_id, job, executor, case.proposer(), clock=stands_still)
        try:
            asyncio.run(_rest(runner, len(store.decisions(run_id)) + dice(name, sessions).randint(1, 6)))
        except Paused:
            assert store.run(run_id).status == "paused"
    assert sessions > 3
    assert first_difference(whole.canonical(), canonical(store, run_id)) == ""
    assert plain_result(store, run_id) == whole.result()
    assert set(executor.calls.values()) == {1}, "at rest, calls that were out have come home"
    store.close()


async def _rest(runner: Runner, decisions: int) -> None:
    seen = itertools.count(1)

    def look(decision: events.Decision) -> None:
        if next(seen) >= decisions:
            runner.stop.set()

    runner.watch = Watch(decision=look)
    await runner.run()


class _Slow:
    """Takes a while, so that a wish finds the run at work; `busy` once it has answered three times."""

    def __init__(self, inner: RulebookExecutor) -> None:
        self.inner = inner
        self.busy = asyncio.Event()

    async def run(self, batch: Sequence[Dispatch]) -> list[Answer | AttemptFailed]:
        await asyncio.sleep(0.02)
        if self.inner.calls.total() >= 3:
            self.busy.set()
        return await self.inner.run(batch)


@pytest.mark.parametrize(
    ("wish", "error", "status"), [("pause", Paused, "paused"), ("cancel", Cancelled, "cancelled")]
)
def test_a_wish_is_granted_within_seconds_and_leaves_a_record_to_go_on_from(
    wish: Wish, error: type[Exception], status: str
) -> None:
    case, store = small(), MemoryStore()
    whole = asyncio.run(carry(case))
    job, proposer, executor = (
        case.job(queue=QueueSettings(concurrency=1)),
        case.proposer(),
        _Slow(RulebookExecutor(case.book)),
    )
    run_id = begin(store, job, proposer)

    async def wished() -> None:
        run = asyncio.create_task(Runner(store, run_id, job, executor, proposer).run())
        await executor.busy.wait()
        store.wish(run_id, wish)
        async with asyncio.timeout(3 * engine_run.WISH_EVERY_SECONDS):
            await run

    with pytest.raises(error, match="on request"):
        asyncio.run(wished())
    assert (store.run(run_id).status, store.run(run_id).wish) == (status, "")
    assert read(store, run_id).finished is None
    assert all(attempt.ended for attempt in store.attempts(run_id))

    more = asyncio.run(carry(case, store=store, run_id=run_id))
    assert first_difference(whole.canonical(), more.canonical()) == ""
    assert more.executor.calls.total() + executor.inner.calls.total() == whole.executor.calls.total()


# -- failures ----------------------------------------------------------------------------------------


def _ill(*examples: str, times: int = 10**6) -> Callable[[Dispatch, int], AttemptFailed | None]:
    def fails(dispatch: Dispatch, asked: int) -> AttemptFailed | None:
        hit = dispatch.request.example.id in examples and asked <= times
        return AttemptFailed(FailureKind.TASK_FAILED, "the clerk is ill") if hit else None

    return fails


def test_failures_within_the_tolerance_are_no_scores_and_the_run_goes_on() -> None:
    case = small()
    ill = [e.id for e in (*case.splits.pareto[:2], *case.splits.test[:1])]
    run = asyncio.run(_failing(case, MemoryStore(), _ill(*ill)))
    view = read(run[0], run[1])
    assert view.run.status == "succeeded"
    assert {failure.example for failure in view.failures} == set(ill)
    assert all(example not in ill for _, example, _ in view.rollouts)
    for d in view.decisions:
        if isinstance(d, events.CandidateAdmitted):
            rewards = [
                r.reward for (c, e, _), r in view.rollouts.items() if c == d.candidate and "pareto" in e
            ]
            assert (d.scored, d.failed) == (len(case.splits.pareto) - 2, 2)
            assert d.mean == pytest.approx(sum(rewards) / len(rewards))
    assert len(view.ledger.drawn) == len(view.rollouts) + len(view.failures) <= 130
    assert replay_record(run[0], run[1]) == len(view.decisions)


async def _failing(
    case: Case,
    store: Store,
    fails: Callable[[Dispatch, int], AttemptFailed | None],
    *,
    run_id: str = "",
    tolerance: float = 0.25,
) -> tuple[Store, str, RulebookExecutor]:
    job, proposer = case.job(tolerance=tolerance, queue=ONE_TRY), case.proposer()
    run_id = run_id or begin(store, job, proposer)
    executor = RulebookExecutor(case.book, fails=fails)
    await Runner(store, run_id, job, executor, proposer).run()
    return store, run_id, executor


def test_too_many_failures_stop_the_run_with_their_cause_and_it_goes_on_once_they_are_mended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    case, store = small(), MemoryStore()
    whole = asyncio.run(carry(case))
    run_id = begin(store, case.job(), case.proposer())
    ill = _ill(*(e.id for e in case.splits.pareto[2:]))
    with caplog.at_level(logging.ERROR), pytest.raises(RunFailed, match="clerk is ill") as caught:
        asyncio.run(_failing(case, store, ill, run_id=run_id))
    assert "rollouts failed" in caught.value.reason
    assert "task_failed" in caught.value.cause
    assert store.run(run_id).status == "failed"
    assert "clerk is ill" in store.run(run_id).status_detail
    assert caplog.records == []

    more = asyncio.run(carry(case, store=store, run_id=run_id))
    assert first_difference(whole.canonical(), more.canonical()) == ""


def test_a_refused_key_stops_at_once() -> None:
    case, store = small(), MemoryStore()
    run_id = begin(store, case.job(), case.proposer())

    def refused(dispatch: Dispatch, asked: int) -> AttemptFailed | None:
        return AttemptFailed(FailureKind.UNAUTHORISED, "401 from /rollout")

    with pytest.raises(RunFailed, match="refuses the key"):
        asyncio.run(_failing(case, store, refused, run_id=run_id))


@pytest.mark.parametrize("pareto", [4, 12])
def test_a_seed_that_cannot_be_scored_at_all_ends_with_the_cause(pareto: int) -> None:
    case = small()
    case = replace(case, splits=case.book.splits(reflect=6, pareto=pareto, select=3, test=3))
    store = MemoryStore()
    run_id = begin(store, case.job(), case.proposer())
    ill = _ill(*(e.id for e in case.splits.pareto))
    with pytest.raises(RunFailed, match="clerk is ill"):
        asyncio.run(_failing(case, store, ill, run_id=run_id))
    assert store.run(run_id).status == "failed"


def test_a_child_that_cannot_be_scored_on_the_frontiers_examples_is_not_admitted() -> None:
    """Its gate was passed, then its full evaluation failed altogether."""
    case = small("classic")
    seed = case.job().seed.id

    def fails(dispatch: Dispatch, asked: int) -> AttemptFailed | None:
        request = dispatch.request
        hit = request.candidate.id != seed and request.example.split == "pareto"
        return AttemptFailed(FailureKind.TASK_FAILED, "the clerk is ill") if hit else None

    store, run_id, _ = asyncio.run(_failing(case, MemoryStore(), fails, tolerance=1.0))
    view = read(store, run_id)
    assert view.run.status == "succeeded"
    assert [row.id for row in view.rows.values() if row.mean is not None] == [seed]
    assert view.best is not None
    assert view.best.id == seed


def test_unread_failures_are_asked_again_and_read_ones_are_not() -> None:
    """A pareto example fails for everybody (read by admissions), a later one just when the run is stopped."""
    case, store = small(), MemoryStore()
    seed = case.job().seed.id
    early = case.splits.pareto[0].id
    job, proposer = (
        case.job(queue=QueueSettings(concurrency=4, retry=RetryPolicy(attempts=1))),
        case.proposer(),
    )
    run_id = begin(store, job, proposer)
    stop = list[Runner]()

    def fails(dispatch: Dispatch, asked: int) -> AttemptFailed | None:
        request = dispatch.request
        if request.example.id == early and request.candidate.id == seed:
            return AttemptFailed(FailureKind.TASK_FAILED, "read")
        if request.candidate.id != seed:
            stop[0].stop.set()
            return AttemptFailed(FailureKind.TASK_FAILED, "unread")
        return None

    executor = RulebookExecutor(case.book, fails=fails)
    stop.append(Runner(store, run_id, job, executor, proposer))
    with pytest.raises(Paused):
        asyncio.run(stop[0].run())
    kept = {
        f.body["message"] for f in store.facts(store.drawn(run_id), run_id).values() if f.kind == "failure"
    }
    assert kept == {"read", "unread"}

    again = RulebookExecutor(case.book)
    asyncio.run(Runner(store, run_id, job, again, case.proposer()).run())
    view = read(store, run_id)
    assert [(f.key.candidate, f.example, f.message) for f in view.failures] == [(seed, early, "read")]
    assert not set(again.calls) & set(executor.calls) & _about(seed, store, run_id)
    assert check_record(store, run_id) == []
    assert replay_record(store, run_id) == len(view.decisions)


def _about(candidate: str, store: Store, run_id: str) -> set[str]:
    """Ids of the rollouts of this candidate that are on record."""
    facts = store.facts(store.drawn(run_id), run_id)
    return {
        "ro_" + digest([run_id, key], 32)
        for key, fact in facts.items()
        if fact.body.get("key", {}).get("candidate") == candidate
    }


def test_a_proposer_that_is_away_costs_the_step_then_the_run() -> None:
    case = small()

    class Away(HintProposer):
        async def propose(self, packet: Packet) -> Proposal:
            if len(self.packets) in (1, 3, 4, 5):
                self.packets.append(packet)
                raise AttemptFailed(FailureKind.REFUSED, "nobody home")
            return await HintProposer.propose(self, packet)

    store, job, proposer = MemoryStore(), case.job(), Away(3)
    run_id = begin(store, job, proposer)
    with pytest.raises(RunFailed, match="nobody home"):
        asyncio.run(Runner(store, run_id, job, RulebookExecutor(case.book), proposer).run())
    reasons = [d.reason for d in read(store, run_id).decisions if isinstance(d, events.ProposalRejected)]
    assert reasons.count("proposer_failed") == 3
    asyncio.run(Runner(store, run_id, job, RulebookExecutor(case.book), HintProposer(3)).run())
    assert store.run(run_id).status == "succeeded"


# -- two runs, two stores ----------------------------------------------------------------------------


def test_two_runs_at_once_on_one_store_each_follow_from_their_facts() -> None:
    """A flaky task answers each of them differently; what is kept is what both must decide upon."""
    case, store = small("classic"), MemoryStore()
    asked = [0]

    async def score(components: Any, data: Any) -> Answer:
        asked[0] += 1
        await asyncio.sleep(0.001 * dice(asked[0]).random())
        return replace(case.book.answer(components, data), reward=round(dice("coin", asked[0]).random(), 3))

    job = case.job()
    runs = [begin(store, job, case.proposer()) for _ in range(2)]

    async def both() -> None:
        executor = FunctionExecutor(score)
        await asyncio.gather(*(Runner(store, r, job, executor, case.proposer()).run() for r in runs))

    asyncio.run(both())
    for run_id in runs:
        assert check_record(store, run_id) == []
        assert replay_record(store, run_id) == len(store.decisions(run_id))


@pytest.mark.parametrize("decisions", [1, 9, 30])
def test_an_import_of_an_export_goes_on_where_the_run_rested(decisions: int, tmp_path: Path) -> None:
    case = small("merging", 1)
    whole = asyncio.run(carry(case))
    here, there = SqlStore(tmp_path / "here.sqlite"), SqlStore(tmp_path / "there.sqlite")
    run_id, first = _begun(case, here, decisions)
    assert import_run(export_run(here, run_id, tmp_path / "parcel"), there) == run_id
    more = asyncio.run(carry(case, store=there, run_id=run_id))
    assert first_difference(whole.canonical(), more.canonical()) == ""
    assert more.result() == whole.result()
    assert more.executor.calls.total() + first.calls.total() == whole.executor.calls.total()
    assert here.run(run_id).status == "paused"
    here.close()
    there.close()


def test_an_exported_folder_is_a_store_to_go_on_in(tmp_path: Path) -> None:
    case = small("shared", 1)
    whole = asyncio.run(carry(case))
    here = SqlStore(tmp_path / "here.sqlite")
    run_id, _ = _begun(case, here, 9)
    folder = export_run(here, run_id, tmp_path / "parcel")
    here.close()
    store = SqlStore(folder / "workspace.sqlite")
    more = asyncio.run(carry(case, store=store, run_id=run_id))
    assert first_difference(whole.canonical(), more.canonical()) == ""
    store.close()
