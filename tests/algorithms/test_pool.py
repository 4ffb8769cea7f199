from hypothesis import given
from hypothesis import strategies as st

from paretune.algorithms.pool import Pool
from paretune.core.candidate import Candidate
from paretune.core.errors import FailureKind
from paretune.core.example import Split
from paretune.core.frontier import FrontierType
from paretune.core.rollout import Answer, Failure, Identity, Outcome, Rollout, RolloutKey

# None: the rollout failed.
Line = list[float | None]
lines = st.lists(st.none() | st.integers(-4, 4).map(lambda n: n / 4), min_size=4, max_size=4)
pools = st.lists(lines, min_size=1, max_size=8)


def outcomes(candidate: Candidate, line: Line) -> list[Outcome]:
    found: list[Outcome] = []
    for i, reward in enumerate(line):
        key = RolloutKey(candidate.id, f"e{i}", Split.PARETO, 0, Identity("task", "1", "policy"))
        lost = Failure(key, FailureKind.TASK_FAILED, "broken")
        found.append(lost if reward is None else Rollout(key, Answer(reward)))
    return found


def named(i: int) -> Candidate:
    return Candidate({"prompt": f"text {i}"})


def filled(pool: Pool, rows: list[Line]) -> Pool:
    for i, line in enumerate(rows):
        pool.admit(named(i), outcomes(named(i), line))
    return pool


def mean(line: Line) -> float:
    scored = [reward for reward in line if reward is not None]
    return sum(scored) / len(scored) if scored else float("-inf")


@given(pools)
def test_the_best_is_the_first_maximum(rows: list[Line]) -> None:
    pool = filled(Pool(FrontierType.INSTANCE, 0.0), rows)
    means = [mean(line) for line in rows]
    ranked = pool.ranked()
    assert ranked[0].candidate.id == pool.best
    others = list(means)
    others.remove(ranked[0].mean)
    assert [member.mean for member in ranked[1:]] == sorted(others, reverse=True)
    if all(reward is not None for line in rows for reward in line):
        assert pool.best == named(means.index(max(means))).id


@given(pools, st.integers(1, 4))
def test_a_full_archive_loses_the_holder_of_the_fewest_cells_and_never_the_best(
    rows: list[Line], size: int
) -> None:
    pool = Pool(FrontierType.INSTANCE, 0.0)
    for i, line in enumerate(rows):
        pool.admit(named(i), outcomes(named(i), line))
        leaver = pool.crowded_out(size)
        assert (leaver is None) == (len(pool.frontier.candidates) <= size)
        if leaver:
            wins = {c: pool.frontier.wins(c) for c in pool.frontier.candidates if c != pool.best}
            assert wins[leaver] == min(wins.values())
            pool.frontier.retire(leaver)
        assert pool.best in pool.frontier.candidates
        assert len(pool.frontier.candidates) <= size
    assert len(pool.members) == len(rows)


def test_what_failed_is_missing_and_not_zero() -> None:
    pool = filled(Pool(FrontierType.INSTANCE, 0.0), [[-1.0, -0.5, None, None], [None, -1.0, None, -1.0]])
    first, second = pool.members.values()
    assert first.rewards == {"e0": -1.0, "e1": -0.5}
    assert second.mean == -1.0
    holders = pool.frontier.holders()
    assert {cell[1]: who for cell, who in holders.items()} == {
        "e0": [first.candidate.id],
        "e1": [first.candidate.id],
        "e3": [second.candidate.id],
    }


def test_objectives_reach_the_frontier() -> None:
    pool = Pool(FrontierType.OBJECTIVE, 0.0)
    key = RolloutKey(named(0).id, "e0", Split.PARETO, 0, Identity("task", "1", "policy"))
    pool.admit(named(0), [Rollout(key, Answer(0.5, {"right": 1.0, "brief": 0.0}))])
    assert pool.frontier.best_scores() == {("objective", "right"): 1.0, ("objective", "brief"): 0.0}


def test_a_childs_turn_is_the_latest_of_its_parents() -> None:
    pool = filled(Pool(FrontierType.INSTANCE, 0.0), [[0.0] * 4, [0.0] * 4])
    one, other = pool.members.values()
    one.cursor, other.cursor = 3, 5
    child = Candidate({"prompt": "child"}, (one.candidate.id, other.candidate.id), 1, "merge")
    pool.admit(child, outcomes(child, [0.0] * 4))
    assert pool.members[child.id].cursor == 5
    assert pool.ancestors(child.id) == {one.candidate.id, other.candidate.id}


def test_one_lucky_example_does_not_make_the_best() -> None:
    solid: Line = [1.0, 1.0, 1.0, 0.5]
    pool = filled(Pool(FrontierType.INSTANCE, 0.0), [solid, [1.0, None, None, None]])
    assert pool.best == named(0).id
