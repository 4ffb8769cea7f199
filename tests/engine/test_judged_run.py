"""Runs whose rollouts are judged: what is booked, what is kept, what a kill and a bad judge do to them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from paretune.core.budget import Limits
from paretune.core.candidate import Candidate
from paretune.core.errors import AttemptFailed, FailureKind, RunFailed
from paretune.core.rollout import Answer, Failure, Rollout, RolloutRequest, Usage
from paretune.engine.forecast import History, forecast
from paretune.engine.job import Prices
from paretune.engine.judging import Judging
from paretune.engine.prepare import Prepared
from paretune.engine.run import Runner
from paretune.engine.verify import check_record, replay_record
from paretune.evaluate.evaluator import Evaluator, QueueSettings
from paretune.evaluate.executors import Dispatch
from paretune.evaluate.facts import outcome
from paretune.evaluate.verifier.executor import Judged
from paretune.evaluate.verifier.fusion import Fusion
from paretune.evaluate.verifier.judge import Judge
from paretune.evaluate.verifier.rubric import alone
from paretune.evaluate.verifier.verdicts import Verifier
from paretune.llm.chat import ChatModel, Completion
from paretune.store import MemoryStore, Store
from paretune.views.run_view import read
from support.judges import OUTCOME, ScriptedJudge, Sent, busy, completion, judge_server, judged_run, verifier
from support.rulebook import RulebookExecutor
from support.runs import JournalStore, begin, canonical, classic, first_difference, screened, stands_still

FUSED = Fusion("fused", env=1.0, outcome=1.0)
CASE = classic(3)
LIMITS = Limits(rollouts=90, steps=20)


def score(judged: Mapping[str, Any], criterion: str) -> float:
    """Fewer gaps are better; one criterion is harder than the other."""
    gaps = int(judged["output"].split(" with ")[1].split()[0])
    return max(0.0, 1 - gaps / (3 if criterion == "right" else 5))


def a_judge(**more: Any) -> ScriptedJudge:
    return ScriptedJudge(OUTCOME, score, **more)


@dataclass
class Counted:
    """The task, and how often each rollout was asked for."""

    inner: RulebookExecutor = field(default_factory=lambda: RulebookExecutor(CASE.book))
    asked: Counter[str] = field(default_factory=Counter)

    async def run(self, batch: Sequence[Dispatch]) -> list[Answer | AttemptFailed]:
        self.asked.update(dispatch.key for dispatch in batch)
        return await self.inner.run(batch)


def a_job(who: Verifier, limits: Limits = LIMITS, **changes: Any) -> Any:
    job = CASE.job(limits=limits, **changes)
    evaluator = f"{job.identity.evaluator} {who.identity} {FUSED.identity}"
    return replace(job, identity=replace(job.identity, evaluator=evaluator))


def carry(store: Store, who: Verifier, run_id: str = "", **changes: Any) -> tuple[str, Counted]:
    job, task = a_job(who, **changes), Counted()
    run_id = run_id or begin(store, job, CASE.proposer())
    executor = Judged(task, who, FUSED)
    asyncio.run(Runner(store, run_id, job, executor, CASE.proposer(), clock=stands_still).run())
    return run_id, task


def test_every_rollout_has_its_verdict_and_both_are_booked() -> None:
    store, model = MemoryStore(), a_judge()
    run_id, task = carry(store, verifier(model))
    assert model.repeats() == 0
    assert set(task.asked.values()) == {1}
    view = read(store, run_id)
    spent = view.ledger.role("verdict")
    verdicts = [key for key in store.drawn(run_id) if key.startswith("v_")]
    assert spent.calls == len(verdicts) == len(model.asked)
    assert spent.cost_usd == pytest.approx(0.001 * len(model.asked))
    facts = store.facts([key for key in store.drawn(run_id) if key.startswith("r_")], run_id)
    for fact in facts.values():
        found = outcome(fact)
        assert isinstance(found, Rollout)
        had = found.answer.objectives
        gaps = int(found.answer.output.split(" with ")[1].split()[0])
        judged = ((1 - gaps / 3) + 3 * (1 - gaps / 5)) / 4
        assert had["outcome"] == pytest.approx(judged)
        assert found.reward == pytest.approx((had["environment"] + judged) / 2)
        assert "- short" in found.answer.feedback
        assert found.answer.trace["agent"] == "clerk"
    assert check_record(store, run_id) == []
    assert replay_record(store, run_id) == len(store.decisions(run_id))


def test_the_cheap_policys_rollouts_are_judged_too() -> None:
    """So that its rewards mean what the job's own do; each brings its verdict, at the same caps."""
    case, store, model = screened(0), MemoryStore(), a_judge()
    who = verifier(model)
    ready = Judging(who, FUSED, 1.0).judged(Prepared(case.job(), Counted(RulebookExecutor(case.book))))
    job = ready.job
    assert job.lo is not None
    assert job.settings.proxy is not None
    assert job.lo.evaluator == job.identity.evaluator
    assert job.settings.proxy.verdict_usd == who.usd
    run_id = begin(store, job, case.proposer())
    asyncio.run(Runner(store, run_id, job, ready.executor, case.proposer(), clock=stands_still).run())
    view = read(store, run_id)
    assert len(view.cheap) == view.ledger.role("proxy").calls > 0
    assert all("outcome" in rollout.answer.objectives for rollout in view.cheap.values())
    assert view.ledger.role("verdict").calls == len(model.asked)
    assert replay_record(store, run_id) == len(store.decisions(run_id))


