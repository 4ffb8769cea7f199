"""When a search that asks for nothing any more is over."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from paretune.algorithms.pool import Pool
from paretune.algorithms.settings import GepaSettings
from paretune.algorithms.stops import STALLED_EPOCHS, STALLED_STEPS, Schedule
from paretune.core.budget import Ledger
from paretune.core.candidate import Candidate
from paretune.core.rollout import Answer, Identity, Rollout, RolloutRequest
from support.rulebook import Rulebook


def _schedule(examples: int, minibatch: int) -> tuple[Schedule, Pool]:
    splits = Rulebook().splits(reflect=examples, pareto=1)
    seed, pool = Candidate({"a": "seed"}), Pool(GepaSettings().frontier, 0.0)
    key = RolloutRequest(seed, splits.pareto[0]).key(Identity("task", "1", "policy"))
    pool.admit(seed, [Rollout(key, Answer(0.5))])
    return Schedule(GepaSettings.classic(minibatch_size=minibatch), splits, Ledger()), pool


@given(st.integers(1, 200), st.integers(1, 40))
def test_a_stall_is_three_epochs_and_at_least_twenty_steps(examples: int, minibatch: int) -> None:
    after = _schedule(examples, minibatch)[0].stalled_after
    assert after >= STALLED_STEPS
    assert after * minibatch >= STALLED_EPOCHS * examples
    assert (
        after == STALLED_STEPS
        or (after - STALLED_EPOCHS) * min(minibatch, examples) < STALLED_EPOCHS * examples
    )


@given(st.sampled_from([4, 30, 100]), st.sets(st.integers(1, 90), max_size=6))
def test_it_stops_after_so_many_steps_in_a_row_without_a_rollout(examples: int, busy: set[int]) -> None:
    schedule, pool = _schedule(examples, 3)
    schedule.ledger.draw(["of the seed"])
    idle = 0
    for step in range(1, 300):
        due = schedule.due(step, pool)
        assert (due is not None) == (idle == schedule.stalled_after)
        if due:
            assert due[0] == "stalled"
            return
        idle = 0 if step in busy else idle + 1
        schedule.ledger.draw([f"of step {step}"] if step in busy else [])
    raise AssertionError("it never stopped")


@given(st.integers(1, 15), st.lists(st.integers(1, 40), max_size=4))
def test_it_stops_after_so_many_steps_without_a_better_best(most: int, better: list[int]) -> None:
    schedule, pool = _schedule(4, 3)
    schedule.settings = replace(schedule.settings, barren_steps=most)
    last = 0
    for step in range(1, 100):
        schedule.ledger.draw([f"of step {step}"])
        due = schedule.due(step, pool)
        assert (due is not None) == (step - 1 - last >= most)
        if due:
            assert due[0] == "patience"
            return
        if step in better:
            schedule.better(step)
            last = step
    raise AssertionError("it never stopped")
