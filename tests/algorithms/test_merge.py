import os
import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.algorithms.merge import Merge, Merger, gate_examples, shared_examples
from paretune.algorithms.pool import Pool
from paretune.core.candidate import Candidate
from paretune.core.example import Split
from paretune.core.frontier import FrontierType
from paretune.core.rollout import Answer, Identity, Rollout, RolloutKey

NAMES = ("role", "task", "format", "examples")
EXAMPLES = 8


def admit(pool: Pool, texts: str, parents: tuple[Candidate, ...], rewards: list[float]) -> Candidate:
    """A candidate whose components are these letters, in the order of NAMES."""
    components = dict(zip(NAMES, texts, strict=False))
    child = Candidate(components, tuple(p.id for p in parents), 0, "mutation" if parents else "seed")
    keys = [
        RolloutKey(child.id, f"e{i}", Split.PARETO, 0, Identity("t", "1", "p")) for i in range(len(rewards))
    ]
    pool.admit(child, [Rollout(key, Answer(reward)) for key, reward in zip(keys, rewards, strict=True)])
    return child


@st.composite
def families(draw: st.DrawFn) -> Pool:
    """A seed and its descendants, each with one component changed, or a second parent's one taken over."""
    reward = st.integers(-2, 2).map(float)
    line = st.lists(reward, min_size=EXAMPLES, max_size=EXAMPLES)
    pool = Pool(FrontierType.INSTANCE, 0.0)
    texts = {admit(pool, "0000", (), draw(line)).id: "0000"}
    for _ in range(draw(st.integers(2, 8))):
        parent = draw(st.sampled_from(sorted(texts)))
        place = draw(st.integers(0, len(NAMES) - 1))
        child = texts[parent][:place] + draw(st.sampled_from("0123")) + texts[parent][place + 1 :]
        if child not in texts.values():
            texts[admit(pool, child, (pool.members[parent].candidate,), draw(line)).id] = child
    return pool


def all_merges(pool: Pool, seed: int = 0) -> list[Merge]:
    """What a merger proposes until it knows no more."""
    merger, rng = Merger(), random.Random(seed)
    found: list[Merge] = []
    while merge := merger.propose(pool, pool.members, 3, rng):
        found.append(merge)
        assert len(found) < 1000, "the same merges come again and again"
    return found


@given(families(), st.integers(0, 9))
def test_merges_follow_the_paper(pool: Pool, seed: int) -> None:
    merges = all_merges(pool, seed)
    triplets = {(frozenset(merge.parents), merge.ancestor) for merge in merges}
    assert len(triplets) == len(merges)
    for merge in merges:
        one, other = merge.parents
        above_one, above_other = pool.ancestors(one), pool.ancestors(other)
        assert {one, other} <= pool.frontier.frequencies().keys()
        assert one != other
        assert one not in above_other
        assert other not in above_one
        assert merge.ancestor in above_one & above_other
        assert merge.child.parents == merge.parents
        assert (merge.child.origin, merge.child.generation) == ("merge", 3)
        assert merge.child.id not in pool.members
        a, b, base = (pool.members[c] for c in (one, other, merge.ancestor))
        assert base.mean <= min(a.mean, b.mean)
        assert dict(merge.child.components) == {
            name: expected(
                text,
                a.candidate.components[name],
                b.candidate.components[name],
                first_is_better=a.mean >= b.mean,
            )
            for name, text in base.candidate.components.items()
        }


def expected(origin: str, one: str, other: str, *, first_is_better: bool) -> str:
    if origin in (one, other):
        return other if one == origin else one
    return one if first_is_better else other


def two_halves(rewards: float = 1.0, floor: float = 0.0) -> Pool:
    """The smallest family to merge: each child changed another component and won other examples."""
    pool = Pool(FrontierType.INSTANCE, 0.0)
    seed = admit(pool, "00", (), [floor] * 6)
    admit(pool, "10", (seed,), [rewards] * 3 + [floor] * 3)
    admit(pool, "01", (seed,), [floor] * 3 + [rewards] * 3)
    return pool


@pytest.mark.parametrize(("rewards", "floor"), [(1.0, 0.0), (0.0, 0.0), (0.0, -1.0), (-1.0, -2.0)])
def test_zero_and_negative_scores_are_scores(rewards: float, floor: float) -> None:
    merge = Merger().propose(two_halves(rewards, floor), (), 1, random.Random(0))
    if rewards == floor:  # all equal: one candidate holds everything, and there is no pair
        assert merge is None
    else:
        assert merge is not None
        assert list(merge.child.components.values()) == ["1", "1"]


def test_an_ancestor_and_its_descendant_are_not_merged() -> None:
    pool = Pool(FrontierType.INSTANCE, 0.0)
    seed = admit(pool, "00", (), [0.0] * 6)
    parent = admit(pool, "10", (seed,), [1.0] * 3 + [0.0] * 3)
    admit(pool, "01", (parent,), [0.0] * 3 + [1.0] * 3)
    assert len(pool.frontier.frequencies()) == 2
    assert all_merges(pool) == []


