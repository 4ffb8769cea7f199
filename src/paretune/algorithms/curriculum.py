"""The adaptive pool: on which examples candidates are measured, and what that says about all of them.

A pool starts with some of the examples and shrinks while the search goes on. Anchors stay; of the others,
those stay with a higher chance whose rewards differ among the best prompts. Pools are nested: who was
measured on one was measured on all later ones, so comparisons are paired and nothing is measured again. Only
a heat-up brings other examples in, for a while.

Whatever is left out is left out by a draw with known probabilities, so each example of the pool stands for a
known number of examples (its *weight*), and a weighted sum of differences is an unbiased estimate of the sum
over all of them (Horvitz and Thompson, 1952), whichever examples the pool prefers. No I/O, no clock: what
was heard and the seed decide.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from paretune.algorithms.settings import PoolSettings
from paretune.algorithms.strata import inclusion, spread, systematic
from paretune.core.candidate import CandidateId
from paretune.core.canonical import stream
from paretune.core.example import ExampleId

COLUMNS = 32
"""Examples are clustered by their rewards under at most so many prompts."""

START, ANNEAL, HEAT, COOL = "start", "anneal", "heat-up", "cool-down"


@dataclass(frozen=True, slots=True)
class Selection:
    """A pool: its examples with their weights, in the order of all examples.

    A weight says for how many of `covered` examples one stands. `anchors` stay until the end; `heated` are
    there for a while.
    """

    weights: Mapping[ExampleId, float]
    covered: int
    anchors: tuple[ExampleId, ...] = ()
    heated: tuple[ExampleId, ...] = ()
    reason: str = START

    @property
    def examples(self) -> tuple[ExampleId, ...]:
        return tuple(self.weights)

    def __len__(self) -> int:
        return len(self.weights)


NOTHING = Selection({}, 0)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over all examples, by those of the pool. `error` is its standard error: what the draw of the
    pool adds, nothing else."""

    value: float
    error: float
    pairs: int


def difference(
    pool: Selection, new: Mapping[ExampleId, float], old: Mapping[ExampleId, float]
) -> Estimate | None:
    """By how much `new` is better on average over all examples that the pool stands for; None without a pair.

    Unbiased over the draws of the pool where both were scored on all of it. An example that one of them
    failed to be scored on is left out, and the others stand for it. The error is that of independent draws,
    which is an upper bound for draws in equal steps.
    """
    shared = [e for e in pool.weights if e in new and e in old]
    weight = math.fsum(pool.weights[e] for e in shared)
    if not shared:
        return None
    scale = math.fsum(pool.weights.values()) / weight / pool.covered
    steps = [(pool.weights[e] * scale * pool.covered, new[e] - old[e]) for e in shared]
    total = math.fsum(weight * step for weight, step in steps)
    spread = math.fsum(weight * max(0.0, weight - 1.0) * step * step for weight, step in steps)
    return Estimate(total / pool.covered, math.sqrt(spread) / pool.covered, len(shared))


def weighted_mean(pool: Selection, rewards: Mapping[ExampleId, float]) -> float:
    """The mean reward of whom nobody can be compared with: a ratio, slightly biased in small pools."""
    known = [e for e in pool.weights if e in rewards]
    if not known:
        return -math.inf
    weight = math.fsum(pool.weights[e] for e in known)
    return math.fsum(pool.weights[e] * rewards[e] for e in known) / weight


