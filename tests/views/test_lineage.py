"""Who came from whom: the frontier of pages is the search's own, and a drawing holds everybody once."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from paretune.core import events
from paretune.core.frontier import Frontier, FrontierType, cells
from paretune.views.coverage import coverage
from paretune.views.grid import FAILED, NOT_RUN, coverage_grid, grid
from paretune.views.lineage import draw, frontier_members
from paretune.views.run_view import RunView, read
from support.runs import CASES, carry


async def view(name: str) -> RunView:
    done = await carry(CASES[name](3))
    return read(done.store, done.run_id)


def as_the_search_has_it(run: RunView) -> Mapping[str, int]:
    frontier = Frontier(run.run.job["settings"]["epsilon"])
    for decision in run.decisions:
        if isinstance(decision, events.CandidateAdmitted):
            rewards = run.rewards(decision.candidate, "pareto")
            frontier.admit(decision.candidate, cells(FrontierType.INSTANCE, rewards))
        elif isinstance(decision, events.CandidateRetired):
            frontier.retire(decision.candidate)
    return frontier.frequencies()


@pytest.mark.parametrize("name", ["merging", "rungs", "crowded"])
async def test_the_frontier_drawing_and_grid_of_a_run(name: str) -> None:
    run = await view(name)
    assert frontier_members(run) == as_the_search_has_it(run)

    for fold in (False, True):
        drawing = draw(run, fold=fold)
        placed = [row.id for place in drawing.places for row in place.folded or (place.row,)]
        assert sorted(placed) == sorted(run.rows)
        assert all(edge.parent < edge.child for edge in drawing.edges)
        lines = [(place.lane, at) for at, place in enumerate(drawing.places)]
        assert len(set(lines)) == len(lines)
        if not fold:
            kin = {(drawing.places[e.parent].row.id, drawing.places[e.child].row.id) for e in drawing.edges}
            assert kin == {(parent, row.id) for row in run.rows.values() for parent in row.parents}

    found = grid(run, "pareto")
    assert sorted(found.order) == list(range(len(found.examples)))
    for row, line in zip(found.rows, found.cells, strict=True):
        rewards = {e: found.values[c] for e, c in zip(found.examples, line, strict=True) if c < FAILED}
        assert rewards == run.rewards(row.id, "pareto")
    strips = coverage(run)
    squares = coverage_grid(run, strips).cells
    assert [sum(line == 0) for line in squares] == [strip.gained for strip in strips]
    assert {s.candidate for s in strips} == {row for row in run.rows if run.rewards(row, "pareto")}
    for strip, line in zip(strips, squares, strict=True):
        rewards = run.rewards(strip.candidate, "pareto")
        assert (strip.measured, strip.wins) == (len(rewards), sum(r >= 1.0 for r in rewards.values()))
        assert sum(line == NOT_RUN) == len(found.examples) - strip.measured
        assert run.rows[strip.candidate].mean is None or strip.measured == len(found.examples)
