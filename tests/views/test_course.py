"""What charts, pipeline page, errors and feed tell of a run, against its record counted by hand."""

import asyncio
from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from paretune.core import events
from paretune.core.budget import Limits
from paretune.core.errors import AttemptFailed, FailureKind
from paretune.core.retry import RetryPolicy
from paretune.core.rollout import Usage
from paretune.core.statistics import bootstrap_mean, student_mean
from paretune.engine.run import Runner
from paretune.evaluate.evaluator import QueueSettings
from paretune.evaluate.executors import Dispatch
from paretune.store import MemoryStore
from paretune.views.calls import ENDED
from paretune.views.curve import curve
from paretune.views.faults import signature
from paretune.views.feed import feed, line
from paretune.views.flow import MOST_BINS, errors, flow
from paretune.views.run_view import RunView, read
from support.big_run import big_run
from support.rulebook import RulebookExecutor
from support.runs import CASES, begin, carry, stands_still


def troubled(dispatch: Dispatch, asked: int) -> AttemptFailed | None:
    """One example is always ill; every fifth call is turned away the first time."""
    number = int(dispatch.request.example.id.split("-")[1])
    if number == 2:
        return AttemptFailed(FailureKind.TASK_FAILED, f"ticket '{number}' of {asked} has no text")
    if number % 5 == 0 and asked == 1:
        return AttemptFailed(FailureKind.RATE_LIMITED, f"HTTP 429: wait {number} s", retry_after=0.0)
    return None


@cache
def run() -> tuple[MemoryStore, RunView]:
    store, case = MemoryStore(), replace(CASES["judged"](3), limits=Limits(rollouts=200, steps=15))
    retry = RetryPolicy(attempts=3, base=0.0)
    job = case.job(queue=QueueSettings(concurrency=4, retry=retry), tolerance=1.0)
    proposer = case.proposer()
    run_id = begin(store, job, proposer)
    executor = RulebookExecutor(case.book, troubled, usage=Usage(100, 20, 0.25))
    asyncio.run(Runner(store, run_id, job, executor, proposer, clock=stands_still).run())
    return store, read(store, run_id)


def test_the_curve_has_each_evaluation_and_each_gate_with_what_the_run_had_taken() -> None:
    _, view = run()
    found = curve(view)
    admitted = [d for d in view.decisions if isinstance(d, events.CandidateAdmitted)]
    gates = [d for d in view.decisions if isinstance(d, events.GateDecided)]
    assert [(p.candidate, p.mean, p.scored) for p in found.evaluated] == [
        (d.candidate, d.mean, d.scored) for d in admitted
    ]
    assert [(p.candidate, p.passed) for p in found.gated] == [(d.child, d.passed) for d in gates]
    assert [p.after * p.pairs for p in found.gated] == pytest.approx([d.after for d in gates])
    first = found.evaluated[0]
    assert (first.candidate, first.index) == (view.seed.id, 0)
    assert first.taken.rollouts >= len(view.splits["pareto"])
    assert [p.best for p in found.evaluated] == np.maximum.accumulate([d.mean for d in admitted]).tolist()
    for point in found.evaluated:
        rewards = list(view.rewards(point.candidate, "pareto").values())
        assert len(rewards) == point.scored
        can_be = student_mean(rewards).within(0.0, 1.0)
        assert (point.low, point.high) == (can_be.low, can_be.high)
        assert view.decisions[point.seq] in admitted
    by_seq = {p.seq: p.taken for p in found.evaluated} | {p.seq: p.taken for p in found.gated}
    taken = [by_seq[seq] for seq in sorted(by_seq)]
    assert taken == sorted(taken, key=lambda t: (t.rollouts, t.tokens, t.usd, t.seconds))
    later = curve(view, found.evaluated[1].seq)
    assert later.evaluated == found.evaluated[1:]
    assert later.gated == [p for p in found.gated if p.seq > found.evaluated[1].seq]
    assert 0 < taken[-1].rollouts <= len(view.ledger.drawn)
    assert 0 < taken[-1].usd <= view.ledger.cost_usd
    assert len(view.drawn_at) == len(view.ledger.drawn)
    assert view.spent["usd"].sum() == pytest.approx(view.ledger.cost_usd)
    assert view.spent["tokens"].sum() == view.ledger.tokens


def test_results_of_other_runs_count_from_the_decisions_made_upon_them() -> None:
    store, case = MemoryStore(), replace(CASES["judged"](3), limits=Limits(rollouts=120, steps=10))
    cold = asyncio.run(carry(case, store=store))
    warm = asyncio.run(carry(case, store=store))
    first, again = curve(read(store, cold.run_id)), curve(read(store, warm.run_id))
    assert [p.mean for p in again.evaluated] == [p.mean for p in first.evaluated]
    rollouts = [p.taken.rollouts for p in again.evaluated]
    assert rollouts[0] == again.evaluated[0].scored
    assert rollouts == sorted(rollouts)
    assert rollouts[-1] <= len(read(store, warm.run_id).ledger.drawn)
    assert {p.taken.usd for p in again.evaluated} == {p.taken.usd for p in again.gated} == {0.0}


