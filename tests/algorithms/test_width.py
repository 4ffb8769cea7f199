"""How many lanes: fewer where edits clash, back to all where they do not."""

from hypothesis import given
from hypothesis import strategies as st

from paretune.algorithms.width import LEAST, WINDOW, Width


@st.composite
def fates(draw: st.DrawFn) -> list[bool]:
    """Windows with any number of clashes, and what comes after the last of them."""
    counts = draw(st.lists(st.integers(0, WINDOW), max_size=8))
    whole = [i < clashes for clashes in counts for i in range(WINDOW)]
    return whole + draw(st.lists(st.booleans(), max_size=WINDOW - 1))


@given(st.integers(1, 64), fates())
def test_lanes_change_by_whole_windows_and_between_two_and_all_of_them(most: int, fates: list[bool]) -> None:
    width = Width(most)
    for number, clashed in enumerate(fates, 1):
        before = width.now
        full = width.count(clashed=clashed)
        assert full == (number % WINDOW == 0)
        assert min(LEAST, most) <= width.now <= most
        if not full:
            assert width.now == before
            continue
        clashes = sum(fates[number - WINDOW : number])
        assert (width.carried, width.clashed) == (WINDOW, clashes)
        if clashes > WINDOW - clashes:
            assert width.now == max(before // 2, min(LEAST, most))
        else:
            assert width.now == (min(before + 1, most) if clashes <= 1 else before)


@given(st.integers(1, 64))
def test_nothing_but_clashes_ends_with_the_least_and_none_brings_all_back(most: int) -> None:
    width = Width(most)
    for _ in range(8 * WINDOW):
        width.count(clashed=True)
    assert width.now == min(LEAST, most)
    for _ in range(most * WINDOW):
        width.count(clashed=False)
    assert width.now == most
