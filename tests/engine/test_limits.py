"""Budgets and stops: no cap is ever passed, every search ends, and nothing is claimed that is not there."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Any

import pytest

from paretune.algorithms.settings import GepaSettings
from paretune.algorithms.stops import STALLED_EPOCHS, STALLED_STEPS, closing_rollouts
from paretune.core import events
from paretune.core.budget import Limits
from paretune.core.errors import Misconfigured, Paused
from paretune.core.rollout import Usage
from paretune.engine.job import Prices
from paretune.engine.run import Runner, Watch
from paretune.engine.verify import check_record, replay_record
from paretune.evaluate.evaluator import QueueSettings
from paretune.propose.base import Packet, Proposal, Proposer
from paretune.propose.none import NoProposer
from paretune.store import MemoryStore
from paretune.views.lift import lift_table
from paretune.views.run_view import RunView, read
from support.rulebook import HintProposer, Rulebook, RulebookExecutor
from support.runs import CASES, THREE, Case, begin, first_difference
from support.runs import canonical as record_of


def ran(
    case: Case,
    *,
    proposer: Proposer | None = None,
    executor: RulebookExecutor | None = None,
    prices: Prices | None = None,
    queue: QueueSettings = QueueSettings(),
) -> tuple[RunView, MemoryStore, RulebookExecutor]:
    store, job = MemoryStore(), case.job(prices=prices or Prices(), queue=queue)
    proposer, executor = proposer or case.proposer(), executor or RulebookExecutor(case.book)
    run_id = begin(store, job, proposer)
    asyncio.run(Runner(store, run_id, job, executor, proposer).run())
    assert check_record(store, run_id) == []
    return read(store, run_id), store, executor


# -- rollouts ----------------------------------------------------------------------------------------


def tight(minibatch: int, *, select: int, test: int, shared: bool, crossover: float) -> Case:
    book = Rulebook(3, THREE, rules=6, most=2)
    settings = GepaSettings(
        seed=3,
        minibatch_size=minibatch,
        initial_size=10,
        generations=6,
        children_per_generation=4,
        crossover_rate=crossover,
        mutation_rate=0.0,
        patience=0,
    )
    splits = book.splits(reflect=12, pareto=16, select=select, test=test, shared=shared)
    return Case(book, splits, settings, Limits(rollouts=1))


TIGHT = {
    "plain": tight(3, select=0, test=0, shared=False, crossover=0.0),
    "held out": tight(3, select=4, test=5, shared=False, crossover=0.5),
    "shared": tight(4, select=0, test=4, shared=True, crossover=0.5),
    "gate of a merge larger than a minibatch": tight(1, select=4, test=4, shared=False, crossover=0.9),
}


@pytest.mark.parametrize("name", TIGHT)
def test_no_budget_is_ever_passed_however_small(name: str) -> None:
    case = TIGHT[name]
    least = len(case.splits.pareto) + closing_rollouts(case.splits)
    for budget in range(1, least):
        with pytest.raises(Misconfigured, match="budget"):
            case.job(limits=Limits(rollouts=budget))
    for budget in [*range(least, least + 30), *range(least + 30, least + 150, 7)]:
        view, _, executor = ran(replace(case, limits=Limits(rollouts=budget)))
        assert view.run.status == "succeeded", budget
        assert len(executor.calls) == executor.calls.total() == len(view.ledger.drawn) <= budget
        assert view.finished is not None
        assert view.finished.test.keys() == (
            {view.seed.id, view.finished.best} if case.splits.test else set()
        )


def test_the_merges_of_the_tight_case_do_happen() -> None:
    case = TIGHT["gate of a merge larger than a minibatch"]
    views = [ran(replace(case, limits=Limits(rollouts=budget)))[0] for budget in range(110, 160, 10)]
    assert any(row.origin == "merge" for view in views for row in view.rows.values())


@pytest.mark.parametrize("concurrency", [1, 2, 5, 16, 64])
def test_budget_and_concurrency_together(concurrency: int) -> None:
    case = CASES["merging"](1)
    for budget in (60, 100, 157):
        limited = replace(case, limits=Limits(rollouts=budget))
        view, _, executor = ran(limited, queue=QueueSettings(concurrency=concurrency))
        assert executor.calls.total() == len(view.ledger.drawn) <= budget
        assert executor.most_in_flight <= concurrency


# -- the other stops ---------------------------------------------------------------------------------


def ended(view: RunView) -> str:
    assert view.ended is not None
    return view.ended.reason


@pytest.mark.parametrize("steps", [0, 1, 7])
def test_steps_end_the_search(steps: int) -> None:
    view, _, _ = ran(replace(CASES["classic"](0), limits=Limits(rollouts=400, steps=steps)))
    assert ended(view) == "steps"
    assert len(view.of_kind(events.StepStarted)) == steps


def test_the_target_ends_the_search_at_the_first_candidate_that_reaches_it() -> None:
    case = CASES["classic"](0)
    view, _, _ = ran(replace(case, settings=replace(case.settings, target=0.25)))
    means = [d.mean for d in view.decisions if isinstance(d, events.CandidateAdmitted)]
    assert ended(view) == "target"
    assert len(means) > 2
    assert means[-1] >= 0.25 > max(means[:-1])


def test_a_target_that_the_seed_reaches_ends_the_search_before_it_begins() -> None:
    case = CASES["classic"](0)
    view, _, executor = ran(replace(case, settings=replace(case.settings, target=0.0)))
    assert ended(view) == "target"
    assert executor.calls.total() == len(case.splits.pareto)


@pytest.mark.parametrize("patience", [1, 2, 4])
def test_patience_is_counted_in_generations_without_a_better_best(patience: int) -> None:
    case = CASES["shared"](1)
    settings = replace(case.settings, patience=patience, generations=50)
    view, _, _ = ran(replace(case, settings=settings, limits=Limits(rollouts=5_000)))
    better = [0]
    best = float("-inf")
    for d in view.decisions:
        if isinstance(d, events.CandidateAdmitted) and d.mean > best + settings.epsilon:
            best = d.mean
            better.append(d.generation)
    reached = max(d.generation for d in view.decisions if isinstance(d, events.StepStarted))
    assert ended(view) == "patience"
    assert reached - better[-1] == patience


def test_generations_end_the_search_and_every_event_carries_its_own() -> None:
    case = CASES["merging"](0)
    settings = replace(case.settings, initial_size=1, generations=3, children_per_generation=4)
    view, _, _ = ran(replace(case, settings=settings))
    assert ended(view) == "generations"
    proposals = [d.step for d in view.decisions if isinstance(d, events.StepStarted | events.GateDecided)]
    assert max(proposals) == 12
    for d in view.decisions:
        if isinstance(d, events.StepStarted | events.ChildProposed):
            assert d.generation == 1 + (d.step - 1) // 4


class _Clock:
    """Goes on by a second with each decision."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def tick(self, decision: events.Decision) -> None:
        self.now += 1.0


