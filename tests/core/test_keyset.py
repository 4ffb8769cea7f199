"""A set of keys in little memory is a set of keys."""

from hypothesis import given, settings
from hypothesis import strategies as st

from paretune.core.keyset import LOOSE, KeySet


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 4 * LOOSE), st.integers(0, 3 * LOOSE)), max_size=8), st.text())
def test_what_was_added_is_there_and_nothing_else(spans: list[tuple[int, int]], other: str) -> None:
    keys, plain = KeySet(), set[str]()
    for first, count in spans:
        new = [f"r_{number:032x}" for number in range(first, first + count)]
        assert keys.missing(new) == set(new) - plain
        keys.update(new)
        plain.update(new)
        assert len(keys) == len(plain)
    assert keys == plain
    assert set(keys) == plain
    assert (other in keys) == (other in plain)


def test_it_takes_less_than_a_set_of_as_many() -> None:
    keys = KeySet(f"r_{number:032x}" for number in range(10 * LOOSE))
    packed = sum(part.nbytes for part in keys._packed)
    assert packed <= 34 * 10 * LOOSE
    assert len(keys._loose) <= LOOSE
