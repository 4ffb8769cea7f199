"""What the overview says of a run: its pool, and the phases of its loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from paretune.core import events
from paretune.core.errors import AttemptFailed
from paretune.core.rollout import Answer, Usage
from paretune.engine.run import Runner
from paretune.evaluate.executors import Dispatch
from paretune.store import MemoryStore
from paretune.views.glance import closing_splits, entries, gain, ranked
from paretune.views.phases import made, phases
from paretune.views.run_view import RunView, read
from support.rulebook import RulebookExecutor
from support.runs import CASES, begin, carry, stands_still


@pytest.fixture(scope="module")
def view() -> RunView:
    """A finished run with merges, a selection split and a test split."""
    store = MemoryStore()
    return read(store, asyncio.run(carry(CASES["merging"](1), store=store)).run_id)


def test_the_pool_is_told_in_the_order_of_admission(view: RunView) -> None:
    found = entries(view)
    admitted = dict.fromkeys(d.candidate for d in view.decisions if isinstance(d, events.CandidateAdmitted))
    assert [entry.row.id for entry in found] == list(admitted)
    assert [entry.tokens for entry in found] == sorted(entry.tokens for entry in found)
    assert 0 < found[0].tokens < found[-1].tokens <= view.ledger.tokens
    for entry in found:
        assert entry.train == entry.row.mean
        gated = entry.row.gate
        assert entry.mini == (gated[1] / gated[2] if gated else None)


def test_candidates_are_told_by_admission_though_proposed_in_another_order(view: RunView) -> None:
    """Lanes measure several candidates at once, and a later one may be done first."""
    first = entries(view)
    seed, *others = (entry.row.id for entry in first)
    rows = {candidate: view.rows[candidate] for candidate in (seed, *reversed(others))}
    rows |= {candidate: row for candidate, row in view.rows.items() if candidate not in rows}
    again = entries(replace(view, rows=rows))
    assert len(others) > 1
    assert [entry.strip for entry in again] == [entry.strip for entry in first]
    assert [entry.tokens for entry in again] == [entry.tokens for entry in first]


def test_closing_scores_are_those_that_the_run_chose_by(view: RunView) -> None:
    found = {entry.row.id: entry for entry in entries(view)}
    assert view.chosen is not None
    assert view.finished is not None
    assert closing_splits(list(found.values())) == ["select", "test"]
    for candidate, mean in view.chosen.means.items():
        assert found[candidate].closing["select"] == pytest.approx(mean)
    best = found[view.finished.best]
    test = view.finished.test
    assert best.closing["test"] == pytest.approx(test[best.row.id])
    change = gain(view, best.row)
    assert change is not None
    assert change.split == "test"
    assert change.difference == pytest.approx(test[best.row.id] - test[view.seed.id])


def test_the_best_comes_first(view: RunView) -> None:
    order = ranked(view, entries(view))
    assert view.best is not None
    assert order[0].row.id == view.best.id
    assert {entry.row.id for entry in order} == {entry.row.id for entry in entries(view)}


def test_a_run_that_is_over_has_no_phase_that_goes_on(view: RunView) -> None:
    assert [phase.state for phase in phases(view, 1)] == ["done"] * 6


def test_a_text_that_is_proposed_twice_counts_twice(view: RunView) -> None:
    told = [d for d in view.decisions if isinstance(d, events.ChildProposed)]
    twice = replace(
        view, decisions=(*view.decisions, told[0]), moments=(*view.moments, view.moments[-1]), rows=view.rows
    )
    before, after = made(view), made(twice)
    assert before["merge"] > 0
    assert sum(before.values()) == len(told)
    assert after == before | {told[0].origin: before[told[0].origin] + 1}
    assert f"{after['mutation']} mutation" in phases(twice, 1)[-1].told


@pytest.mark.parametrize(
    ("last", "now"),
    [
        (None, "initialize proposer"),
        (events.StepStarted, "dissect traces and side information"),
        (events.ChildProposed, "deploy rollouts"),
        (events.GateDecided, "update pareto frontier"),
        (events.CandidateAdmitted, "update pareto frontier"),
        (events.SearchEnded, "deploy rollouts"),
    ],
)
def test_the_last_decision_tells_what_goes_on_while_nothing_is_out(
    view: RunView, last: type[events.Decision] | None, now: str
) -> None:
    end = next((at + 1 for at, d in enumerate(view.decisions) if last and isinstance(d, last)), 0)
    then = replace(
        view,
        run=replace(view.run, status="running"),
        decisions=view.decisions[:end],
        moments=view.moments[:end],
        in_flight=(),
    )
    assert [phase.words for phase in phases(then, 0) if phase.state == "now"] == [now]


def test_calls_that_are_out_tell_what_goes_on() -> None:
    """While rollouts are out they are being deployed and verified, whatever was decided last."""
    store, seen = MemoryStore(), list[set[str]]()

    class Watched(RulebookExecutor):
        async def run(self, batch: Sequence[Dispatch]) -> list[Answer | AttemptFailed]:
            found = phases(read(store, store.runs()[0].id), 0)
            seen.append({phase.words for phase in found if phase.state == "now"})
            return await super().run(batch)

    case = CASES["classic"](1)
    job, proposer = case.job(), case.proposer()
    run_id = begin(store, job, proposer)
    executor = Watched(case.book, usage=Usage(1, 1))
    asyncio.run(Runner(store, run_id, job, executor, proposer, clock=stands_still).run())
    assert {"deploy rollouts", "terminate and verify"} <= seen[0]
