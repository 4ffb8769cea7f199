"""When a cheap policy is gone by, when not, and what it decides about a candidate."""

from __future__ import annotations

import random

import pytest

from paretune.algorithms.proxy import ControlVariate, R2Rule, Sight, State
from paretune.algorithms.rungs import Contest
from paretune.algorithms.settings import Proxy, ProxyRule

EXAMPLES = 100
NAMES = [f"e{number}" for number in range(EXAMPLES)]


def sight(seed: int, agrees: float, better: float = 0.0, measured: int = 32) -> Sight:
    """Rewards of 0 and 1; LO changes where HI does on a share of `agrees` of the examples."""
    rng = random.Random(f"{seed}/{agrees}/{better}")
    rival = {e: float(rng.random() < 0.5) for e in NAMES}
    hi, lo, rival_lo = {}, {}, {}
    for e in NAMES:
        change = rng.random()
        hi[e] = 1.0 if change < 0.15 + better else 0.0 if change > 0.85 + better else rival[e]
        if rng.random() < agrees:
            lo[e], rival_lo[e] = hi[e], rival[e]
        else:
            lo[e], rival_lo[e] = float(rng.random() < 0.5), float(rng.random() < 0.5)
    contest = Contest(NAMES, rival, dict.fromkeys(NAMES, 1.0), 1.0)
    return Sight(contest, measured, {e: hi[e] for e in NAMES[:measured]}, lo, rival_lo)


def settled(agrees: float, price: float) -> State:
    rule, state = ControlVariate(Proxy()), State.CALIBRATING
    for seed in range(20):
        rule.learn(f"c{seed}", sight(seed, agrees, measured=16))
        state, _ = rule.judged(state, price)
    return state


@pytest.mark.parametrize(
    ("agrees", "price", "expected"),
    [(0.95, 0.1, State.ON), (0.95, 0.9, State.OFF), (0.0, 0.01, State.OFF)],
)
def test_ours_is_on_where_it_is_worth_its_price(agrees: float, price: float, expected: State) -> None:
    assert settled(agrees, price) is expected


def test_ours_stops_the_worse_and_lets_the_better_go_on() -> None:
    rule = ControlVariate(Proxy())
    rule.learn("before", sight(99, 0.95, measured=100))
    worse = rule.forecast("c", sight(1, 0.95, better=-0.15), 1, 0.2)
    better = rule.forecast("c", sight(1, 0.95, better=0.15), 1, 0.2)
    assert worse.difference < 0 < better.difference
    assert worse.chance < 0.2 < 0.5 < better.chance
    assert worse.cells == 0  # none is open
    again = rule.forecast("c", sight(1, 0.95, better=-0.15), 3, 0.2)
    assert again.chance == pytest.approx(min(1.0, 3 * worse.chance))


def test_ours_waits_for_n_min_hi() -> None:
    rule = ControlVariate(Proxy(n_min_hi=50))
    rule.learn("c", sight(1, 0.95, measured=32))
    assert rule.judged(State.CALIBRATING, 0.1)[0] is State.CALIBRATING
    assert rule.forecast("c", sight(1, 0.95, measured=32), 1, 0.2).chance == 1.0


def judged(settings: Proxy, agrees: float, state: State = State.CALIBRATING, measured: int = 32) -> State:
    rule = R2Rule(settings)
    rule.learn("c", sight(3, agrees, measured=measured))
    return rule.judged(state, 0.1)[0]


R2 = ProxyRule.R2


def test_each_threshold_of_r2_decides() -> None:
    assert judged(Proxy(R2), 1.0) is State.ON
    assert judged(Proxy(R2), 0.0) is State.CALIBRATING
    assert judged(Proxy(R2, r2_thresh=0.0), 0.0) is State.ON
    assert judged(Proxy(R2, n_min_hi=100), 1.0) is State.CALIBRATING
    assert judged(Proxy(R2, sigma_max=0.0), 0.9) is State.CALIBRATING
    assert judged(Proxy(R2), 0.0, State.ON) is State.OFF
    assert judged(Proxy(R2, r2_stop=0.0), 0.0, State.ON) is State.ON
    assert judged(Proxy(R2, r2_stop=0.0, sigma_stop=0.001), 0.0, State.ON) is State.OFF


def test_r2_goes_by_the_mean_of_lo_alone() -> None:
    rule = R2Rule(Proxy(R2))
    rule.learn("c", sight(3, 1.0, measured=100))
    assert rule.forecast("c", sight(4, 1.0, better=-0.1), 1, 0.2).chance == 0.0
    assert rule.forecast("c", sight(4, 1.0, better=0.1), 1, 0.2).chance == 1.0