@pytest.mark.parametrize(("wins", "taken"), [(2, "2"), (3, "1"), (4, "1")])
def test_a_component_that_both_changed_is_the_better_parents(wins: int, taken: str) -> None:
    pool = Pool(FrontierType.INSTANCE, 0.0)
    seed = admit(pool, "000", (), [0.0] * 10)
    admit(pool, "101", (seed,), [1.0] * wins + [0.0] * (10 - wins))
    admit(pool, "012", (seed,), [0.0] * 7 + [1.0] * 3)
    (merge,) = all_merges(pool)
    assert list(merge.child.components.values()) == ["1", "1", taken]


def test_two_that_share_too_few_examples_are_not_merged() -> None:
    pool = two_halves()
    assert len(shared_examples(pool, *list(pool.members)[1:])) == 6
    assert Merger(overlap_floor=6).propose(pool, pool.members, 1, random.Random(0))
    assert Merger(overlap_floor=7).propose(pool, pool.members, 1, random.Random(0)) is None


def test_a_known_child_is_not_proposed() -> None:
    pool = two_halves()
    admit(pool, "11", (next(iter(pool.members.values())).candidate,), [0.0] * 6)
    assert Merger().propose(pool, pool.members, 1, random.Random(0)) is None


def test_the_same_child_is_proposed_once() -> None:
    pool = Pool(FrontierType.INSTANCE, 0.0)
    seed = admit(pool, "000", (), [0.0] * 6)
    middle = admit(pool, "001", (seed,), [0.0] * 6)
    admit(pool, "101", (middle,), [1.0] * 3 + [0.0] * 3)
    admit(pool, "011", (middle,), [0.0] * 3 + [1.0] * 3)
    merges = all_merges(pool)
    assert len({merge.child.id for merge in merges}) == len(merges)


@given(
    st.lists(st.tuples(st.integers(-1, 1), st.integers(-1, 1)), min_size=1, max_size=12),
    st.integers(1, 8),
    st.integers(0, 9),
)
def test_a_merges_gate_is_drawn_evenly(rewards: list[tuple[int, int]], count: int, seed: int) -> None:
    pool = Pool(FrontierType.INSTANCE, 0.0)
    a = admit(pool, "1", (), [float(one) for one, _ in rewards])
    b = admit(pool, "2", (), [float(other) for _, other in rewards])
    one, other = pool.members[a.id], pool.members[b.id]
    picked = gate_examples(one, other, count, random.Random(seed))
    assert len(set(picked)) == len(picked) == min(count, len(rewards))
    sides = [
        [e for e in one.rewards if one.rewards[e] > other.rewards[e]],
        [e for e in one.rewards if one.rewards[e] < other.rewards[e]],
        [e for e in one.rewards if one.rewards[e] == other.rewards[e]],
    ]
    drawn = [len(set(side) & set(picked)) for side in sides]
    fair = max(drawn)
    assert all(fair - got <= 1 or got == len(side) for got, side in zip(drawn, sides, strict=True))


SCRIPT = """
import random
from paretune.algorithms.merge import Merger, gate_examples
from paretune.algorithms.pool import Pool
from paretune.core.candidate import Candidate
from paretune.core.example import Split
from paretune.core.frontier import FrontierType
from paretune.core.rollout import Answer, Identity, Rollout, RolloutKey

rng, pool = random.Random(5), Pool(FrontierType.INSTANCE, 0.0)
names = [f"component {i}" for i in range(6)]
while len(pool.members) < 25:
    known = list(pool.members.values())
    parent = rng.choice(known).candidate if known else None
    texts = dict(parent.components) if parent else dict.fromkeys(names, "")
    texts[rng.choice(names)] = str(rng.randint(0, 3))
    child = Candidate(texts, (parent.id,) if parent else ())
    if child.id not in pool.members:
        keys = [RolloutKey(child.id, f"e{i}", Split.PARETO, 0, Identity("t", "1", "p")) for i in range(20)]
        pool.admit(child, [Rollout(key, Answer(float(rng.randint(0, 3)))) for key in keys])
merger = Merger()
for _ in range(20):
    merge = merger.propose(pool, pool.members, 1, rng)
    if merge is None:
        break
    gate = gate_examples(*(pool.members[p] for p in merge.parents), 5, rng)
    print(merge.child.id, *merge.parents, merge.ancestor, *gate)
"""


def test_nothing_depends_on_the_order_of_hashes() -> None:
    def printed(hash_seed: str) -> str:
        env = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        ran = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=True
        )
        return ran.stdout

    first = printed("0")
    assert first.count("\n") >= 5
    assert {printed(hash_seed) for hash_seed in ("1", "2")} == {first}
