"""What people are told of an adaptive pool: sizes, what was spared, and which means are estimates."""

import asyncio
import functools

from paretune.core import events
from paretune.views.curve import curve
from paretune.views.feed import feed
from paretune.views.lift import lift_table
from paretune.views.pool import pool_course
from paretune.views.run_view import RunView, read
from support.runs import POOLED, carry, classic


@functools.cache
def viewed(name: str) -> RunView:
    run = asyncio.run(carry(POOLED[name](0)))
    return read(run.store, run.run_id)


def test_the_course_counts_changes_and_what_was_spared() -> None:
    for name in POOLED:
        view = viewed(name)
        course = pool_course(view)
        assert course is not None
        changes = [d for d in view.decisions if isinstance(d, events.PoolChanged)]
        assert [change.size for change in course.changes] == [change.size for change in changes]
        judged = {d.candidate: d for d in view.decisions if isinstance(d, events.PoolJudged)}
        assert course.judged == len(judged) >= course.completed > 0
        assert course.spared == sum(d.wanted - d.measured for d in judged.values() if not d.completed) > 0
        assert f"{course.spared} rollouts not asked for" in course.told


def test_a_run_without_a_pool_has_none() -> None:
    run = asyncio.run(carry(classic(0)))
    assert pool_course(read(run.store, run.run_id)) is None


def test_an_estimate_is_called_one_and_is_no_lift() -> None:
    view = viewed("pooled")
    partial = {row.id for row in view.rows.values() if row.pool}
    assert partial
    assert not partial & {lift.candidate for lift in lift_table(view) if lift.split == "pareto"}
    assert all(point.low == -float("inf") for point in curve(view).evaluated if point.candidate in partial)
    told = [line.text for line in feed(view)]
    assert any("about" in text and "of the pool" in text for text in told)
    assert any(text.startswith("pool ·") for text in told)


def test_who_was_completed_in_the_end_has_a_mean_and_no_estimate() -> None:
    view = viewed("pooled lanes")
    ended = [d for d in view.decisions if isinstance(d, events.PoolJudged) and d.measured == d.wanted]
    for decision in ended:
        row = view.rows[decision.candidate]
        rewards = view.rewards(row.id, "pareto").values()
        assert row.pool == 0
        assert row.mean is not None
        assert abs(row.mean - sum(rewards) / len(rewards)) < 1e-9
