"""System-aware merge: each component comes from the parent that changed it (GEPA paper, algorithm 4)."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import combinations

from paretune.algorithms.pool import Member, Pool
from paretune.core.candidate import Candidate, CandidateId, content_id
from paretune.core.example import ExampleId


@dataclass(frozen=True, slots=True)
class Merge:
    """A merged child of two members and the common ancestor that tells who changed what."""

    child: Candidate
    parents: tuple[CandidateId, CandidateId]
    ancestor: CandidateId


@dataclass(frozen=True, slots=True)
class _Pair:
    """What two members can be merged to: the child's id and the ancestor that tells, for each way there is.

    `promise`: how much the two complement each other, the share of examples on which they differ. `outside`
    are common ancestors that are no members, or were none when the pair was looked at.
    """

    ways: tuple[tuple[CandidateId, CandidateId], ...] = ()
    promise: float = 0.0
    outside: frozenset[CandidateId] = frozenset()


@dataclass(slots=True)
class Merger:
    """Finds merges that were not made before. Deterministic in the order of admission and `rng`.

    `made` holds the children proposed so far: the same text comes up again over other ancestors. Each pair of
    frontier members is looked at once.
    """

    overlap_floor: int = 5
    made: set[CandidateId] = field(default_factory=set)
    _pairs: dict[tuple[CandidateId, CandidateId], _Pair] = field(default_factory=dict)
    _above: dict[CandidateId, set[CandidateId]] = field(default_factory=dict)

    def propose(
        self, pool: Pool, known: Collection[CandidateId], generation: int, rng: random.Random
    ) -> Merge | None:
        """A merge of two frontier members that is not among `known`, or None if no pair offers one."""
        self._look(pool)
        options = [
            (parents, ancestor)
            for parents, pair in self._pairs.items()
            for child, ancestor in pair.ways
            if child not in known and child not in self.made
        ]
        if not options:
            return None
        weights = [1.0 + self._pairs[parents].promise for parents, _ in options]
        parents, ancestor = rng.choices(options, weights=weights)[0]
        components = _cross(pool, *parents, ancestor)
        assert components is not None
        child = Candidate(components, parents, generation, "merge")
        self.made.add(child.id)
        return Merge(child, parents, ancestor)

    def _look(self, pool: Pool) -> None:
        """Bring the pairs up to date with the frontier."""
        members = list(pool.frontier.frequencies())
        self._above = {c: self._above.get(c) or pool.ancestors(c) for c in members}
        places = {c: place for place, c in enumerate(pool.members)}
        old, self._pairs = self._pairs, {}
        for parents in combinations(members, 2):
            pair = old.get(parents)
            if pair is None or any(c in places for c in pair.outside):
                pair = self._pair(pool, *parents, places)
            self._pairs[parents] = pair

    def _pair(
        self, pool: Pool, one: CandidateId, other: CandidateId, places: Mapping[CandidateId, int]
    ) -> _Pair:
        above_one, above_other = self._above[one], self._above[other]
        if one in above_other or other in above_one:
            return _Pair()
        shared = shared_examples(pool, one, other)
        if len(shared) < self.overlap_floor:
            return _Pair()
        common = above_one & above_other
        ways = []
        for ancestor in sorted(common & places.keys(), key=places.__getitem__):
            components = _cross(pool, one, other, ancestor)
            if components is not None:
                ways.append((content_id(components), ancestor))
        first, second = (pool.members[c].rewards.plain() for c in (one, other))
        promise = sum(first[e] != second[e] for e in shared) / max(1, len(shared)) if ways else 0.0
        return _Pair(tuple(ways), promise, frozenset(common - places.keys()))


def shared_examples(pool: Pool, one: CandidateId, other: CandidateId) -> list[ExampleId]:
    """Examples on which both members were scored."""
    first, second = (pool.members[c].rewards.plain() for c in (one, other))
    return [example for example in first if example in second]


def _cross(pool: Pool, one: CandidateId, other: CandidateId, ancestor: CandidateId) -> dict[str, str] | None:
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
    return components if from_one and from_other else None


def gate_examples(a: Member, b: Member, count: int, rng: random.Random) -> list[ExampleId]:
    """Examples for a merge's gate, drawn evenly from those `a` wins, those `b` wins, and ties."""
    first, second = a.rewards.plain(), b.rewards.plain()
    shared = [e for e in first if e in second]
    groups = [
        [e for e in shared if first[e] > second[e]],
        [e for e in shared if first[e] < second[e]],
        [e for e in shared if first[e] == second[e]],
    ]
    for group in groups:
        rng.shuffle(group)
    picked: list[ExampleId] = []
    while len(picked) < min(count, len(shared)):
        for group in groups:
            if group and len(picked) < count:
                picked.append(group.pop())
    return picked
