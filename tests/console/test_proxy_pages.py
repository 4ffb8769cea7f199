"""What a cheap policy was good for, on the pages that tell of money and of the flow of work."""

from __future__ import annotations

from paretune.console.report import report
from paretune.views.proxy import proxy, screened, told
from paretune.views.run_view import read
from support.runs import CASES, carry


async def test_cost_and_pipeline_tell_who_was_screened_and_what_that_saved() -> None:
    done = await carry(CASES["screened"](2))
    view = read(done.store, done.run_id)
    page = report(view, "succeeded", done.store).html.decode()
    found = proxy(view)
    assert found is not None
    assert found.stopped > 0
    assert all(line in page for line in told(found))
    assert f"{found.stopped} of {found.screened} candidates stopped" in page
    assert page.count(">stopped</td>") >= found.stopped
    assert "by the cheap policy on all of them" in page
    assert len(screened(view)) == found.screened
    # A cheap reward is nobody's score.
    for row in view.rows.values():
        rewards = view.rewards(row.id, "pareto")
        assert len(rewards) == len(view.splits["pareto"]) or row.mean is None
    assert {view.rows[one.candidate].state for one in screened(view) if one.decided.stopped} == {"stopped"}


async def test_a_run_without_a_cheap_policy_says_nothing_of_one() -> None:
    done = await carry(CASES["classic"](3))
    view = read(done.store, done.run_id)
    assert proxy(view) is None
    assert "heap policy" not in report(view, "succeeded", done.store).html.decode()
