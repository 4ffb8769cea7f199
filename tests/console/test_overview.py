"""What the overview says of a run, in the words that fit how it stands."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from paretune.console.pages import BY_NAME, Paths, fragment
from paretune.console.view import Asked
from paretune.core import events
from paretune.store import MemoryStore
from paretune.views.coverage import coverage
from paretune.views.run_view import RunView, read
from support.runs import CASES, begin, carry


def overview(store: MemoryStore, run: RunView, state: str) -> str:
    return fragment(BY_NAME["overview"], Asked(run, state, store, Paths("", run.run.id)))


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled"])
def test_a_run_that_is_over_without_a_best_has_no_future(state: str) -> None:
    case, store = CASES["merging"](1), MemoryStore()
    run = read(store, begin(store, case.job(), case.proposer()))
    assert run.best is None
    text = overview(store, run, state)
    for word in ("yet", "so far", "at the end", "is being measured", "begins with"):
        assert word not in text
    assert "measured at the end" in overview(store, run, "running")


def test_children_come_from_the_parents_that_are_named_last() -> None:
    store = MemoryStore()
    run = read(store, asyncio.run(carry(CASES["merging"](1), store=store)).run_id)
    text = overview(store, run, "succeeded")
    last = [d for d in run.decisions if isinstance(d, events.ChildProposed)][-1]
    named = " ".join(f"<b>#{run.rows[parent].index}</b>" for parent in last.parents)
    assert f"last parents {named}" in text
    assert "in all" in text
    assert "in flight <b>0</b>" in overview(
        store, replace(run, standing=replace(run.standing, out=3)), "succeeded"
    )


@pytest.mark.parametrize("state", ["seed", "retired"])
def test_a_retired_seed_is_still_the_seed(state: str) -> None:
    store = MemoryStore()
    run = read(store, asyncio.run(carry(CASES["merging"](1), store=store)).run_id)
    run = replace(run, rows={**run.rows, run.seed.id: replace(run.seed, state=state)})
    asked = Asked(run, "succeeded", store, Paths("", run.run.id), query={"state": "seed"})
    text = fragment(BY_NAME["candidates"], asked)
    assert text.count("<code>") == 1
    assert run.seed.id in text
    assert "seed 1</a>" in text
    assert '<span class="tag seed">seed</span>' in text
    assert (f'<span class="tag {state}">{state}</span>') in text


def test_strips_that_are_left_out_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    run = read(store, asyncio.run(carry(CASES["merging"](1), store=store)).run_id)
    found = coverage(run)
    assert len(found) > 2
    assert "newest of" not in overview(store, run, "succeeded")
    monkeypatch.setattr("paretune.console.views.overview.LISTED", 2)
    text = overview(store, run, "succeeded")
    assert f"The 2 newest of {len(found)} candidates, the newest last; the {len(found) - 2} before" in text
    assert f"the newest 2 of {len(found)}, the newest last" in text


def test_the_tags_say_only_what_is_known() -> None:
    case, store = CASES["merging"](1), MemoryStore()
    run = read(store, begin(store, case.job(), case.proposer()))
    text = overview(store, run, "running")
    assert "<dd>not known yet</dd>" in text
    assert "rollouts at once not on record" in text
    select, test = len(run.splits["select"]), len(run.splits["test"])
    assert f"{select} selection / {test} held-out" in text
