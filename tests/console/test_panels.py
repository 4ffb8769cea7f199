"""The public page, panel by panel, as a reader sees it on the overview of the run that it tells of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from paretune.engine.workspace import Workspace
from support.browser import DESK, PHONE, Watched, watched
from support.public_sample import AFTER, BEFORE, RUN, PublicSample, public_sample
from support.served import console

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
PHASES = [
    "initialize proposer",
    "deploy rollouts",
    "terminate and verify",
    "update pareto frontier",
    "dissect traces and side information",
    "propose mutations and merges",
]
"""The page's words, but that no proposer is named."""
OVER = "() => document.querySelector('.where .state').textContent === 'succeeded'"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, str]]:
    """A store with the run, and a console's address."""
    file = tmp_path_factory.mktemp("sample") / "jobs.sqlite"
    with Workspace.open(str(file), new=True) as workspace:
        public_sample(workspace.store)
        with console(file) as url:
            yield workspace, url


@pytest.fixture(scope="module")
def page(browser: Browser, place: tuple[Workspace, str]) -> Iterator[Watched]:
    """The run's overview, for who only reads."""
    with watched(browser, place[1]) as seen:
        seen.go(f"/runs/{RUN}/")
        yield seen
        seen.check()


@pytest.fixture
def own(browser: Browser, place: tuple[Workspace, str]) -> Iterator[Watched]:
    """The same on a page of its own, for who follows a link."""
    with watched(browser, place[1]) as seen:
        seen.go(f"/runs/{RUN}/")
        yield seen
        seen.check()


def panel(page: Watched, heading: str) -> Locator:
    """The section under this heading."""
    return page.page.get_by_role("region", name=heading, exact=True)


def words(of: Locator) -> str:
    """What can be read there, in one line."""
    return " ".join(of.inner_text().split())


def lines(page: Watched, heading: str) -> list[list[str]]:
    """The table under this heading, cell by cell."""
    return [
        [words(cell) for cell in row.locator("td").all()]
        for row in panel(page, heading).locator("tbody tr").all()
    ]


def test_stat_tiles(page: Watched) -> None:
    told = [words(tile) for tile in panel(page, "Figures").locator(".tile").all()]
    assert [one.split(" against")[0] for one in told] == [
        "frontier 49/56 train examples solved by somebody",
        "best train 0.625 +0.054",
        "best held-out (selection) 0.729 +0.050",
        "rollouts 1,204 no cap; no price known",
    ]


def test_candidate_index_against_frontier_and_score(page: Watched) -> None:
    chart = panel(page, "Candidate index against frontier and score")
    assert words(chart.locator(".legend")) == "coverage train selection"
    heights = {
        tone: [dot.bounding_box()["y"] for dot in chart.locator(f"path.dot.{tone}").all()]
        for tone in ("coverage", "train", "selection")
    }
    assert {tone: len(found) for tone, found in heights.items()} == {
        "coverage": 9,
        "train": 5,
        "selection": 5,
    }
    covered = heights["coverage"]
    assert covered == sorted(covered, reverse=True)  # it only rises
    assert covered[-1] < heights["selection"][-1] < heights["train"][-1]  # 0.875, 0.729, 0.625
    assert heights["train"][-1] == min(heights["train"])
    title = chart.locator("path.dot.coverage title").last.text_content() or ""
    assert re.fullmatch(r"09 c_\w+, frontier 49/56, train 0.625, selection 0.729", title)


def test_list_of_candidates(page: Watched) -> None:
    found = lines(page, "Candidates")
    assert [found[0][0], *found[0][2:]] == ["01", "+32", "32/56", "0.571", "0.679", "0.110M"]
    assert [found[1][0], *found[1][2:]] == ["02", "+4", "36/56", "-", "-", "0.128M"]
    assert [found[8][0], *found[8][2:]] == ["09", "+2", "49/56", "0.625", "0.729", "0.731M"]
    assert len(found) == 9


def test_table_of_roles(page: Watched) -> None:
    table = panel(page, "Scores")
    heads = [words(head) for head in table.locator("th").all()]
    assert heads == ["role", "candidate", "mini", "train", "selection", "lift on selection"]
    found = [[role, *figures] for role, _, *figures in lines(page, "Scores")]
    assert found[0] == ["best", "0.607", "0.625", "0.729", "+0.050"]
    assert found[2] == ["seed", "-", "0.571", "0.679", "+0.000"]


def test_card_of_the_candidate_that_is_selected(own: Watched) -> None:
    best = words(panel(own, "Best candidate"))
    assert "mini 0.607 train 0.625 selection 0.729" in best
    assert "adds 2 new examples to the frontier; wins 35 49/56 covered" in best
    panel(own, "Candidates").locator("tbody a").nth(1).click()
    card = panel(own, "Selected candidate")
    card.wait_for()
    assert "mini 0.571 train - selection -" in words(card)
    assert "adds 4 new examples to the frontier; wins 16 of the 28 that it was asked" in words(card)


