"""Lanes on a clock of their own: rollouts and proposals that take their time, some of them very long."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import pytest

from paretune.core import events
from paretune.core.budget import Limits
from paretune.core.errors import AttemptFailed, FailureKind, RunFailed
from paretune.core.retry import RetryPolicy
from paretune.engine.proposals import GIVE_UP_AFTER
from paretune.engine.verify import check_record, replay_record
from paretune.evaluate.evaluator import QueueSettings
from paretune.evaluate.executors import Dispatch
from paretune.propose.base import Packet, Proposal
from paretune.store.base import Fact, StoredDecision, Write
from support.rulebook import HintProposer, dice
from support.runs import ASYNC, Case, JournalStore, first_difference
from support.slow import Thinking, lived


def case(name: str, seed: int) -> Case:
    return replace(
        ASYNC[name](seed), limits=Limits(rollouts=400, steps=60), model=False, queue=QueueSettings(24)
    )


@pytest.mark.parametrize("name", ASYNC)
def test_two_runs_with_the_same_outcomes_decide_alike(name: str) -> None:
    one, other = lived(case(name, 0)), lived(case(name, 0), now=1234.567)
    assert first_difference(one.canonical(), other.canonical()) == ""
    assert check_record(one.store, one.run_id) == []
    assert replay_record(one.store, one.run_id) == len(one.canonical()["decisions"])


@pytest.mark.parametrize("name", ASYNC)
def test_the_work_of_lanes_overlaps(name: str) -> None:
    run = lived(case(name, 0))
    assert run.seconds < 0.6 * (run.executor.busy + run.proposer.busy)


@pytest.mark.parametrize("name", ASYNC)
def test_a_run_killed_at_many_points_and_resumed_equals_the_uninterrupted_one(name: str) -> None:
    whole = lived(case(name, 1), store=JournalStore())
    assert isinstance(whole.store, JournalStore)
    commits = len(whole.store.commits)
    for cut in sorted(dice("cuts", name).sample(range(commits), 10)):
        store = whole.store.after(whole.run_id, cut)
        kept = {key for key, fact in store.facts(store.drawn(whole.run_id)).items() if fact.kind == "rollout"}
        more = lived(case(name, 1), store=store, run_id=whole.run_id, now=77.7)
        assert first_difference(whole.canonical(), more.canonical()) == "", f"cut after {cut} of {commits}"
        asked = more.executor.inner.calls
        assert asked.total() == whole.executor.inner.calls.total() - len(kept)


@pytest.mark.parametrize("name", ASYNC)
def test_resumed_where_everything_takes_another_time_it_goes_on_from_the_same_record(name: str) -> None:
    whole = lived(case(name, 1), store=JournalStore())
    assert isinstance(whole.store, JournalStore)
    parted = 0
    for cut in sorted(dice("other times", name).sample(range(len(whole.store.commits)), 6)):
        store = whole.store.after(whole.run_id, cut)
        before = [decision.chain for decision in store.decisions(whole.run_id)]
        kept = {key for key, fact in store.facts(store.drawn(whole.run_id)).items() if fact.kind == "rollout"}
        more = lived(case(name, 1), store=store, run_id=whole.run_id, now=77.7, mood=cut)
        after = [decision.chain for decision in store.decisions(whole.run_id)]
        assert after[: len(before)] == before
        asked = {a.begun.key for a in store.attempts(whole.run_id) if a.ended and a.ended.outcome == "done"}
        assert more.executor.inner.calls.total() == sum(key.startswith("r_") for key in asked) - len(kept)
        assert check_record(store, whole.run_id) == []
        assert replay_record(store, whole.run_id) == len(after)
        parted += first_difference(whole.canonical(), more.canonical()) != ""
    assert parted > 3


@pytest.mark.parametrize("name", ASYNC)
def test_with_all_results_known_it_finds_the_same_order_in_no_time(name: str) -> None:
    first = lived(case(name, 2))
    second = lived(case(name, 2), store=first.store)
    assert second.run_id != first.run_id
    assert (second.executor.busy, second.proposer.busy) == (0.0, 0.0)
    assert first_difference(first.canonical(), second.canonical()) == ""
    assert second.seconds < 1.0 < first.seconds


@pytest.mark.parametrize("name", ASYNC)
def test_a_failure_that_comes_again_while_a_resumed_run_catches_up_is_unread_until_a_decision_reads_it(
    name: str,
) -> None:
    one_try = replace(case(name, 1), queue=QueueSettings(24, retry=RetryPolicy(attempts=1)))
    whole = lived(one_try, store=JournalStore())
    assert isinstance(whole.store, JournalStore)
    came = 0
    measured = next(n for n, writes in enumerate(whole.store.commits) if _admitted(writes))
    for cut in sorted(dice("failing again", name).sample(range(measured, len(whole.store.commits)), 6)):
        second = whole.store.after(whole.run_id, cut)
        log = len(second.decisions(whole.run_id))
        lived(one_try, store=second, run_id=whole.run_id, now=77.7, fails=_ill, tolerance=1.0)
        for end in range(cut + 1, min(cut + 8, len(second.commits))):
            third = second.after(whole.run_id, end)
            if len(third.decisions(whole.run_id)) > log:
                break
            if any(isinstance(write, Fact) and write.kind == "failure" for write in second.commits[end - 1]):
                came += 1
                more = lived(one_try, store=third, run_id=whole.run_id, now=99.9)
                decisions = (run.canonical()["decisions"] for run in (whole, more))
                assert first_difference(*decisions) == "", (cut, end)
    assert came > 1


def _admitted(writes: list[Write]) -> bool:
    """The first prompt is measured: from now on a run can live with failures."""
    kinds = [write.body["kind"] for write in writes if isinstance(write, StoredDecision)]
    return events.CandidateAdmitted.kind in kinds


def _ill(dispatch: Dispatch, asked: int) -> AttemptFailed:
    return AttemptFailed(FailureKind.TASK_FAILED, "the clerk is ill")


# -- a proposer that gives no answer ------------------------------------------------------------------


@dataclass(slots=True)
class Away(Thinking):
    """Gives no answer to what is under way at one of these moments, in virtual seconds."""

    moments: tuple[float, ...] = ()
    lost: int = 0

    async def propose(self, packet: Packet) -> Proposal:
        clock = asyncio.get_running_loop().time
        began = clock()
        proposal = await Thinking.propose(self, packet)
        if any(began <= moment <= clock() for moment in self.moments):
            self.lost += 1
            raise AttemptFailed(FailureKind.REFUSED, "nobody home")
        return proposal


def _eight_lanes() -> Case:
    lanes = case("lanes", 0)
    pipeline = replace(lanes.settings.pipeline, lanes=8)
    return replace(lanes, settings=replace(lanes.settings, pipeline=pipeline))


def test_one_bad_moment_of_the_proposer_costs_the_steps_of_all_lanes_and_not_the_run() -> None:
    away = Away(HintProposer(0), moments=(1.8,))
    run = lived(_eight_lanes(), proposer=away)
    assert away.lost > GIVE_UP_AFTER
    reasons = [body.get("reason") for _, body in run.canonical()["decisions"]]
    assert reasons.count("proposer_failed") == away.lost


def test_a_proposer_that_stays_away_ends_the_run_after_a_few_calls_of_each_lane() -> None:
    away = Away(HintProposer(0), moments=tuple(0.01 * n for n in range(10_000)))
    with pytest.raises(RunFailed, match="nobody home"):
        lived(_eight_lanes(), proposer=away)
    assert GIVE_UP_AFTER <= away.lost <= GIVE_UP_AFTER * 8