def test_the_flow_counts_what_was_called() -> None:
    store, view = run()
    found = flow(view)
    attempts = store.attempts(view.run.id)
    counted = Counter((a.begun.role, a.ended.outcome) for a in attempts if a.ended)
    assert {(r, o): n for r, each in found.attempts.items() for o, n in each.items()} == counted
    kinds = Counter(a.ended.failure for a in attempts if a.ended and a.ended.outcome == "failed")
    assert found.failures == kinds
    assert set(kinds) == {"task_failed", "rate_limited"}
    assert found.given_up == len(view.failures) > 0
    assert (found.in_flight, found.reused) == ({}, {})
    assert found.latency["rollout"].calls == counted["rollout", "done"]
    assert sum(found.pace.done["rollout"]) * found.pace.width / 60 == pytest.approx(
        counted["rollout", "done"]
    )


def test_a_run_that_has_only_begun_has_a_flow_without_figures() -> None:
    store, case = MemoryStore(), CASES["classic"](1)
    view = read(store, begin(store, case.job(), case.proposer()))
    found = flow(view)
    assert (found.attempts, found.latency, found.pace.done) == ({}, {}, {})
    assert not curve(view).evaluated
    assert not errors(view)
    assert not feed(view)


def test_calls_over_time_fit_a_chart_however_long_the_run() -> None:
    _, view = run()
    for hours in (0.01, 1, 30, 24 * 365):
        spent = np.zeros(1000, ENDED)
        spent["at"] = 1.7e9 + np.linspace(0, hours * 3600, 1000)
        pace = flow(replace(view, spent=spent)).pace
        assert len(pace.done["rollout"]) == len(pace.failed) <= MOST_BINS
        assert pace.start <= spent["at"][0] < pace.start + pace.width
        assert sum(pace.done["rollout"]) * pace.width / 60 == pytest.approx(1000)


def test_failures_that_say_the_same_are_one_error() -> None:
    store, view = run()
    worst, other = errors(view)
    assert (worst.kind, worst.pattern) == ("task_failed", "ticket '...' of N has no text")
    assert worst.given_up == len(view.failures)
    assert set(worst.examples) == {failure.example for failure in view.failures}
    assert (other.kind, other.pattern, other.given_up) == ("rate_limited", "HTTP N: wait N s", 0)
    failed = Counter(a.ended.failure for a in store.attempts(view.run.id) if a.ended)
    assert (worst.attempts, other.attempts) == (failed["task_failed"], failed["rate_limited"])
    assert other.first is not None
    assert other.last is not None
    assert other.first <= other.last
    assert 0 < len(other.keys) <= 5
    assert set(other.keys) <= {a.begun.key for a in store.attempts(view.run.id)}


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("no answer within 30.5 s", "no answer within 7 s", True),
        ("request req_8f3a21 of r_0123456789abcdef", "request req_77 of r_fedcba9876543210", True),
        ('bad value "left"', 'bad value "right"', True),
        ("HTTP 500: out of memory", "HTTP 500: no such model", False),
        ("cannot decode", "cannot feed", False),
    ],
)
def test_messages_are_alike_without_their_numbers_and_ids(one: str, other: str, alike: bool) -> None:
    assert (signature("rollout", "timeout", one) == signature("rollout", "timeout", other)) is alike


def test_the_feed_says_what_happened_in_plain_words() -> None:
    _, view = run()
    lines = feed(view)
    assert [told.seq for told in lines] == sorted({told.seq for told in lines})
    assert lines[0].text == "started"
    assert lines[-1].text == f"finished · {len(view.ledger.drawn)} rollouts"
    assert feed(view, lines[-1].seq) == lines[-1:]
    texts = {told.seq: told.text for told in lines}
    for seq, decision in enumerate(view.decisions):
        if isinstance(decision, events.GateDecided):
            child = f"#{view.rows[decision.child].index}"
            before, after = decision.before / decision.pairs, decision.after / decision.pairs
            means = f"{before:.3f} -> {after:.3f} on {decision.pairs} example"
            if decision.passed:
                assert texts[seq] == f"accepted · {child}"
            else:
                assert texts[seq].removesuffix("s") == f"turned down · {child}: {means}"
        if isinstance(decision, events.CandidateAdmitted) and decision.step and decision.gained:
            assert f", frontier +{len(decision.gained)} example" in texts[seq]
        if isinstance(decision, events.StepStarted):
            assert seq not in texts


@pytest.mark.parametrize("name", ["rungs", "merging", "lanes"])
def test_every_kind_of_decision_has_a_line_or_none(name: str) -> None:
    done = asyncio.run(carry(CASES[name](3)))
    view = read(done.store, done.run_id)
    for decision in view.decisions:
        told = line(decision, view.rows)
        quiet = isinstance(decision, events.StepStarted | events.LaneResumed) or (
            isinstance(decision, events.RungEnded) and not decision.stopped
        )
        assert (told is None) is quiet
        assert told is None or not told.candidates or "#" in told.text or not told.text.endswith(":")


def test_an_interval_of_few_values_is_the_same_either_way() -> None:
    assert student_mean([0.0, 1.0, 1.0]) == bootstrap_mean([0.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="no values"):
        student_mean([])


def test_a_record_of_a_long_run_has_something_of_everything() -> None:
    store = MemoryStore()
    view = read(store, big_run(store, rollouts=1500, candidates=6, examples=60, seed=4))
    assert view.finished
    assert sum(row.mean is not None for row in view.rows.values()) == 6
    assert 1400 < len(view.ledger.drawn) < 1700
    assert view.failures
    assert view.ledger.role("rollout").reused
    assert len(curve(view).evaluated) == 6
    assert {"rate_limited", "timeout"} <= flow(view).failures.keys()
    assert errors(view)[0].kind == "task_failed"
