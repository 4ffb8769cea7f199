"""Forecasts: never negative, never past a cap, growing with what is allowed, and exact at the end."""

from __future__ import annotations

import asyncio
import math
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.core import events
from paretune.core.budget import Limits, Spent
from paretune.engine.forecast import History, forecast, history
from paretune.engine.job import Job, Prices
from paretune.engine.outlook import Outlook, Range, outlook
from paretune.engine.run import Live, Runner, Watch
from paretune.engine.standing import Course, Standing
from paretune.store import MemoryStore
from paretune.views.run_view import RunView, read
from support.rulebook import RulebookExecutor
from support.runs import CASES, JournalStore, begin

FIGURES = [f.name for f in fields(Outlook) if f.name != "ends_by"]
CAPPED = {
    "rollouts": Limits(rollouts=300),
    "steps": Limits(steps=25),
    "tokens": Limits(rollouts=2_000, tokens=15_000),
    "cost_usd": Limits(cost_usd=0.5, steps=300),
}


def followed(name: str, limits: Limits, seed: int = 0) -> tuple[Job, list[Outlook], list[Outlook], RunView]:
    """The forecast of the process at each decision, and the one that its record allows, as it grew."""
    case, store = CASES[name](seed), JournalStore()
    job = case.job(limits=limits, prices=Prices(0.004, 0.01))
    run_id = begin(store, job, case.proposer())
    lives: list[Live] = []
    live: list[Outlook] = []
    watch = Watch(decision=lambda decision: live.append(lives[0].outlook()), live=lives.append)
    asyncio.run(Runner(store, run_id, job, RulebookExecutor(case.book), case.proposer(), watch).run())
    every = max(1, len(store.commits) // 60)
    grown = [store.after(run_id, commits) for commits in range(1, len(store.commits) + 1, every)]
    told = [read(early, run_id).outlook for early in grown]
    return job, live, told, read(store, run_id)


@pytest.mark.parametrize("cap", CAPPED)
@pytest.mark.parametrize("name", ["merging", "lanes"])
def test_the_forecast_of_a_real_run(name: str, cap: str) -> None:
    job, live, told, view = followed(name, CAPPED[cap])
    drawn, spent = len(view.ledger.drawn), view.ledger
    assert view.ended is not None
    figures = [exactly(value) for value in (drawn, spent.tokens, spent.cost_usd, 0, 0)]
    end = Outlook(**dict(zip(FIGURES, figures, strict=True)), ends_by=view.ended.reason)
    assert live[-1] == view.outlook == end
    assert live[0] == told[0] == Outlook()
    for seen in (live, told):
        known = [cast for cast in seen if cast.rollouts is not None]
        assert len(known) > len(seen) / 2
        for cast in known:
            sound(cast, job)
        inside = [c.rollouts.low - 1 <= drawn <= c.rollouts.high + 1 for c in known if c.rollouts]
        assert sum(inside) > 0.55 * len(inside)  # over all cases of tests/support it is nine in ten


def exactly(value: float) -> Range:
    return Range(value, value, value)


def sound(cast: Outlook, job: Job) -> None:
    for name in FIGURES:
        figure: Range | None = getattr(cast, name)
        if figure is not None:
            assert 0 <= figure.low <= figure.likely <= figure.high < math.inf, name
    limits = job.limits
    for figure, cap in (
        (cast.rollouts, limits.rollouts),
        (cast.tokens, limits.tokens),
        (cast.usd, limits.cost_usd),
    ):
        if figure is not None and cap is not None:
            assert figure.high <= cap + 1e-9


# -- any standing ----------------------------------------------------------------------------------------

JOB = replace(CASES["judged"](0), limits=Limits()).job()


@st.composite
def standings(draw: st.DrawFn) -> Standing:
    drawn, began = draw(st.integers(12, 2_000)), draw(st.floats(0, 50))
    calls = draw(st.integers(0, drawn))
    spent = {
        "rollout": Spent(
            calls=calls, prompt_tokens=calls * draw(st.integers(0, 500)), cost_usd=calls * 0.001
        ),
        "proposal": Spent(calls=draw(st.integers(0, 9)), completion_tokens=draw(st.integers(0, 9_000))),
    }
    course = Course(
        began=began,
        step=draw(st.integers(0, 100)),
        generation=draw(st.integers(0, 100)),
        proposals=draw(st.integers(0, 100)),
        rivals=frozenset(draw(st.sets(st.sampled_from("abcdef")))),
        ended=draw(st.none() | st.just(events.SearchEnded(step=1, reason="steps", detail=""))),
    )
    elapsed = began + draw(st.floats(0, 1_000))
    closing = draw(st.integers(0, 60)) if course.ended else 0
    return Standing(course, drawn, elapsed, calls, draw(st.integers(0, 20)), closing, spent)


@given(standings(), st.integers(1, 500), st.integers(0, 500))
def test_a_larger_budget_is_never_forecast_to_buy_less(now: Standing, left: int, more: int) -> None:
    least = now.drawn + left
    one, two = (replace(JOB, limits=Limits(rollouts=cap)) for cap in (least + 60, least + 60 + more))
    small, large = outlook(one, now), outlook(two, now)
    sound(small, one)
    sound(large, two)
    for name in ("rollouts", "tokens", "usd", "seconds_left", "proposals"):
        less, greater = getattr(small, name), getattr(large, name)
        # The end keeps more finalists where the budget is larger, which proposals may have to pay for.
        if less is not None and greater is not None and name != "proposals":
            assert greater.high >= less.high - 1e-6, name
            assert greater.likely >= less.likely - 1e-6, name


@given(standings(), st.floats(0.001, 10))
def test_what_is_spent_is_never_forecast_away(now: Standing, cap: float) -> None:
    for limits in (Limits(), Limits(cost_usd=now.usd + cap), Limits(seconds=now.elapsed + cap)):
        job = replace(JOB, limits=limits, prices=Prices(0.0, 0.0))
        cast = outlook(job, now)
        sound(cast, job)
        if cast.rollouts is not None:
            assert cast.rollouts.low >= now.drawn
            assert cast.tokens is None or cast.tokens.low >= now.tokens
            assert cast.usd is None or cast.usd.low >= now.usd - 1e-9


def test_seconds_come_down_as_a_steady_run_goes_on_and_the_first_cap_is_named() -> None:
    job = replace(JOB, limits=Limits(rollouts=400, steps=50))
    lefts = []
    for step in range(4, 40):
        calls = 12 + 6 * step
        course = Course(began=12.0, step=step, generation=step, proposals=step)
        now = Standing(course, calls, float(calls), calls, spent={"rollout": Spent(calls=calls)})
        cast = outlook(job, now)
        assert cast.seconds_left is not None
        assert cast.ends_by == "steps"  # 50 steps take 300 of the rollouts that the budget has for the search
        lefts.append(cast.seconds_left.likely)
    assert lefts == sorted(lefts, reverse=True)
    assert lefts[0] == pytest.approx(46 * 6 + 64)


# -- before the run ---------------------------------------------------------------------------------------


def test_before_the_run_earlier_runs_say_how_much_it_takes() -> None:
    case, store = CASES["classic"](0), MemoryStore()
    job = case.job()
    assert history(store, job) == History()
    cast = forecast(job)
    assert (cast.tokens, cast.usd, cast.seconds) == ({"rollout": None, "proposal": None}, None, None)
    assert "unknown until the first rollouts" in cast.basis
    run_id = begin(store, job, case.proposer())
    asyncio.run(Runner(store, run_id, job, RulebookExecutor(case.book), case.proposer()).run())
    ledger = read(store, run_id).ledger
    again = forecast(job, history(store, job))
    rollout = ledger.role("rollout")
    assert again.tokens["rollout"] == round(240 * rollout.tokens / rollout.calls)
    assert again.usd is not None
    assert again.seconds is not None
    assert f"{rollout.calls} rollouts" in again.basis
    stranger = replace(job, identity=replace(job.identity, policy="another model"))
    assert history(store, stranger) == History()


@pytest.mark.parametrize(
    ("limits", "prices", "ends_by"),
    [
        (Limits(rollouts=22), Prices(), "rollouts"),
        (Limits(steps=2), Prices(), "steps"),
        (Limits(cost_usd=0.025), Prices(0.001, 0.002), "cost_usd"),
    ],
)
def test_fewer_than_three_proposals_are_warned_of(limits: Limits, prices: Prices, ends_by: str) -> None:
    case = CASES["classic"](0)
    cast = forecast(case.job(limits=limits, prices=prices))
    assert cast.most < 3
    assert cast.ends_by == ends_by
    assert any("fewer than 3 proposals" in line for line in cast.warnings)
    assert not forecast(case.job()).warnings


def test_a_money_cap_without_a_price_says_what_it_does_not_hold() -> None:
    prices = Prices(rollout=0.001, unknown_allowed=frozenset({"proposal"}))
    cast = forecast(CASES["classic"](0).job(limits=Limits(cost_usd=1.0), prices=prices))
    assert any("nobody knows what proposals cost" in line for line in cast.warnings)
