import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.core.gate import Acceptance, Verdict, compare

# Eighths: their sums are exact, so that the expected verdict is too.
rewards = st.dictionaries(st.sampled_from("abcdef"), st.integers(-8, 8).map(lambda n: n / 8))


@given(rewards, rewards, st.sampled_from(Acceptance))
def test_the_verdict_is_the_sum_over_the_pairs(
    before: dict[str, float], after: dict[str, float], acceptance: Acceptance
) -> None:
    verdict = compare(before, after, acceptance=acceptance)
    pairs = before.keys() & after.keys()
    old, new = sum(before[e] for e in pairs), sum(after[e] for e in pairs)
    assert (verdict.before, verdict.after, verdict.pairs) == (old, new, len(pairs))
    enough = bool(pairs) and len(pairs) >= len(before) / 2
    better = new > old or (acceptance is Acceptance.EQUAL and new == old)
    assert verdict.passed == (enough and better)
    assert (verdict.reason == "too_few_scored") == (not enough)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {}, Verdict(False, 0, 0, 0, "too_few_scored")),
        ({}, {"a": 1.0}, Verdict(False, 0, 0, 0, "too_few_scored")),
        ({"a": 0.0, "b": 0.0, "c": 0.0}, {"a": 1.0}, Verdict(False, 0.0, 1.0, 1, "too_few_scored")),
        ({"a": 0.0, "b": 0.0}, {"a": 1.0}, Verdict(True, 0.0, 1.0, 1, "improved")),
        ({"a": 0.0, "b": 1.0}, {"a": 1.0, "b": 0.0}, Verdict(False, 1.0, 1.0, 2, "not_improved")),
    ],
)
def test_verdicts(before: dict[str, float], after: dict[str, float], expected: Verdict) -> None:
    assert compare(before, after) == expected


@given(st.permutations([0.1, 0.2, 0.3, 0.7, -0.4]))
def test_the_order_of_the_same_rewards_is_no_improvement(after: list[float]) -> None:
    names = "abcde"
    before = dict(zip(names, [0.1, 0.2, 0.3, 0.7, -0.4], strict=True))
    child = dict(zip(names, after, strict=True))
    assert compare(before, child).reason == "not_improved"
    assert compare(before, child, acceptance=Acceptance.EQUAL).reason == "equal"


def test_nor_is_it_for_large_rewards() -> None:
    before = {"a": 1e8 + 0.1, "b": 0.2e8, "c": 0.3e8 + 0.7}
    after = {"a": before["c"], "b": before["a"], "c": before["b"]}
    assert math.fsum(before.values()) == math.fsum(after.values())
    assert compare(before, after).reason == "not_improved"
