"""Fair shares of the rollouts in flight."""

from hypothesis import given
from hypothesis import strategies as st

from paretune.server.shares import shares

WANTED = st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(1, 100), max_size=8)


def test_small_jobs_get_what_they_want_and_large_ones_share_the_rest() -> None:
    assert shares({"a": 4, "b": 100, "c": 100}, 64) == {"a": 4, "b": 30, "c": 30}
    assert shares({"a": 20}, 64) == {"a": 20}
    assert shares({}, 64) == {}


@given(WANTED, st.integers(1, 200))
def test_never_more_than_there_are_and_nothing_idle_that_somebody_wants(
    wanted: dict[str, int], total: int
) -> None:
    got = shares(wanted, total)
    assert got.keys() == wanted.keys()
    assert all(1 <= got[job] <= wanted[job] for job in wanted)
    assert sum(got.values()) <= max(total, len(wanted))
    unserved = [job for job in wanted if got[job] < wanted[job]]
    assert not unserved or sum(got.values()) >= min(total, sum(wanted.values())) - len(wanted)
    assert len({got[job] for job in unserved}) <= 2, "those that want more have the same, but for what is odd"
