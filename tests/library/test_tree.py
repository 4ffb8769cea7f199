"""The lineage as Graphviz source and as a page."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.core.frontier import Frontier
from paretune.library.lineage import earlier_parents, frontier_members, spots
from paretune.library.state import GEPAState, ValsetEvaluation
from paretune.library.tree import (
    candidate_tree_dot,
    candidate_tree_dot_from_data,
    candidate_tree_html,
    candidate_tree_html_from_data,
)
from support.browser import DESK, PHONE, chromium, watched
from support.hostile import HOSTILE

if TYPE_CHECKING:
    from playwright.sync_api import Browser

STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
SHOWN = """() => [...document.querySelectorAll("section")].filter((one) => one.checkVisibility())
  .map((one) => one.id)"""


@st.composite
def lineages(draw: st.DrawFn) -> list[list[int | None]]:
    count = draw(st.integers(1, 40))
    return [
        [None] if not child else draw(st.lists(st.integers(-1, child + 1) | st.none(), max_size=3))
        for child in range(count)
    ]


@given(lineages())
def test_candidates_stand_below_their_parents_and_never_on_each_other(
    parents: list[list[int | None]],
) -> None:
    places, known = spots(parents, len(parents)), earlier_parents(parents, len(parents))
    for child, lines in enumerate(known):
        assert all(places[parent].layer < places[child].layer for parent in lines)
        assert lines or places[child].layer == 0
    for layer in {place.layer for place in places}:
        row = sorted(place.across for place in places if place.layer == layer)
        assert all(right - left > 0.99 for left, right in pairwise(row))
    assert min(place.across for place in places) == 0


def test_a_long_line_is_laid_out() -> None:
    line: list[list[int | None]] = [[None], *(list[int | None]([i]) for i in range(2999))]
    places = spots(line, 3000)
    assert (places[-1].layer, {place.across for place in places}) == (2999, {0.0})


@given(st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=4, max_size=4), min_size=1, max_size=8))
def test_the_marked_members_are_those_of_the_engine(rows: list[list[float]]) -> None:
    engine = Frontier()
    for number, row in enumerate(rows):
        engine.admit(f"{number:02d}", {("example", f"{cell}"): score for cell, score in enumerate(row)})
    best = [max(column) for column in zip(*rows, strict=True)]
    fronts = {c: {p for p, row in enumerate(rows) if row[c] == best[c]} for c in range(4)}
    marked = frontier_members(fronts, [sum(row) / 4 for row in rows])
    assert marked == {int(name): held for name, held in engine.frequencies().items()}


def test_dot_has_texts_in_strings_only() -> None:
    hostile = f'"]; evil [label="\\N" {HOSTILE}\\'
    dot = candidate_tree_dot_from_data(
        [{hostile: hostile}, {"a": "A"}, {}], [[None], [0], [0, 1]], [0.5, 0.75, 0.5], {0: {1}, "v": {2}}
    )
    strings = STRING.findall(dot)
    assert strings[0] == "0\\n(0.50)"
    assert "evil" in strings[1]
    assert STRING.sub("S", dot).splitlines()[3:] == [
        "    0 [label=S, fillcolor=lightgray, tooltip=S];",
        "    1 [label=S, fillcolor=cyan, tooltip=S];",
        "    2 [label=S, fillcolor=orange, tooltip=S];",
        "    0 -> 1;",
        "    0 -> 2;",
        "    1 -> 2;",
        "}",
    ]


class Elements(HTMLParser):
    """The names of a page's elements and of their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_the_page_asks_for_nothing_and_has_no_script() -> None:
    state = GEPAState({HOSTILE: HOSTILE}, ValsetEvaluation({HOSTILE: "o"}, {HOSTILE: 1.0}))
    state._admit({HOSTILE: HOSTILE}, [0], ValsetEvaluation({HOSTILE: "o"}, {HOSTILE: 1.0}), 1)
    page, elements = candidate_tree_html(state), Elements()
    elements.feed(page)
    assert not elements.names & {"script", "img", "link", "iframe", "object", "form", "base"}
    assert not {name for name in elements.attributes if name.startswith("on")} | elements.attributes & {"src"}
    assert "default-src 'none'; style-src 'sha256-" in page
    assert page == candidate_tree_html(state)
    assert candidate_tree_dot(state).startswith("digraph")
    # A text that no file in UTF-8 can hold is no reason for a page that cannot be written.
    candidate_tree_html_from_data([{"a": "\ud800"}], [[None]], [0.5], {}).encode()
    candidate_tree_html_from_data([], [], [], {}).encode()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_the_file_is_read_by_mouse_and_by_keys_with_the_network_off(browser: Browser, tmp_path: Path) -> None:
    rng, count = random.Random(1), 30
    text = f"\n{HOSTILE}"
    parents: list[list[int | None]] = [
        [None],
        *(list[int | None]([rng.randrange(i)]) for i in range(1, count)),
    ]
    parents[9] = [3, 5]
    scores = [i / count for i in range(count)]
    file = tmp_path / "tree.html"
    file.write_text(
        candidate_tree_html_from_data(
            [{HOSTILE: f"{text} {i}"} for i in range(count)], parents, scores, {HOSTILE: {count - 1, 4}}
        ),
        "utf-8",
    )
    for scheme, size in (("light", DESK), ("dark", PHONE)):
        with watched(browser, "file://", offline=True, color_scheme=scheme, viewport=size) as seen:
            seen.go(file.as_uri())
            page = seen.page
            assert page.locator("a.node").count() == count
            assert page.evaluate(SHOWN) == [f"c{count - 1}"]
            page.click("#n9")
            assert page.evaluate(SHOWN) == ["c9"]
            assert page.locator("#c9 pre").text_content() == f"{text} 9"
            assert page.locator("#c9 h3").text_content() == HOSTILE
            for parent in ("#n3", "#n5"):
                page.keyboard.press("Tab")
                assert page.evaluate("document.activeElement.getAttribute('href')") == parent
                assert page.evaluate(SHOWN) == ["c9"]
            page.keyboard.press("Tab")
            assert page.evaluate("document.activeElement.id") == "n10"
            assert page.evaluate(SHOWN) == ["c10"]
            page.keyboard.press("Enter")
            page.click("#c10 a")
            assert page.evaluate(SHOWN) == [f"c{parents[10][0]}"]
            assert seen.sideways() == ""
            seen.check()