def test_time_ends_the_search_and_the_replay_needs_no_clock() -> None:
    case, store = CASES["judged"](0), MemoryStore()
    job, proposer = case.job(limits=Limits(rollouts=400, seconds=60.0)), case.proposer()
    run_id = begin(store, job, proposer)
    executor = RulebookExecutor(case.book)
    clock = _Clock()
    asyncio.run(Runner(store, run_id, job, executor, proposer, Watch(decision=clock.tick), clock=clock).run())
    view = read(store, run_id)
    assert ended(view) == "time"
    assert view.finished is not None
    before = [d.elapsed for d in store.decisions(run_id)]
    assert before == sorted(before)
    assert 60 <= before[-1] < 75
    assert replay_record(store, run_id) == len(before)


def test_active_time_adds_up_over_sessions() -> None:
    case, store = CASES["classic"](0), MemoryStore()
    job, proposer = case.job(limits=Limits(rollouts=400, seconds=60.0)), case.proposer()
    run_id = begin(store, job, proposer)
    sessions = 0
    while store.run(run_id).status != "succeeded":
        sessions += 1
        clock = _Clock()
        runner = Runner(store, run_id, job, RulebookExecutor(case.book), proposer, clock=clock)
        asyncio.run(_paused_after(runner, clock, store, 10 * sessions))
    assert sessions > 2
    assert ended(read(store, run_id)) == "time"
    assert store.decisions(run_id)[-1].elapsed < 60 + 5 + sessions


async def _paused_after(runner: Runner, clock: _Clock, store: MemoryStore, decisions: int) -> None:
    def look(decision: events.Decision) -> None:
        clock.tick(decision)
        if len(store.decisions(runner.run_id)) >= decisions:
            runner.stop.set()

    runner.watch = Watch(decision=look)
    with contextlib.suppress(Paused):
        await runner.run()


def test_tokens_end_the_search() -> None:
    case = CASES["classic"](0)
    view, _, _ = ran(replace(case, limits=Limits(rollouts=400, tokens=3_000)))
    assert ended(view) == "tokens"
    assert 2_000 < view.ledger.tokens <= 3_000
    one_step = 2 * case.settings.minibatch_size + len(case.splits.pareto)
    dearest = max(r.answer.usage.tokens for r in view.rollouts.values())
    assert view.ledger.tokens < 3_000 + one_step * dearest + 250