def _variance(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / len(values)


@dataclass(slots=True)
class Curriculum:
    """Which examples the next candidate is measured on.

    Ask for the `pool` of an iteration before each measurement, tell what was `heard` after it. `texts` are
    inputs of examples, for clustering them before there are scores. What a record says was decided before is
    taken over with `adopt`.
    """

    examples: Sequence[ExampleId]
    settings: PoolSettings
    seed: int = 0
    texts: Mapping[ExampleId, str] = field(default_factory=dict)
    trials: int = 0
    _heard: dict[CandidateId, dict[ExampleId, float]] = field(default_factory=dict)
    _base: Selection = NOTHING
    _now: Selection = NOTHING
    _anchored: bool = False
    _updated: int | None = None
    _changes: int = 0
    _hot_since: int | None = None
    _cold_since: int | None = None
    _heatups: int = 0

    # -- asked and told ---------------------------------------------------------------------------

    def pool(self, iteration: int) -> Selection:
        """The pool of this iteration (from 0); the same object as before where nothing changes."""
        reasons = [] if self._base else [self._start()]
        if self._due(iteration):
            reasons += self._anneal(iteration)
        reasons += self._heat_or_cool(fresh=ANNEAL in reasons)
        if reasons:
            self._changes += 1
            self._now = replace(self._combined(), reason="+".join(reasons))
        return self._now

    def heard(self, candidate: CandidateId, rewards: Mapping[ExampleId, float]) -> None:
        """What a candidate got, on the pool or on more; each new one is a trial."""
        if candidate not in self._heard:
            self.trials += 1
        self._heard.setdefault(candidate, {}).update(rewards)

    def adopt(self, pool: Selection) -> None:
        """This is the pool, as it is on record: a clustering may come out otherwise on another machine."""
        self._now = pool
        kept = {e: weight for e, weight in pool.weights.items() if e not in set(pool.heated)}
        if kept.keys() != self._base.weights.keys():
            self._base = Selection(kept, self._base.covered, pool.anchors)

    @property
    def universe(self) -> list[ExampleId]:
        """All examples but those reserved for heat-ups."""
        reserved = set(self.settings.reserve)
        return [e for e in self.examples if e not in reserved]

    # -- size -------------------------------------------------------------------------------------

    def sizes(self) -> tuple[int, int, int]:
        """At first, at last, and of these anchors: none larger than the one before."""
        settings, most = self.settings, len(self.universe)
        first = most if settings.first is None else max(1, min(settings.first, most))
        least = min(settings.anchors if settings.least is None else settings.least, first)
        return first, max(1, least), min(settings.anchors, max(1, least))

    def size(self, iteration: int) -> int:
        """Linear between the warm-up and the end of annealing."""
        first, least, _ = self.sizes()
        begin, end = self.settings.warmup, self.settings.stop
        part = min(1.0, max(0.0, (iteration - begin) / max(1, end - begin)))
        return first - math.floor((first - least) * part + 1e-9)

    def _due(self, iteration: int) -> bool:
        settings, last = self.settings, self._updated
        if iteration <= settings.warmup or len(self._base) <= self.sizes()[1]:
            return False
        return last is None or iteration - last >= settings.period or iteration >= settings.stop > last

    # -- informativeness --------------------------------------------------------------------------

    def best_prompts(self, count: int) -> Sequence[Mapping[ExampleId, float]]:
        """Rewards of the best of those heard, by their weighted means on the present pool."""
        if not self._base:
            return list(self._heard.values())[:count]
        means = {c: weighted_mean(self._base, rewards) for c, rewards in self._heard.items()}
        return [self._heard[c] for c in sorted(means, key=lambda c: -means[c])[:count]]

    def informativeness(self, among: Collection[ExampleId]) -> dict[ExampleId, float]:
        """Variance of an example's reward across the best prompts; 0 where it was evaluated too seldom."""
        best, found = self.best_prompts(self.settings.prompts), {}
        for example in among:
            evaluations = sum(example in rewards for rewards in self._heard.values())
            known = [rewards[example] for rewards in best if example in rewards]
            enough = evaluations >= self.settings.evaluations and known
            found[example] = _variance(known) if enough else 0.0
        return found

    # -- phases -----------------------------------------------------------------------------------

    def _start(self) -> str:
        """The first pool, spread over the examples' texts unless exploration is random."""
        universe, (first, _, anchors) = self.universe, self.sizes()
        rng = self._stream("first")
        order = self._order(universe, rng, clustered=self.settings.exploration == "diversity")
        drawn = set(systematic(order, [first / len(universe)] * len(universe), rng))
        weight = len(universe) / first
        self._base = Selection({e: weight for e in universe if e in drawn}, len(universe))
        self._choose_anchors(anchors)
        return START

    def _choose_anchors(self, count: int) -> None:
        rng = self._stream("anchors")
        order = self._order(self._base.examples, rng, clustered=self.settings.anchoring == "clustering")
        chances = inclusion([self._base.weights[e] for e in order], count) if count else [0.0] * len(order)
        drawn = set(systematic(order, chances, rng))
        self._base = replace(self._base, anchors=tuple(e for e in self._base.examples if e in drawn))

    def _anneal(self, iteration: int) -> list[str]:
        """The pool of this iteration, drawn from the present one. Anchors are chosen for good before."""
        self._updated = iteration
        if not self._anchored:
            self._choose_anchors(self.sizes()[2])
            self._anchored = True
        base, rng = self._base, self._stream("pool")
        info = self.informativeness(base.examples)
        others = [e for e in base.examples if e not in set(base.anchors)]
        order = self._order(others, rng, clustered=self.settings.exploration == "diversity")
        sizes = self._attraction(order, info)
        size = self._kept(self.size(iteration), order, sizes, info)
        if size >= len(base):
            return []
        chances = inclusion(sizes, size - len(base.anchors))
        chance = dict(zip(order, chances, strict=True))
        drawn = set(systematic(order, chances, rng))
        self._base = replace(base, weights=self._thinned(base, drawn, chance))
        return [ANNEAL]

    def _attraction(self, order: Sequence[ExampleId], info: Mapping[ExampleId, float]) -> list[float]:
        """How strongly each of these is drawn: half for what it stands for, half for how far rewards differ.

        The first half bounds every weight by twice that of a uniform draw; the second is what would be best
        for estimating a difference of two prompts if rewards differed next time as they did.
        """
        stands = [self._base.weights[e] for e in order]
        if self.settings.exploration == "random":
            return stands
        tells = [self._base.weights[e] * math.sqrt(info[e] + self.settings.epsilon) for e in order]
        both = math.fsum(stands) or 1.0, math.fsum(tells) or 1.0
        return [s / both[0] + t / both[1] for s, t in zip(stands, tells, strict=True)]

    def _kept(
        self,
        size: int,
        order: Sequence[ExampleId],
        sizes: Sequence[float],
        info: Mapping[ExampleId, float],
    ) -> int:
        """At least `size`, and as many as keep, on average, the buffer's share of the informativeness."""
        anchors = self._base.anchors
        wanted = self.settings.buffer * math.fsum(info.values()) - math.fsum(info[e] for e in anchors)

        def enough(count: int) -> bool:
            chances = inclusion(sizes, count)
            return math.fsum(p * info[e] for p, e in zip(chances, order, strict=True)) >= wanted

        counts = range(max(0, size - len(anchors)), len(order))
        return len(anchors) + counts.start + bisect_left(counts, True, key=enough)

    def _thinned(
        self, base: Selection, drawn: Collection[ExampleId], chance: Mapping[ExampleId, float]
    ) -> dict[ExampleId, float]:
        """Weights of the anchors and of those drawn.

        Two estimates are unbiased: the anchors alone, each for as many examples (they were drawn as well),
        and anchors with the others, whose weights grew. Their mixture, by sizes alone, makes weights even.
        """
        anchors, others = len(base.anchors), len(chance)
        size = anchors + len(drawn)
        share = len(drawn) * len(base) / (size * others) if others else 0.0
        alone = base.covered / anchors if anchors else 0.0
        share = 1.0 if not anchors else min(1.0, share)
        weights = {}
        for example, weight in base.weights.items():
            if example in chance:
                if example in drawn:
                    weights[example] = share * weight / chance[example]
            else:
                weights[example] = share * weight + (1 - share) * alone
        return weights

    # -- heat-ups ---------------------------------------------------------------------------------

    def _heat_or_cool(self, *, fresh: bool) -> list[str]:
        """Examples from the reserve join for `cooldown` trials; with `repeat` again after as many without.

        `fresh`: the pool was drawn anew, and so is who joins it.
        """
        settings, wait = self.settings, max(1, self.settings.cooldown)
        if self._hot_since is not None:
            if self.trials - self._hot_since >= wait:
                self._hot_since, self._cold_since = None, self.trials
                return [COOL]
            if fresh:
                self._heatups += 1
            return []
        if not settings.heat or not self._reserve() or (self._heatups and settings.schedule == "once"):
            return []
        if settings.trigger != "immediate" and len(self._base) > self.sizes()[1]:
            return []
        if self._cold_since is None:
            self._cold_since = self.trials
            waits = settings.trigger == "every_N_trials_after_min"
        else:
            waits = self._heatups > 0 or settings.trigger == "every_N_trials_after_min"
        if waits and self.trials - self._cold_since < wait:
            return []
        self._hot_since = self.trials
        self._heatups += 1
        return [HEAT]

    def _reserve(self) -> list[ExampleId]:
        """Who may join: those named, or all that are not in the pool."""
        if self.settings.reserve:
            named = set(self.settings.reserve)
            return [e for e in self.examples if e in named]
        return [e for e in self.examples if e not in self._base.weights]

    def _combined(self) -> Selection:
        """The pool with those who joined. They are drawn at random, so each stands for as many of the
        reserve; where the pool speaks for these too, the two estimates are mixed by their sizes."""
        base = self._base
        reserve = self._reserve() if self._hot_since is not None else []
        if not reserve:
            return base
        joined = stream(self.seed, "curriculum", "heat", self._heatups).sample(
            reserve, min(self.settings.heat, len(reserve))
        )
        alone = len(reserve) / len(joined)
        if self.settings.reserve:
            weights, covered = {**base.weights, **dict.fromkeys(joined, alone)}, base.covered + len(reserve)
        else:
            covered = base.covered
            share = min(1.0, covered / (alone * (len(base) + len(joined))))
            weights = {e: (1 - share) * weight + share for e, weight in base.weights.items()}
            weights |= dict.fromkeys(joined, share * alone)
        ordered = {e: weights[e] for e in self.examples if e in weights}
        return Selection(ordered, covered, base.anchors, tuple(e for e in ordered if e in set(joined)))

    # -- draws ------------------------------------------------------------------------------------

    def _order(self, among: Sequence[ExampleId], rng: Random, *, clustered: bool) -> list[ExampleId]:
        if not clustered:
            return rng.sample(list(among), len(among))
        return spread(among, self.best_prompts(COLUMNS), self.texts, rng)

    def _stream(self, purpose: str) -> Random:
        return stream(self.seed, "curriculum", purpose, self._changes)