def test_a_second_run_pays_for_no_verdict() -> None:
    store, model = MemoryStore(), a_judge()
    carry(store, verifier(model))
    asked = len(model.asked)
    _, task = carry(store, verifier(model))
    assert len(model.asked) == asked
    assert not task.asked
    other = replace(FUSED, outcome=3.0)
    job = replace(a_job(verifier(model)), identity=replace(CASE.job().identity, evaluator=other.identity))
    run_id = begin(store, job, CASE.proposer())
    runner = Runner(
        store, run_id, job, Judged(Counted(), verifier(model), other), CASE.proposer(), clock=stands_still
    )
    asyncio.run(runner.run())
    view = read(store, run_id)
    assert view.ledger.role("verdict").reused > 0
    assert model.repeats() == 0


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_killed_at_any_commit_it_goes_on_and_asks_no_verdict_twice(share: float) -> None:
    whole = JournalStore()
    run_id, _ = carry(whole, verifier(a_judge()))
    store, model = whole.after(run_id, int(len(whole.commits) * share)), a_judge()
    known = {key for key in store.drawn(run_id) if key.startswith("v_")}
    assert known
    carry(store, verifier(model), run_id)
    assert first_difference(canonical(whole, run_id), canonical(store, run_id)) == ""
    verdicts = {key for key in store.drawn(run_id) if key.startswith("v_")}
    assert len(model.asked) == len(verdicts - known)
    assert check_record(store, run_id) == []


GOOD_FAULTS = [
    busy(0.0),
    "not a verdict",
    '{"outcome": {}}',
    AttemptFailed(FailureKind.SERVER_ERROR, "oh"),
    AttemptFailed(FailureKind.TIMEOUT, "slow"),
    Completion("", "length", Usage()),
]


def ask(
    who: Verifier, *, deadline: float = 30.0, executor: Any = None, fusion: Fusion = FUSED
) -> tuple[Any, MemoryStore]:
    """One rollout, judged."""

    async def evaluate() -> list[Any]:
        from paretune.core.budget import Ledger
        from paretune.store.book import RunBook

        job = a_job(who)
        store.create_run_of(job)
        book, ledger = RunBook(store, "run_1", now=lambda: "2025-01-01T00:00:00Z"), Ledger()
        opened = Judged(executor or Counted(), who, fusion).opened(book, ledger)
        settings = QueueSettings(deadline=deadline)
        evaluator = Evaluator(book, ledger, opened, job.identity, queue=settings)
        request = RolloutRequest(Candidate(CASE.book.start()), CASE.splits.pareto[0])
        found = await evaluator.evaluate([request])
        await book.close()
        return [found[0], ledger]

    store = _Store()
    return asyncio.run(evaluate()), store


class _Store(MemoryStore):
    def create_run_of(self, job: Any) -> None:
        begin(self, job, CASE.proposer(), "run_1")


def quick(who: Verifier) -> Verifier:
    return replace(who, retry=replace(who.retry, base=0.001))


@pytest.mark.parametrize("fault", GOOD_FAULTS, ids=lambda fault: str(fault)[:20])
def test_a_judge_that_fails_once_is_asked_again_and_the_task_is_not(fault: Any) -> None:
    task, model = Counted(), a_judge(first=[fault])
    (found, ledger), _ = ask(quick(verifier(model)), executor=task)
    assert isinstance(found, Rollout)
    assert len(model.asked) == 2
    assert set(task.asked.values()) == {1}
    spent = ledger.role("verdict")
    assert (spent.calls, spent.failed + spent.lost) == (1, 1)


def test_a_judge_that_never_answers_is_a_failure_of_its_own_kind() -> None:
    task, model = Counted(), a_judge(first=["nonsense"] * 50)
    (found, _), store = ask(quick(verifier(model)), executor=task)
    assert isinstance(found, Failure)
    assert found.kind is FailureKind.VERIFIER
    assert "not JSON" in found.message
    assert set(task.asked.values()) == {1}
    assert 2 <= len(model.asked) <= 6
    assert {a.ended.outcome for a in store.attempts("run_1") if a.ended and a.begun.role == "verdict"} == {
        "failed"
    }


def test_a_slow_judge_meets_the_deadline_and_the_rollout_is_kept() -> None:
    @dataclass
    class Slow(ScriptedJudge):
        async def complete(self, messages: Any, *, schema: Any = None) -> Completion:
            if not self.asked:
                self.asked.append("")
                await asyncio.sleep(30)
            return await super().complete(messages, schema=schema)

    task = Counted()
    (found, _), _ = ask(verifier(Slow(OUTCOME, score)), executor=task, deadline=0.2)
    assert isinstance(found, Rollout)
    assert set(task.asked.values()) == {1}