@pytest.mark.parametrize("name", ["classic", "merging", "lanes"])
@pytest.mark.parametrize("role", ["rollout", "proposal"])
def test_each_role_has_a_cap_on_its_own_tokens(name: str, role: str) -> None:
    case = CASES[name](0)
    cap = {f"{role}_tokens": {"rollout": 9_000, "proposal": 3_000}[role]}
    view, store, _ = ran(replace(case, limits=Limits(rollouts=1_000, **cap)))
    assert ended(view) == f"{role}_tokens"
    assert 0 < view.ledger.role(role).tokens <= cap[f"{role}_tokens"]
    assert view.finished is not None
    assert replay_record(store, view.run.id) == len(view.decisions)


@pytest.mark.parametrize("tokens", [6_000, 9_000, 12_000, 15_000])
@pytest.mark.parametrize("name", ["lanes", "crowded"])
def test_lanes_that_run_out_of_tokens_end_with_a_result_that_can_be_replayed(name: str, tokens: int) -> None:
    case = replace(CASES[name](0), limits=Limits(rollouts=2_000, tokens=tokens))
    view, store, _ = ran(case, queue=QueueSettings(concurrency=16))
    assert view.finished is not None
    assert view.ledger.tokens <= tokens
    assert replay_record(store, view.run.id) == len(view.decisions)


# -- money -------------------------------------------------------------------------------------------

PRICES = Prices(rollout=0.004, proposal=0.01)


def test_money_needs_a_price() -> None:
    with pytest.raises(Misconfigured, match="max_spend_usd"):
        CASES["classic"](0).job(limits=Limits(rollouts=100, cost_usd=1.0))


def test_an_unknown_price_is_allowed_by_name_and_for_that_role_only() -> None:
    case = replace(CASES["classic"](0), limits=Limits(cost_usd=0.15, steps=300))
    for known, allowed in ((Prices(rollout=0.004), "rollout"), (Prices(proposal=0.01), "proposal")):
        with pytest.raises(Misconfigured, match="allow_unpriced"):
            case.job(prices=replace(known, unknown_allowed=frozenset({allowed})))
    prices = Prices(rollout=0.004, unknown_allowed=frozenset({"proposal"}))
    view, _, executor = ran(case, prices=prices, proposer=HintProposer(0, Usage(200, 50, None)))
    assert ended(view) == "cost_usd"
    assert view.ledger.role("rollout").cost_usd <= 0.15
    proposals = view.ledger.role("proposal")
    assert proposals.unpriced == proposals.calls > 0
    assert executor.calls


@pytest.mark.parametrize(("role", "cap"), [("rollout", 0.3), ("rollout", 0.35), ("proposal", 0.05)])
@pytest.mark.parametrize("name", ["classic", "lanes"])
def test_each_role_has_a_cap_on_its_own_money(name: str, role: str, cap: float) -> None:
    money: dict[str, Any] = {f"{role}_usd": cap}
    limits = Limits(rollouts=2000, steps=300, **money)
    case = replace(CASES[name](0), limits=limits)
    with pytest.raises(Misconfigured, match="max_category_costs_usd"):
        case.job(limits=limits)
    view, store, _ = ran(case, prices=PRICES)
    assert view.ledger.role(role).usd <= cap + 1e-9
    assert ended(view) == f"{role}_usd"
    assert replay_record(store, view.run.id) == len(view.decisions)


def test_a_trial_cap_on_steps_without_a_better_best_ends_the_search() -> None:
    for name in ("classic", "lanes", "trials"):
        case = CASES[name](0)
        short, _, _ = ran(replace(case, settings=replace(case.settings, barren_steps=3)))
        assert ended(short) == "patience"
        assert len(short.decisions) < len(ran(case)[0].decisions)


CAPS = (0.15, 0.2, 0.25, 0.3, 0.33, 0.41, 0.5, 0.77)


@pytest.mark.parametrize("cap", CAPS)
@pytest.mark.parametrize("name", ["classic", "merging", "judged"])
@pytest.mark.parametrize("concurrency", [1, 16])
def test_money_is_never_passed_and_the_run_ends_with_a_result(
    name: str, cap: float, concurrency: int
) -> None:
    case = replace(CASES[name](0), limits=Limits(cost_usd=cap, steps=300))
    view, store, _ = ran(case, prices=PRICES, queue=QueueSettings(concurrency=concurrency))
    assert view.ledger.cost_usd <= cap + 1e-9
    assert view.run.status == "succeeded"
    assert ended(view) in ("cost_usd", "steps", "stalled", "generations")
    assert replay_record(store, view.run.id) == len(view.decisions)


