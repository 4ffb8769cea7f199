"""A run in a few figures: the same at each look as from the whole record, and no interval too wide."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from paretune.store import MemoryStore
from paretune.views.coverage import coverage
from paretune.views.follow import Following
from paretune.views.headline import Headlines, headline
from paretune.views.intervals import compared, mean_of
from paretune.views.lift import lift_table
from paretune.views.run_view import RunView, read
from support.runs import CASES, JournalStore, carry


@pytest.fixture(scope="module")
def judged() -> tuple[JournalStore, str]:
    """A finished run with a selection split and a test split, of ten examples and fewer."""
    store = JournalStore()
    return store, asyncio.run(carry(CASES["judged"](1), store=store)).run_id


def test_each_look_tells_what_the_whole_record_tells(judged: tuple[JournalStore, str]) -> None:
    store, run_id = judged
    growing = MemoryStore()
    growing.create_run(replace(store.run(run_id), status="queued", status_detail="", wish=""))
    following, headlines = Following(growing, run_id), Headlines()
    seen = set()
    for number, writes in enumerate(store.commits):
        growing.commit(run_id, writes)
        if number % 20 == 0 or number > len(store.commits) - 3:
            told = headlines(following.catch_up())
            assert told == headline(read(growing, run_id))
            seen.add((told.covered, told.rollouts))
    assert len(seen) > 5


def test_the_figures_are_those_of_the_pages(judged: tuple[JournalStore, str]) -> None:
    view = read(*judged)
    told = headline(view)
    by_split = {lift.split: lift for lift in lift_table(view) if lift.role == "best"}
    assert told.train is not None
    assert told.heldout is not None
    for scored in (told.train, told.heldout):
        lift = by_split[scored.split]
        assert (scored.seed.mean, scored.best.mean) == pytest.approx((lift.before, lift.after))
        assert scored.change == lift.comparison
    assert told.heldout.split == "test"
    assert (told.covered, told.examples) == (coverage(view)[-1].covered, len(view.splits["pareto"]))
    assert (told.state, told.now, told.rollouts) == ("succeeded", (), len(view.ledger.drawn))


def test_no_interval_goes_beyond_what_rewards_can_be(judged: tuple[JournalStore, str]) -> None:
    view = read(*judged)
    assert view.rollouts.within_unit
    beyond = {"a": 0.0, "b": 0.0, "c": 0.0}, {"a": 1.0, "b": 1.0, "c": 0.5}
    assert compared(*beyond, view).difference.high == 1.0
    for lift in lift_table(view):
        assert -1 <= lift.comparison.difference.low <= lift.comparison.difference.high <= 1
    mean = mean_of(view, view.seed.id, "test")
    assert mean is not None
    assert 0 <= mean.low <= mean.mean <= mean.high <= 1
    free: RunView = replace(view, rollouts=view.rollouts.copy())
    free.rollouts.within_unit = False
    assert compared(*beyond, free).difference.high > 1.0
