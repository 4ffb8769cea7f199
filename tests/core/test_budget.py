"""No order of calls passes a cap."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.core.budget import Brings, Ledger, Limits, Spent
from paretune.core.errors import BudgetExceeded
from paretune.core.rollout import Usage

batches = st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=5), max_size=8)


@given(st.integers(0, 8), batches)
def test_distinct_rollouts_never_pass_the_cap_and_a_refused_batch_takes_nothing(
    cap: int, asked: list[list[str]]
) -> None:
    ledger = Ledger(Limits(rollouts=cap))
    for keys in asked:
        before = set(ledger.drawn)
        fits = len(before | set(keys)) <= cap
        assert ledger.affords(keys) == fits
        if fits:
            ledger.draw(keys)
            assert ledger.drawn == before | set(keys)
        else:
            with pytest.raises(BudgetExceeded, match="rollouts"):
                ledger.draw(keys)
            assert ledger.drawn == before
        assert ledger.left() == cap - len(ledger.drawn)


@given(st.integers(0, 8), st.lists(st.sampled_from("abcdefgh")), st.integers(0, 4))
def test_affords_keeps_back_what_it_is_told(cap: int, keys: list[str], keep: int) -> None:
    ledger = Ledger(Limits(rollouts=cap))
    if ledger.affords(keys, keep):
        ledger.draw(keys)
        left = ledger.left()
        assert left is not None
        assert left >= keep


def test_the_same_rollout_is_paid_once_and_without_a_cap_everything_fits() -> None:
    ledger = Ledger(Limits(rollouts=2))
    ledger.draw(["a", "b", "a"])
    ledger.draw(["b"])
    assert ledger.left() == 0
    free = Ledger()
    free.draw(str(i) for i in range(10_000))
    assert free.left() is None
    assert free.affords(["more"], keep=10**9)


# What to do with an open attempt, the price of the next one, and the share of a reservation really charged.
moves = st.lists(
    st.tuples(st.sampled_from(["reserve", "settle", "fail"]), st.floats(0, 0.5), st.floats(0, 1)), max_size=40
)


@given(moves, st.floats(0, 2))
def test_money_settled_and_reserved_never_passes_the_cap_even_over_a_kill(
    played: list[tuple[str, float, float]], cap: float
) -> None:
    ledger = Ledger(Limits(cost_usd=cap))
    out: dict[str, float] = {}
    settled = dearest = 0.0
    for number, (move, usd, share) in enumerate(played):
        if move == "reserve":
            try:
                held = ledger.reserve(f"attempt {number}", usd)
                assert held == max(usd, dearest)
                out[f"attempt {number}"] = held
            except BudgetExceeded:
                assert settled + sum(out.values()) + max(usd, dearest) > cap - 1e-9
        elif out:
            attempt, reserved = out.popitem()
            if move == "fail":
                ledger.fail(attempt, "rollout")
            else:
                ledger.settle(attempt, "rollout", Usage(cost_usd=reserved * share))
                settled += reserved * share
                dearest = max(dearest, reserved * share)
        assert ledger.cost_usd == pytest.approx(settled)
        assert settled + sum(out.values()) <= cap + 1e-9

    resumed = Ledger(Limits(cost_usd=cap))
    resumed.settle("before", "rollout", Usage(cost_usd=settled))
    for reserved in out.values():
        resumed.lose("", "rollout", reserved)
    assert resumed.cost_usd == pytest.approx(settled + sum(out.values()))
    assert resumed.cost_usd <= cap + 1e-9
    with pytest.raises(BudgetExceeded, match="cost_usd"):
        resumed.reserve("after", cap - resumed.cost_usd + 0.01)


@given(
    st.lists(
        st.tuples(st.sampled_from(["rollout", "proposal"]), st.integers(0, 9), st.booleans()), max_size=30
    ),
    st.integers(0, 60),
    st.integers(0, 60),
)
def test_tokens_of_each_role_and_of_all_stay_within_their_caps_once_a_call_is_known(
    calls: list[tuple[str, int, bool]], cap: int, own: int
) -> None:
    """No call takes more than the longest one before, which is what is held for it."""
    ledger = Ledger(Limits(tokens=60 + cap, proposal_tokens=20 + own))
    for role in ("rollout", "proposal"):
        ledger.settle(f"first {role}", role, Usage(9, 0))
    out: list[tuple[str, str, int]] = []
    for number, (role, tokens, comes_home) in enumerate(calls):
        with contextlib.suppress(BudgetExceeded):
            ledger.reserve(str(number), 0.0, role)
            out.append((str(number), role, tokens))
        if comes_home and out:
            attempt, who, taken = out.pop(0)
            ledger.settle(attempt, who, Usage(taken, 0))
    for attempt, who, taken in out:
        ledger.settle(attempt, who, Usage(taken, 0))
    assert ledger.tokens <= 60 + cap
    assert ledger.role("proposal").tokens <= 20 + own


def test_roles_are_booked_apart_and_an_unknown_price_is_counted_not_guessed() -> None:
    ledger = Ledger()
    ledger.reserve("1", 5.0)
    ledger.settle("1", "rollout", Usage(10, 2, 0.25), seconds=1.5)
    ledger.settle("2", "rollout", Usage(1, 1, None), seconds=0.5)
    ledger.settle("3", "proposal", Usage(100, 50, 1.0))
    ledger.fail("4", "proposal")
    ledger.lose("5", "rollout", 0.5)
    ledger.reuse("rollout")
    assert ledger.role("rollout") == Spent(
        calls=2,
        reused=1,
        lost=1,
        prompt_tokens=11,
        completion_tokens=3,
        cost_usd=0.25,
        lost_usd=0.5,
        unpriced=1,
        seconds=2.0,
    )
    assert ledger.role("proposal") == Spent(
        calls=1, failed=1, prompt_tokens=100, completion_tokens=50, cost_usd=1.0
    )
    assert ledger.role("verdict") == Spent()
    assert (ledger.cost_usd, ledger.tokens) == (1.75, 164)


@given(
    st.integers(0, 12),
    batches,
    st.sets(st.sampled_from("abcdefgh")),
    st.sets(st.sampled_from("abcdefgh")),
    st.sets(st.sampled_from("abcdefgh")),
)
def test_rollouts_that_could_not_be_paid_keep_their_place_until_the_search_is_over(
    cap: int, asked: list[list[str]], unpaid: set[str], again: set[str], after_all: set[str]
) -> None:
    ledger = Ledger(Limits(rollouts=cap))
    for keys in asked:
        with contextlib.suppress(BudgetExceeded):
            ledger.draw(keys)
    drawn = set(ledger.drawn)
    for key in unpaid & drawn:
        ledger.refused(key)
    for key in after_all:
        ledger.paid(key)  # another lane asked for it, and then there was money
    assert (set(ledger.drawn), ledger.left()) == (drawn, cap - len(drawn))
    ledger.reopen()
    paid = drawn - (unpaid - after_all)
    assert (set(ledger.drawn), ledger.left()) == (paid, cap - len(paid))
    assert ledger.affords(again) == (len(paid | again) <= cap)
    if ledger.affords(again):
        ledger.draw(again)
        ledger.reopen()  # what was refused before is forgotten: nothing is given back twice
        assert set(ledger.drawn) == paid | again


def test_while_it_is_closed_a_ledger_reserves_nothing_and_nobody_waits_for_that() -> None:
    ledger = Ledger(Limits(cost_usd=1.0, tokens=100, rollouts=3))
    ledger.reserve("out", 0.25, tokens=90)
    assert ledger.must_wait("rollout", 50)
    ledger.closed = True
    assert not ledger.must_wait("rollout", 50)
    assert not ledger.free(0.0)
    for role in ("rollout", "proposal"):
        with pytest.raises(BudgetExceeded, match="cost_usd"):
            ledger.reserve("more", 0.0, role)
    ledger.draw(["a"])
    ledger.settle("out", "rollout", Usage(10, 0, 0.2))
    ledger.reopen()
    assert ledger.reserve("more", 0.25) == 0.25
    assert (ledger.cost_usd, ledger.left()) == (0.2, 2)


@pytest.mark.parametrize("role", ["rollout", "proxy"])
def test_rollouts_of_both_policies_and_their_verdicts_count_against_the_same_caps(role: str) -> None:
    brings = Brings("verdict", 2, tokens=10)
    ledger = Ledger(
        Limits(rollout_tokens=100, verdict_tokens=50), brings={"rollout": brings, "proxy": brings}
    )
    ledger.reserve("a", 0.0, "rollout", 10)
    ledger.settle("a", "rollout", Usage(5, 5))
    ledger.reserve("b", 0.0, "proxy", 60)
    with pytest.raises(BudgetExceeded, match="rollout_tokens"):
        ledger.reserve("c", 0.0, role, 40)
    ledger.release("b")
    ledger.reserve("d", 0.0, "rollout", 10)
    ledger.reserve("e", 0.0, "proxy", 10)
    with pytest.raises(BudgetExceeded, match="verdict_tokens"):
        ledger.reserve("f", 0.0, role, 1)
    assert ledger.tokens_of("proxy") == ledger.tokens_of("rollout") == 10