def test_a_judge_that_refuses_the_key_ends_the_run() -> None:
    refused = AttemptFailed(FailureKind.UNAUTHORISED, "wrong key")
    with pytest.raises(RunFailed, match="the verifier refuses the key"):
        carry(MemoryStore(), verifier(a_judge(first=[refused] * 200)))


def test_a_share_is_asked_twice_for_the_noise() -> None:
    store, model = MemoryStore(), a_judge()
    run_id, _ = carry(store, verifier(model, repeat=0.5))
    keys = [key for key in store.drawn(run_id) if key.startswith("v_")]
    facts = store.facts(keys, run_id)
    repeated = [fact for fact in facts.values() if fact.body["of"] != fact.key]
    assert 0 < len(repeated) < len(keys) / 2
    assert model.repeats() == len(repeated)
    assert all(fact.body["of"] in facts for fact in repeated)
    assert check_record(store, run_id) == []


@pytest.mark.parametrize(
    "caps",
    [{"cost_usd": 0.12}, {"tokens": 9_000}, {"verdict_tokens": 3_000}],
    ids=lambda caps: next(iter(caps)),
)
def test_caps_hold_with_verdicts_in_flight(caps: dict[str, Any]) -> None:
    store, model = MemoryStore(), a_judge()
    prices = Prices(0.002, 0.0, rollout_tokens=300, answer_tokens=0, judges=1, verdict=0.002)
    limits = replace(LIMITS, **caps)
    run_id, _ = carry(store, verifier(model), limits=limits, prices=prices)
    view = read(store, run_id)
    assert view.ended is not None
    assert view.ended.reason == next(iter(caps))
    ledger = view.ledger
    spent = {
        "cost_usd": ledger.cost_usd,
        "tokens": ledger.tokens,
        "verdict_tokens": ledger.role("verdict").tokens,
    }
    for name, cap in caps.items():
        assert 0 < spent[name] <= cap
    assert check_record(store, run_id) == []


FAULTS = [
    Sent(429, "slow down", {"Retry-After": "0.05"}),
    Sent(503, "later"),
    Sent(200, "<html>not JSON</html>"),
    Sent(200, completion("I rate this 10/10.")),
    Sent(200, completion(json.dumps({"outcome": {"right": {"score": 7}, "short": {"score": 1}}}))),
    Sent(200, completion("", "length")),
    Sent(200, completion("", refusal="I cannot judge this.")),
    Sent(200, completion("{}"), after=0.6),
    Sent(0),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.status}-{fault.body[:30]}-{fault.after}")
def test_judges_on_loopback_are_survived(fault: Sent) -> None:
    task = Counted()
    with judge_server(OUTCOME, score, [fault]) as (url, asked):
        model = ChatModel(url, "a-judge", None, timeout=0.4)
        judge = Judge("judge", OUTCOME, model)
        who = quick(Verifier(alone(OUTCOME), {"judge": judge}))
        (found, ledger), _ = ask(who, executor=task)
    assert isinstance(found, Rollout), found
    assert len(asked) == 2
    assert set(task.asked.values()) == {1}
    assert ledger.role("verdict").calls == 1


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_judges_are_asked_at_once_than_the_file_says(most: int) -> None:
    @dataclass
    class Crowd(ScriptedJudge):
        out: int = 0
        seen: int = 0

        async def complete(self, messages: Any, *, schema: Any = None) -> Completion:
            self.out += 1
            self.seen = max(self.seen, self.out)
            await asyncio.sleep(0.002)
            self.out -= 1
            return await super().complete(messages, schema=schema)

    model = Crowd(OUTCOME, score)
    carry(MemoryStore(), verifier(model, concurrency=most))
    assert model.seen == most


def test_a_verdict_that_does_not_count_may_fail() -> None:
    task, model = Counted(), a_judge(first=["nonsense"] * 50)
    (found, _), _ = ask(quick(verifier(model)), executor=task, fusion=Fusion("task_app"))
    assert isinstance(found, Rollout)
    had = found.answer
    assert had.reward == had.objectives["environment"]
    assert "outcome" not in had.objectives
    assert "not JSON" in had.trace["verdict"]["failed"]["verifier"]


async def test_a_forecast_counts_verdicts() -> None:
    store, who = MemoryStore(), verifier(a_judge())
    prices = Prices(0.002, 0.0, judges=1, verdict=0.002)
    job = replace(CASE.job(limits=LIMITS), prices=prices)
    before, alone_ = forecast(job), forecast(replace(job, prices=Prices(0.002, 0.0)))
    assert (before.tokens["verdict"], "verdict" in alone_.tokens) == (None, False)
    assert before.usd == pytest.approx(2 * (alone_.usd or 0.0))
    run_id = await judged_run(store, who)
    spent = read(store, run_id).ledger
    known = History(1, spent.by_role, 10.0)
    tokens = forecast(job, known).tokens["verdict"]
    each = spent.role("verdict").tokens / spent.role("rollout").calls
    assert tokens == pytest.approx(before.rollouts * each, rel=0.05)
