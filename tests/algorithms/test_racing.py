"""The gate as a race: what it decides early is what it would have decided late."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from paretune.algorithms.racing import Race

reward = st.integers(0, 7).map(lambda n: n / 8)
child = st.integers(0, 8).map(lambda n: n / 8)


def _race(failed: list[float], passed: int, share: float, chunk: int) -> Race:
    return Race(
        failed={f"f{i}": r for i, r in enumerate(failed)},
        passed={f"p{i}": 1.0 for i in range(passed)},
        share=share,
        chunk=chunk,
        rng=Random(0),
    )


@given(
    st.lists(reward, min_size=1, max_size=6),
    st.integers(0, 9),
    st.integers(0, 4).map(lambda n: n / 4),
    st.integers(1, 4),
    st.data(),
)
def test_stopping_early_never_changes_a_verdict(
    failed: list[float], passed: int, share: float, chunk: int, data: st.DataObject
) -> None:
    race = _race(failed, passed, share, chunk)
    rewards = {e: data.draw(child) for e in (*race.failed, *race.passed)}
    asked: list[str] = []
    while examples := race.next():
        assert not set(asked) & set(examples)
        asked += examples
        race.scored({e: rewards[e] for e in examples})
    gain = sum(rewards[e] - r for e, r in race.failed.items()) / len(failed)
    loss = sum(rewards[e] - 1.0 for e in race.passed) / max(1, passed)
    expected = gain > 0 and (1 - share) * gain + share * loss > 0
    assert race.verdict().passed == expected
    assert race.verdict().pairs == len(asked)


def test_failures_come_first_and_a_child_without_gain_is_out() -> None:
    race = _race([0.0, 0.0], 8, 0.5, 4)
    assert list(race.next()) == ["f0", "f1"]
    race.scored({"f0": 0.0, "f1": 0.0})
    assert race.next() == ()
    assert not race.verdict().passed


def test_a_lead_that_the_rest_cannot_overturn_ends_the_race() -> None:
    race = _race([0.0], 8, 0.25, 4)
    race.scored(dict.fromkeys(race.next(), 1.0))
    assert race.next() == ()
    assert race.verdict().passed


def test_many_guards_do_not_outvote_the_failures_that_they_stand_beside() -> None:
    """A child that wins half of the failures and loses a quarter of the passes is better where most fail."""
    race = _race([0.0] * 4, 16, 0.2, 16)
    race.scored({e: float(i < 2) for i, e in enumerate(race.next())})
    race.scored({e: float(i >= 4) for i, e in enumerate(race.next())})
    assert race.verdict().passed


def test_too_few_scored_is_no_pass() -> None:
    race = _race([0.0] * 4, 0, 0.0, 4)
    race.next()
    race.scored({"f0": 1.0})
    verdict = race.verdict()
    assert (verdict.passed, verdict.reason) == (False, "too_few_scored")


@given(
    st.lists(st.tuples(reward, child), min_size=1, max_size=6),
    st.lists(child, max_size=6),
    st.integers(0, 4).map(lambda n: n / 4),
)
def test_what_a_child_passes_by_alone_is_what_it_would_not_pass_without(
    failed: list[tuple[float, float]], passed: list[float], share: float
) -> None:
    race = _race([before for before, _ in failed], len(passed), share, 99)
    after = {f"f{i}": r for i, (_, r) in enumerate(failed)} | {f"p{i}": r for i, r in enumerate(passed)}
    while examples := race.next():
        race.scored({e: after[e] for e in examples})
    gained = [e for e, before in race.failed.items() if after[e] > before]
    assert race.hangs_on == (gained[0] if len(gained) == 1 else None)
    if race.hangs_on:
        race.scored({race.hangs_on: race.failed[race.hangs_on]})
        assert race.hangs_on is None
        assert not race.verdict().passed
