"""Views that many read while a run goes on."""

from __future__ import annotations

import pytest

from paretune.console.kept import KEPT, Views
from paretune.store import MemoryStore, UnknownRun
from support.runs import CASES, carry


async def test_a_view_stays_as_it_was_while_the_run_goes_on() -> None:
    """All that a record holds is put into another store, a few decisions at a time."""
    done = await carry(CASES["lanes"](3))
    store, source = MemoryStore(), done.store
    run = source.run(done.run_id)
    store.create_run(run)
    views, seen = Views(store), []
    for decision in source.decisions(run.id):
        store.commit(run.id, [decision])
        if decision.seq % 20 == 0:
            view = views(run.id)
            seen.append((view, len(view.rows), len(view.decisions)))
    facts = list(source.facts(source.drawn(run.id), run.id).values())
    early = views(run.id)
    store.commit(run.id, facts)
    assert [(len(view.rows), len(view.decisions)) for view, _, _ in seen] == [told[1:] for told in seen]
    assert len({rows for _, rows, _ in seen}) > 1
    assert views(run.id) is views(run.id)
    assert len(early.rollouts) == 0


async def test_runs_are_followed_a_few_at_a_time() -> None:
    store = MemoryStore()
    done = [await carry(CASES["classic"](3), store=store) for _ in range(KEPT + 1)]
    views = Views(store)
    for one in [*done, *done]:
        assert views(one.run_id).run.id == one.run_id
    with pytest.raises(UnknownRun):
        views("nobody")
