"""System-aware merge: each component comes from the parent that changed it (GEPA paper, algorithm 4)."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import combinations

from paretune.algorithms.pool import Member, Pool
from paretune.core.candidate import Candidate, CandidateId
from paretune.core.example import ExampleId


@dataclass(frozen=True, slots=True)
class Merge:
    """A merged child of two members and the common ancestor that tells who changed what."""

    child: Candidate
    parents: tuple[CandidateId, CandidateId]
    ancestor: CandidateId


@dataclass(slots=True)
class Merger:
    """Finds merges that were not made before. Deterministic in the order of admission and `rng`.

    `made` holds the children proposed so far: the same text comes up again over other ancestors.
    """

    overlap_floor: int = 5
    made: set[CandidateId] = field(default_factory=set)

    def propose(
        self, pool: Pool, known: Collection[CandidateId], generation: int, rng: random.Random
    ) -> Merge | None:
        """A merge of two frontier members that is not among `known`, or None if no pair offers one."""
        options = [
            merge
            for merge in self._options(pool, generation)
            if merge.child.id not in known and merge.child.id not in self.made
        ]
        if not options:
            return None
        weights = [1.0 + self._promise(pool, merge) for merge in options]
        merge = rng.choices(options, weights=weights)[0]
        self.made.add(merge.child.id)
        return merge

    def _options(self, pool: Pool, generation: int) -> Iterator[Merge]:
        for one, other in combinations(pool.frontier.frequencies(), 2):
            lineage_one, lineage_other = pool.ancestors(one), pool.ancestors(other)
            if one in lineage_other or other in lineage_one:
                continue
            if len(shared_examples(pool, one, other)) < self.overlap_floor:
                continue
            for ancestor in (c for c in pool.members if c in lineage_one and c in lineage_other):
                merge = _cross(pool, one, other, ancestor, generation)
                if merge:
                    yield merge

    @staticmethod
    def _promise(pool: Pool, merge: Merge) -> float:
        """How much the two parents complement each other: the share of examples on which they differ."""
        one, other = (pool.members[p].rewards for p in merge.parents)
        shared = [e for e in one if e in other]
        return sum(one[e] != other[e] for e in shared) / max(1, len(shared))


def shared_examples(pool: Pool, one: CandidateId, other: CandidateId) -> list[ExampleId]:
    """Examples on which both members were scored."""
    first, second = pool.members[one].rewards, pool.members[other].rewards
    return [example for example in first if example in second]


def _cross(
    pool: Pool, one: CandidateId, other: CandidateId, ancestor: CandidateId, generation: int
) -> Merge | None:
    """Each component from whoever changed it; where both did, from the better parent."""
    a, b, base = (pool.members[c] for c in (one, other, ancestor))
    if base.mean > min(a.mean, b.mean):
        return None
    better = a if a.mean >= b.mean else b
    components, from_one, from_other = {}, False, False
    for name, origin in base.candidate.components.items():
        text_a, text_b = a.candidate.components[name], b.candidate.components[name]
        if text_a == text_b:
            components[name] = text_a
        elif text_a == origin:
            components[name], from_other = text_b, True
        elif text_b == origin:
            components[name], from_one = text_a, True
        else:
            components[name] = better.candidate.components[name]
    if not (from_one and from_other):
        return None
    return Merge(Candidate(components, (one, other), generation, "merge"), (one, other), ancestor)


def gate_examples(a: Member, b: Member, count: int, rng: random.Random) -> list[ExampleId]:
    """Examples for a merge's gate, drawn evenly from those `a` wins, those `b` wins, and ties."""
    shared = [e for e in a.rewards if e in b.rewards]
    groups = [
        [e for e in shared if a.rewards[e] > b.rewards[e]],
        [e for e in shared if a.rewards[e] < b.rewards[e]],
        [e for e in shared if a.rewards[e] == b.rewards[e]],
    ]
    for group in groups:
        rng.shuffle(group)
    picked: list[ExampleId] = []
    while len(picked) < min(count, len(shared)):
        for group in groups:
            if group and len(picked) < count:
                picked.append(group.pop())
    return picked
