"""What the store keeps of a cell and of a proposal is found again from the run's view."""

from __future__ import annotations

import pytest

from paretune.core import events
from paretune.core.rollout import Rollout
from paretune.views.outcomes import cells_of, stored_outcome
from paretune.views.proposals import step_told, stored_proposals
from paretune.views.run_view import RunView, read
from support.runs import CASES, Finished, carry


async def finished(name: str) -> tuple[Finished, RunView]:
    done = await carry(CASES[name](3))
    return done, read(done.store, done.run_id)


async def test_a_cell_has_its_texts_and_attempts() -> None:
    done, run = await finished("judged")
    other = next(row for row in run.rows.values() if run.best and row.id not in (run.seed.id, run.best.id))
    for row, reward in cells_of(run, run.splits["pareto"][0]):
        stored = stored_outcome(done.store, run, row.id, run.splits["pareto"][0])
        assert stored is not None
        assert isinstance(stored.outcome, Rollout)
        assert stored.outcome.reward == reward
        assert stored.outcome.answer.feedback
        assert stored.outcome.answer.trace
        assert [attempt.begun.key for attempt in stored.attempts] == [stored.fact.key]
    assert stored_outcome(done.store, run, other.id, "nobody") is None


@pytest.mark.parametrize("name", ["merging", "crowded"])
async def test_every_proposal_is_found_with_what_was_sent(name: str) -> None:
    done, run = await finished(name)
    steps = {d.step for d in run.decisions if isinstance(d, events.ChildProposed | events.ProposalRejected)}
    found = []
    for step in sorted(steps):
        told = step_told(run, step)
        facts = stored_proposals(done.store, run, told)
        for at, made in enumerate(told.made):
            if isinstance(made, events.ChildProposed) and not made.proposal:
                continue
            found.append(facts[at].key)
            sent = facts[at].body["transcript"]["messages"]
            assert not isinstance(made, events.OptionAdded)
            if isinstance(made, events.ChildProposed):
                parent = made.ancestor or made.parents[0]  # an edit that was carried was made on another text
            else:
                parent = made.parent
            assert all(text in sent[1]["content"] for text in run.rows[parent].components.values())
    assert len(set(found)) == len(found)
