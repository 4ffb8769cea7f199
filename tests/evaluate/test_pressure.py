"""What answers do to the limit and to the circuit."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.core.errors import AttemptFailed, FailureKind
from paretune.evaluate.pressure import (
    FIRST_PROBE,
    LEAST_FAILURES,
    LONGEST_PROBE,
    Circuit,
    Concurrency,
    pushes_back,
    without_address,
)

# -- the limit ---------------------------------------------------------------------------------------


def test_a_push_back_halves_the_limit_once_per_duration_of_a_call() -> None:
    limit = Concurrency(16)
    limit.succeeded(5.0)
    for moment in (10.0, 10.1, 14.9):
        limit.pushed_back(moment)
    assert limit.now == 8
    limit.pushed_back(15.0)
    assert limit.now == 4


def test_a_smaller_share_holds_at_once_and_a_larger_one_where_nothing_was_pushed_back() -> None:
    limit = Concurrency(16)
    limit.allow(4)
    assert (limit.now, limit.most) == (4, 4)
    limit.allow(8)
    assert limit.now == 8
    limit.pushed_back(0.0)
    limit.allow(16)
    assert (limit.now, limit.most) == (4, 16), "who was slowed down is not sped up by a larger share"


def test_fast_calls_still_leave_a_second_between_two_cuts() -> None:
    limit = Concurrency(16)
    limit.succeeded(0.01)
    for moment in (0.0, 0.5, 0.99, 1.0):
        limit.pushed_back(moment)
    assert limit.now == 4


def test_as_many_successes_as_the_limit_is_wide_add_one() -> None:
    limit = Concurrency(8)
    limit.pushed_back(0.0)
    widths = []
    for _ in range(4 + 5 + 6 + 7 + 20):
        limit.succeeded(0.1)
        widths.append(limit.now)
    assert [widths.index(width) + 1 for width in (5, 6, 7, 8)] == [4, 9, 15, 22]
    assert widths[-1] == 8


@given(most=st.integers(1, 64), told=st.lists(st.none() | st.floats(0, 30), max_size=80))
def test_the_limit_stays_between_one_and_the_most(most: int, told: list[float | None]) -> None:
    limit, moment = Concurrency(most), 0.0
    for seconds in told:
        moment += 0.7
        if seconds is None:
            limit.pushed_back(moment)
        else:
            limit.succeeded(seconds)
        assert 1 <= limit.now <= most


PUSH_BACK = {FailureKind.RATE_LIMITED, FailureKind.TIMEOUT}


@pytest.mark.parametrize("kind", FailureKind)
def test_what_counts_as_push_back(kind: FailureKind) -> None:
    assert pushes_back(AttemptFailed(kind, "")) == (kind in PUSH_BACK)
    assert pushes_back(AttemptFailed(kind, "", retry_after=0.0))


# -- the circuit -------------------------------------------------------------------------------------


def opened(limit: int = 1, patience: float = 60.0, seed: int = 0) -> tuple[Circuit, random.Random]:
    circuit, rng = Circuit(patience), random.Random(seed)
    for _ in range(max(LEAST_FAILURES, limit)):
        assert circuit.lets_start(0.0)
        circuit.failed(0.0, probe=False, limit=limit, rng=rng)
    return circuit, rng


@pytest.mark.parametrize("limit", [1, 5, 12])
def test_it_opens_after_five_failures_in_a_row_or_as_many_as_may_be_out(limit: int) -> None:
    circuit, _ = opened(limit)
    assert not circuit.lets_start(0.0)
    assert FIRST_PROBE / 2 <= circuit.next_probe <= FIRST_PROBE


def test_an_answer_between_starts_the_count_again() -> None:
    circuit, rng = Circuit(60.0), random.Random(0)
    for number in range(20):
        circuit.failed(0.0, probe=False, limit=1, rng=rng)
        if number % 4 == 3:
            circuit.answered()
    assert circuit.lets_start(0.0)


def test_one_probe_at_a_time_after_waits_that_double() -> None:
    circuit, rng = opened(patience=1e9)
    waits = []
    for _ in range(9):
        moment = circuit.next_probe
        assert not circuit.lets_start(moment - 0.01)
        assert circuit.lets_start(moment)
        assert circuit.start()
        assert not circuit.lets_start(moment)
        circuit.failed(moment, probe=True, limit=1, rng=rng)
        waits.append(circuit.next_probe - moment)
    for number, wait in enumerate(waits):
        most = min(LONGEST_PROBE, FIRST_PROBE * 2 ** (number + 1))
        assert most / 2 <= wait <= most


def test_the_last_probe_is_at_the_end_of_the_patience() -> None:
    circuit, rng = opened(patience=10.0)
    moments = []
    while not circuit.given_up(moment := circuit.next_probe):
        moments.append(moment)
        circuit.start()
        circuit.failed(moment, probe=True, limit=1, rng=rng)
    assert moment == 10.0
    assert 2 <= len(moments) <= 5


def test_a_probe_that_is_answered_closes_it() -> None:
    circuit, _ = opened()
    circuit.start()
    circuit.answered()
    assert circuit.lets_start(0.0)
    assert not circuit.start()
    assert circuit.silent_for(99.0) == 0.0


def test_a_probe_that_tells_nothing_is_followed_by_another() -> None:
    circuit, _ = opened()
    circuit.start()
    circuit.abandoned()
    assert circuit.lets_start(circuit.next_probe)
    assert circuit.start()


def test_calls_that_were_out_when_it_opened_change_nothing() -> None:
    circuit, rng = opened()
    before = circuit.next_probe
    circuit.failed(0.4, probe=False, limit=1, rng=rng)
    assert circuit.next_probe == before


# -- addresses ---------------------------------------------------------------------------------------


REFUSED = "[Connect call failed ('127.0.0.1', 1)]"


@pytest.mark.parametrize(
    ("message", "left"),
    [
        (f"Cannot connect to host 127.0.0.1:1 ssl:default {REFUSED}", "[Connect call failed [address]]"),
        ("no connection to http://127.0.0.1:1: it said no", "no connection to [address]: it said no"),
        ("no connection to https://t.example/a/b?c=1: no", "no connection to [address]: no"),
        ("host t.example:443 ssl:default [Name or service not known]", "[address] ssl:default [Name or"),
        ("tried ('::1', 8001, 0, 0), [::1]:8001, 10.0.0.7", "tried [address], [address], [address]"),
    ],
)
def test_addresses_are_taken_out_and_the_words_stay(message: str, left: str) -> None:
    assert left in without_address(message)
    assert not any(
        part in without_address(message) for part in ("127", "example", "::1", "10.0", "80", "443")
    )


@pytest.mark.parametrize("message", ["no answer within 120 s", "version 1.2.3, item 12 of 40", "ssl:default"])
def test_what_is_no_address_stays(message: str) -> None:
    assert without_address(message) == message