def test_coverage_and_its_legend(page: Watched) -> None:
    coverage = panel(page, "Pareto frontier coverage")
    legend = [words(one) for one in coverage.locator(".legend span").all()]
    assert legend == ["first to win this example", "also wins", "does not win", "failed", "not run"]
    told = [words(line) for line in coverage.locator(".strips li").all()]
    assert [re.sub(r"\d c_\w+ ", "", one, count=1) for one in (told[0], told[1], told[8])] == [
        "+32 examples / wins 32 32/56",
        "+4 examples / wins 16 of 28 36/56",
        "+2 examples / wins 35 49/56",
    ]
    first = coverage.locator(".strips li").first.locator("a.sq")
    assert (first.count(), first.locator("xpath=self::*[contains(@class, 'new')]").count()) == (56, 32)
    # One look at the colours: who was the first stands out, in the one accent of the page.
    colour = "one => getComputedStyle(one).backgroundColor"
    accent = page.page.locator(".figure.accent").first.evaluate("one => getComputedStyle(one).color")
    kinds = {kind: coverage.locator(f".strips .sq.{kind}").first.evaluate(colour) for kind in ("new", "win")}
    assert kinds["new"] == accent != kinds["win"]


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [("new", "the label is right"), ("miss", "the answer was"), ("not_run", "was not asked this example")],
)
def test_a_square_leads_to_its_rollout_and_verdict(own: Watched, kind: str, verdict: str) -> None:
    square = panel(own, "Pareto frontier coverage").locator(f".strips li:nth-child(2) .sq.{kind}").first
    example = (square.get_attribute("title") or "").partition(":")[0]
    square.click()
    own.page.get_by_role("heading", name=f"Rollout on {example}").wait_for()
    assert verdict in words(own.page.locator("main"))


def test_before_and_after(page: Watched) -> None:
    texts = panel(page, "Before and after").locator("pre")
    assert [words(text) for text in texts.all()] == [BEFORE, AFTER]


def test_model_line(page: Watched) -> None:
    line = words(page.page.locator(".modelline"))
    assert line == (
        "policy meta-llama/llama-3.1-8b-instruct proposer gpt-5.4-mini 56 train / 140 selection / 0 held-out "
        "1,204 rollouts"
    )


def test_header_tags(page: Watched) -> None:
    told = [words(tag) for tag in panel(page, "How it runs").locator(".tags > div").all()]
    assert [re.split(r"[:,]", one)[0] for one in told] == [
        "parallelism 28 rollouts at once",
        "proposer gpt-5.4-mini reflect",
        "task shape 1 component banking77",
        "signal verifier-aware reward + model output + verifier result in one packet",
    ]


def test_phases_of_a_run_that_is_over(page: Watched) -> None:
    found = panel(page, "How it runs").locator(".phases li")
    assert [words(one) for one in found.locator(".words").all()] == PHASES
    told = " ".join(words(one) for one in found.all())
    for figure in ("1,204 drawn", "49 of 56 covered, 5 in the pool", "8 packets read", "8 mutations"):
        assert figure in told
    assert panel(page, "How it runs").locator("[aria-current]").count() == 0


def test_runtime_diagram(page: Watched) -> None:
    diagram = page.page.get_by_role("group", name="The runtime and what passes through it")
    boxes = [words(one) for one in diagram.locator(".box").all()]
    assert [
        re.split(r" (?=GET|candidate x|per-seed|reflect|cached|best cand|run)", box)[0] for box in boxes
    ] == [
        "container",
        "rollout queue",
        "frontier store",
        "proposer",
        "workspace",
        "evidence packet",
        "operator console",
    ]
    assert "per-seed wins 49/56" in boxes[2]
    assert "best 0.625 selection 0.729 event feed finished · 1204 rollouts" in boxes[-1]
    edges = [words(one) for one in diagram.locator(".edge, .edges li").all()]
    assert set(edges) == {
        *("GET /program", "program", "POST /rollout", "reward + trace", "update", "sample parents"),
        *("read tools", "enqueue candidates", "select held-out", "stream", "publish"),
    }


def test_feed(page: Watched) -> None:
    told = [words(line) for line in panel(page, "Feed").locator(".words").all()]
    assert told[0] == "finished · 1204 rollouts"
    assert "accepted · #8" in told
    assert "measured · #8: 0.625 on 56 examples, frontier +2 examples, leads" in told
    assert told[-1] == "started"


def test_while_the_run_goes_on_its_panels_follow(own: Watched, place: tuple[Workspace, str]) -> None:
    """From the eighth candidate on: status, frontier, phases and feed change under the reader's eyes."""
    workspace, sample = place[0], PublicSample(RUN.replace("ba44177a", "00000002"))
    store, groups = workspace.store, sample.groups()
    store.create_run(sample.run)
    with workspace.exclusive(sample.run_id):
        for _ in range(7):
            store.commit(sample.run_id, next(groups))
        own.go(f"/runs/{sample.run_id}/")
        own.page.evaluate("window.since = 'the beginning'")
        assert words(own.page.locator(".where .state")) == "running"
        assert words(own.page.locator(".tile").first).startswith("frontier 45/56")
        now = own.page.locator(".phases [aria-current='step']")
        assert [words(one.locator(".words")) for one in now.all()] == ["update pareto frontier"]
        for group in groups:
            store.commit(sample.run_id, group)
    own.page.set_default_timeout(30_000)
    own.page.wait_for_function(OVER)
    own.page.wait_for_selector(".feed li:first-child:has-text('finished · 1204 rollouts')")
    own.page.wait_for_selector(".tile .figure:text-is('49/56')")
    own.page.wait_for_selector(".phases:not(:has([aria-current]))")
    assert len(lines(own, "Candidates")) == 9
    assert own.page.evaluate("window.since") == "the beginning"


def test_on_a_phone_what_came_out_is_first(own: Watched) -> None:
    headings = [
        "Figures",
        "Scores",
        "Best candidate",
        "Pareto frontier coverage",
        "Before and after",
        "Score",
    ]
    own.page.set_viewport_size(PHONE)
    tops = [panel(own, name).bounding_box()["y"] for name in headings]
    assert tops == sorted(tops)
    assert tops[1] < PHONE["height"]
    assert own.sideways() == ""
    own.page.set_viewport_size(DESK)
    assert own.sideways() == ""