@pytest.mark.parametrize("usage", [Usage(100, 10, 0.004), Usage(100, 10, None)], ids=["priced", "unpriced"])
def test_a_task_that_does_not_say_what_it_cost_is_booked_at_the_reserved_price(usage: Usage) -> None:
    case = replace(CASES["classic"](0), limits=Limits(cost_usd=0.3, steps=300))
    view, _, executor = ran(case, prices=PRICES, executor=RulebookExecutor(case.book, usage=usage))
    assert executor.calls.total() * 0.004 <= 0.3 + 1e-9
    assert ended(view) == "cost_usd"


def test_money_that_ends_between_two_rungs_is_replayed_alike() -> None:
    case, between = CASES["rungs"](1), 0
    for cap in (0.3, 0.35, 0.4, 0.45, 0.5, 0.55):
        case = replace(case, splits=case.book.splits(pareto=24), limits=Limits(cost_usd=cap, steps=300))
        dearer = RulebookExecutor(case.book, usage=Usage(100, 10, 0.004))
        view, store, _ = ran(case, prices=Prices(0.0005, 0.0005), executor=dearer)
        assert view.ended is not None
        before = view.decisions[view.decisions.index(view.ended) - 1]
        between += isinstance(before, events.RungEnded) and not before.stopped
        assert view.ledger.cost_usd <= cap + 1e-9
        assert replay_record(store, view.run.id) == len(view.decisions)
    assert between > 1


# -- proposers without an idea, rewards without signal -----------------------------------------------


class _Repeater:
    """One idea, whatever it is shown."""

    identity = "repeater"

    async def propose(self, packet: Packet) -> Proposal:
        return Proposal({packet.targets[0]: packet.parent.components[packet.targets[0]] + "\n- again"})


@pytest.mark.parametrize("proposer", [_Repeater(), NoProposer()], ids=["repeats itself", "has no idea"])
@pytest.mark.parametrize("name", CASES)
def test_a_proposer_that_leads_nowhere_ends_after_a_bounded_number_of_steps(
    name: str, proposer: Proposer
) -> None:
    case = CASES[name](0)
    endless = replace(case.settings, generations=1_000_000, patience=0, crossover_rate=0.0)
    for limits in (Limits(rollouts=20_000), Limits()):
        view, _, executor = ran(replace(case, settings=endless, limits=limits), proposer=proposer)
        assert ended(view) == ("exhausted" if case.mipro and case.algorithm == "mipro" else "stalled")
        epoch = -(-len(case.splits.reflect) // case.settings.minibatch_size)
        bound = max(STALLED_STEPS, STALLED_EPOCHS * epoch)
        assert len(view.of_kind(events.StepStarted)) <= bound * (1 + executor.calls.total())


def test_no_proposal_no_gain() -> None:
    view, _, _ = ran(CASES["judged"](0), proposer=NoProposer())
    (lift,) = [lift for lift in lift_table(view) if lift.split == "test"]
    assert view.finished is not None
    assert view.finished.best == view.seed.id
    assert (lift.role, lift.comparison.difference.mean) == ("seed", 0.0)


def test_rewards_without_signal_are_not_reported_as_a_gain() -> None:
    """Twenty worlds where the reward is a coin: about one in twenty intervals may miss zero, on each side."""
    claims = []
    for seed in range(20):
        case = CASES["merging"](seed)
        book = replace(case.book, signal=False)
        splits = book.splits(reflect=10, pareto=10, select=10, test=40)
        view, _, _ = ran(replace(case, book=book, splits=splits, limits=Limits(rollouts=600)))
        test = next(lift for lift in lift_table(view) if lift.split == "test")
        assert "untouched" in test.claim
        claims.append(test.comparison.difference.low > 0)
        assert all("selected on" in lift.claim for lift in lift_table(view) if lift.split != "test")
    assert sum(claims) <= 3


def test_a_tie_leaves_the_seed_in_place() -> None:
    """A child that is no better than the seed on what chooses is no reason for a change."""
    book = Rulebook(0, flaky=0.0, signal=False)

    splits = book.splits(reflect=6, pareto=4, test=4)
    for seed in range(12):
        case = Case(
            replace(book, seed=seed),
            splits,
            GepaSettings.classic(seed=seed, minibatch_size=2),
            Limits(rollouts=120, steps=40),
        )
        view, _, _ = ran(case)
        assert view.best is not None
        assert view.best.id == view.seed.id or (view.best.mean or 0) > (view.seed.mean or 0)


def test_the_search_of_a_money_capped_run_is_recorded_like_any_other() -> None:
    case = replace(CASES["classic"](3), limits=Limits(cost_usd=0.4, steps=300))
    one, store, _ = ran(case, prices=PRICES, queue=QueueSettings(concurrency=1))
    other, again, _ = ran(case, prices=PRICES, queue=QueueSettings(concurrency=1))
    assert first_difference(record_of(store, one.run.id), record_of(again, other.run.id)) == ""
