"""Charts without scripts."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from paretune.console.plot import DOTS, SIDE, Dot, Series, plot

numbers = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=30))
def test_all_that_is_drawn_is_inside(spots: list[tuple[float, float]]) -> None:
    dots = [Dot(x, y, "here", "c") for x, y in spots]
    drawn = plot([Series("one", "train", "step", spots, dots)], x_title="x", link=lambda who: f"/{who}")
    assert drawn is not None
    places = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", drawn.series[0].path)]
    places += [float(n) for x, y, _, _ in drawn.series[0].dots for n in (x, y)]
    assert all(0 <= place <= SIDE for place in places)
    assert all(0 <= place <= 100 for place, _ in (*drawn.across, *drawn.up))
    assert 1 <= len(drawn.up) <= 12


def test_a_step_holds_each_value_until_the_next() -> None:
    series = Series("one", "train", "step", [(0, 0), (1, 1), (2, 0)])
    drawn = plot([series], x_title="x", link=str)
    assert drawn is not None
    corners = [tuple(corner.split()) for corner in re.split("[ML]", drawn.series[0].path)[1:]]
    assert [x for x, _ in corners] == ["0", "500", "500", "1000", "1000"]
    assert corners[0][1] == corners[1][1]
    assert corners[2][1] == corners[3][1]


def test_nothing_makes_no_chart_and_many_dots_are_thinned() -> None:
    assert plot([Series("one", "train", "dots")], x_title="x", link=str) is None
    dots = [Dot(n, n, "") for n in range(3 * DOTS + 1)]
    drawn = plot([Series("one", "train", "dots", dots=dots)], x_title="x", link=str)
    assert drawn is not None
    assert len(drawn.series[0].dots) <= DOTS
    assert len(drawn.series[0].dots) + drawn.left_out == len(dots)


def test_an_axis_of_zeros_has_no_negative_side() -> None:
    drawn = plot([Series("a", "a", "line", [(0.0, 1.0), (0.0, 2.0)])], x_title="time", link=str)
    assert drawn
    assert all(not words.startswith("-") for _, words in drawn.across)
