"""The public page's Banking77 run from its cells: what that page shows is read from ours."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest

from paretune.console.pages import BY_NAME, Paths, fragment
from paretune.console.view import Asked
from paretune.core.rollout import Rollout
from paretune.engine.verify import check_record
from paretune.evaluate.facts import outcome, rollout_fact
from paretune.store import Fact, MemoryStore, Write
from paretune.views.coverage import coverage
from paretune.views.run_view import read
from support.public_sample import PAGE, RUN, PublicSample, Told, public_sample

# As the page has it, candidate by candidate. Its words for `select` are "heldout", for "new" "+n seeds".
ADDS = [32, 4, 3, 5, 0, 1, 0, 2, 2]
WINS = [32, 16, 27, 30, 15, 19, 10, 33, 35]
COVERED = [32, 36, 39, 44, 44, 45, 45, 47, 49]
TRAIN = ["0.571", "-", "0.482", "0.536", "-", "-", "-", "0.589", "0.625"]
HELDOUT = ["0.679", "-", "0.586", "0.586", "-", "-", "-", "0.700", "0.729"]
TOKENS = ["0.110M", "0.128M", "0.270M", "0.405M", "0.422M", "0.439M", "0.456M", "0.596M", "0.731M"]
SCORES = [
    # role, place in the list, mini, train, held-out, lift. The page names others than best and seed by rank.
    ("best", 9, "0.607", "0.625", "0.729", "+0.050"),
    ("#7", 8, "0.643", "0.589", "0.700", "+0.021"),
    ("seed", 1, "-", "0.571", "0.679", "+0.000"),
    ("#3", 4, "0.536", "0.536", "0.586", "-0.093"),
    ("#2", 3, "0.464", "0.482", "0.586", "-0.093"),
]
PARTLY = [at for at, train in enumerate(TRAIN) if train == "-"]


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    made = MemoryStore()
    public_sample(made)
    return made


def opened(store: MemoryStore, name: str, run_id: str = RUN, **query: str) -> str:
    asked = Asked(read(store, run_id), "succeeded", store, Paths("", run_id), query=query)
    return fragment(BY_NAME[name], asked)


def part(page: str, name: str) -> str:
    """What follows the opening of this part, up to the next one."""
    return re.split(r'data-part="', page.split(f'data-part="{name}"', 1)[1], maxsplit=1)[0]


def rows(page: str, name: str) -> list[list[str]]:
    """The cells of each line of a table as they read."""
    lines = re.findall(r"<tr data-row.*?</tr>", part(page, name), re.DOTALL)
    return [[said(cell) for cell in re.findall(r"<td.*?</td>", line, re.DOTALL)] for line in lines]


def said(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup)).split())


def test_the_record_is_whole_and_every_page_figure_of_the_list_comes_from_it(store: MemoryStore) -> None:
    assert check_record(store, RUN) == []
    listed = rows(opened(store, "overview"), "pool")
    assert [line[0] for line in listed] == [f"{place:02}" for place in range(1, 10)]
    new, frontier, train, heldout, tokens = zip(*(line[2:] for line in listed), strict=True)
    assert list(new) == [f"+{adds}" for adds in ADDS]
    assert list(frontier) == [f"{covered}/56" for covered in COVERED]
    assert (list(train), list(heldout), list(tokens)) == (TRAIN, HELDOUT, TOKENS)


def test_tiles_and_table(store: MemoryStore) -> None:
    page = opened(store, "overview")
    tiles = said(part(page, "tiles"))
    assert "frontier 49/56" in tiles
    assert "best train 0.625 +0.054" in tiles
    assert "best held-out (selection) 0.729 +0.050" in tiles
    assert "rollouts 1,204" in tiles
    names = [line[1] for line in rows(page, "pool")]
    told = [(role, names.index(who) + 1, *figures) for role, who, *figures in rows(page, "ranked")]
    assert told == SCORES
    assert "56 train / 140 selection / 0 held-out 1,204 rollouts" in said(part(page, "modelline"))


@pytest.mark.parametrize("name", ["overview", "coverage"])
def test_squares(store: MemoryStore, name: str) -> None:
    page = part(opened(store, name), "coverage")
    lines = re.findall(r"<li data-row>.*?</li>", page, re.DOTALL)
    drawn = [re.findall(r'class="sq (\w+)"', line) for line in lines]
    assert [line.count("new") for line in drawn] == ADDS
    assert [line.count("new") + line.count("win") for line in drawn] == WINS
    assert [line.count("not_run") for line in drawn] == [28 * (at in PARTLY) for at in range(9)]
    for at, line in enumerate(map(said, lines)):
        of = " of 28" if at in PARTLY else ""
        assert f"+{ADDS[at]} example{'s' * (ADDS[at] != 1)} / wins {WINS[at]}{of} {COVERED[at]}/56" in line


def test_what_was_not_measured_is_nowhere_claimed(store: MemoryStore) -> None:
    page = opened(store, "coverage")
    assert "4 of these candidates were asked only some of the examples" in said(page)
    for at in PARTLY:
        who = coverage(read(store, RUN))[at].candidate
        card = said(part(opened(store, "overview", candidate=who), "card"))
        assert f"wins {WINS[at]} of the 28 that it was asked" in card
        assert "train -" in card


def test_no_figure_is_stored(store: MemoryStore) -> None:
    """With one answer other than it was, figures are other ones; no decision is touched."""
    best = coverage(read(store, RUN))[-1]
    example = read(store, RUN).splits["pareto"][best.squares.index("new")]
    spoiled, run = MemoryStore(), PublicSample("run_spoiled")
    spoiled.create_run(run.run)
    for group in run.groups():
        spoiled.commit(run.run_id, [without(write, best.candidate, example) for write in group])
    page = opened(spoiled, "overview", run.run_id)
    assert rows(page, "pool")[-1][2:5] == ["+1", "48/56", "0.607"]
    assert "frontier 48/56" in said(part(page, "tiles"))
    assert "best train 0.607 +0.036" in said(part(page, "tiles"))
    assert decisions(spoiled, run.run_id) == decisions(store, RUN)


def without(write: Write, candidate: str, example: str) -> Write:
    """The same, but that this rollout won nothing."""
    if not isinstance(write, Fact) or write.kind != "rollout":
        return write
    found = outcome(write)
    assert isinstance(found, Rollout)
    if (found.candidate, found.example, found.key.replicate) != (candidate, example, 0):
        return write
    lost = Rollout(found.key, replace(found.answer, reward=0.0))
    return rollout_fact(lost, write.seconds, write.paid_by, write.at)


def decisions(store: MemoryStore, run_id: str) -> Sequence[object]:
    return [dict(stored.body) for stored in store.decisions(run_id)]


def test_the_chart_says_each_candidate_in_a_line(store: MemoryStore) -> None:
    page = part(opened(store, "overview"), "index-chart")
    titles = dict.fromkeys(html.unescape(title) for title in re.findall(r"<title>(.*?)</title>", page))
    told = [re.sub(r" c_\w+", "", title) for title in titles]
    for at, (covered, train, heldout) in enumerate(zip(COVERED, TRAIN, HELDOUT, strict=True)):
        figures = (
            f"train {train}, selection {heldout}"
            if train != "-"
            else f"wins {WINS[at]} of 28 that it was asked"
        )
        assert f"{at + 1:02}, frontier {covered}/56, {figures}" in told
    assert len(told) == 9


def test_of_many_those_stay_in_the_list_that_brought_something() -> None:
    idle = [Told(adds=0, wins=10, tokens=128 + 17 * number) for number in range(1, 40)]
    run, store = PublicSample("run_many", [*PAGE[:2], *idle, replace(PAGE[2], tokens=1_000)]), MemoryStore()
    store.create_run(run.run)
    for group in run.groups():
        store.commit(run.run_id, group)
    page = opened(store, "overview", run.run_id)
    assert [line[0] for line in rows(page, "pool")] == ["01", "02", "42"]
    assert "3, the newest last; 39 that were turned down and won nothing first are left out" in said(page)
    assert "frontier 39/56" in said(part(page, "tiles"))
