"""What is known of a cheap policy (LO) beside the job's own (HI), and whether to go by it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import NormalDist
from typing import NamedTuple, Protocol

from paretune.algorithms.rungs import Contest
from paretune.algorithms.settings import Proxy
from paretune.core.candidate import CandidateId
from paretune.core.control_variate import LEAST, Moments, estimate, pays
from paretune.core.example import ExampleId

ASSUMED_PRICE = 0.1
"""A LO rollout costs so much of a HI one where neither answers nor settings tell."""
FEWEST = 8
"""Fewer pairs decide nothing in `control_variate`."""
UNDECIDED = 160
"""After so many pairs the correlation as it stands decides, and no longer its bounds."""
SILENT = 4
"""After so many candidates that LO or HI cannot tell from their rivals, LO is of no use."""


class State(StrEnum):
    CALIBRATING = "calibrating"
    ON = "on"
    OFF = "off"


class Known(NamedTuple):
    """Correlation with its bounds, the variance that a regression leaves, and how many pairs tell it."""

    correlation: float
    low: float
    high: float
    sigma: float
    pairs: int


class Forecast(NamedTuple):
    """Of HI's mean above the rival's: an estimate with its standard error, what LO's slope was, how likely it
    is above 0, and how many cells the candidate may win at most."""

    difference: float
    error: float
    slope: float
    chance: float
    cells: int


@dataclass(frozen=True, slots=True)
class Sight:
    """A candidate beside its rival: HI's rewards on the first `measured` examples of the contest's order,
    LO's on all. An example that HI failed on counts on neither side; where LO failed, its mean stands."""

    contest: Contest
    measured: int
    rewards: Mapping[ExampleId, float]
    lo: Mapping[ExampleId, float]
    rival_lo: Mapping[ExampleId, float]

    @property
    def asked(self) -> list[ExampleId]:
        """Those that HI has scored both on."""
        rival = self.contest.rival
        return [e for e in self.contest.order[: self.measured] if e in self.rewards and e in rival]

    @property
    def everywhere(self) -> list[ExampleId]:
        """These first, then those that are not measured yet."""
        return [*self.asked, *(e for e in self.contest.order[self.measured :] if e in self.contest.rival)]

    def hi(self, examples: Sequence[ExampleId]) -> list[float]:
        return [self.rewards[e] - self.contest.rival[e] for e in examples]

    def cheap(self, examples: Sequence[ExampleId]) -> list[float]:
        """LO's differences."""
        both = {e: self.lo[e] - self.rival_lo[e] for e in examples if e in self.lo and e in self.rival_lo}
        mean = math.fsum(both.values()) / len(both) if both else 0.0
        return [both.get(e, mean) for e in examples]


class Rule(Protocol):
    """Learns from pairs, and forecasts. `judged` tells what to do from now on, and why."""

    def learn(self, candidate: CandidateId, sight: Sight) -> None: ...

    def judged(self, state: State, price: float) -> tuple[State, str]: ...

    def forecast(self, candidate: CandidateId, sight: Sight, looks: int, level: float) -> Forecast: ...

    def known(self) -> Known: ...


@dataclass(slots=True)
class ControlVariate:
    """Ours: LO makes the estimate from HI's part sharper, and cannot make it wrong.

    It is on while the correlation of differences to the rival, at its lower bound first, is worth LO's price.
    """

    settings: Proxy
    _groups: dict[CandidateId, Moments] = field(default_factory=dict)

    def learn(self, candidate: CandidateId, sight: Sight) -> None:
        """What is known of this candidate takes the place of what was."""
        asked = sight.asked
        self._groups[candidate] = Moments.of(sight.hi(asked), sight.cheap(asked))

    def judged(self, state: State, price: float) -> tuple[State, str]:
        now = self._all()
        low, high = now.bounds()
        if not now.tells:
            silent = len(self._groups) >= SILENT
            return (State.OFF, "no differences to go by") if silent else (state, "too few differences")
        if now.freedom + 1 < max(FEWEST, self.settings.n_min_hi):
            return state, "too few pairs"
        if pays(low, price):
            return State.ON, "worth its price"
        if not pays(high, price):
            return State.OFF, "not worth its price"
        if state is not State.CALIBRATING or now.freedom >= UNDECIDED:
            worth = pays(now.correlation, price)
            return (State.ON, "worth its price") if worth else (State.OFF, "not worth its price")
        return state, "not decided"

    def forecast(self, candidate: CandidateId, sight: Sight, looks: int, level: float) -> Forecast:
        """`looks` at this candidate so far, this one included: each takes its part of the error."""
        asked, everywhere, contest = sight.asked, sight.everywhere, sight.contest
        if len(asked) < max(LEAST, self.settings.n_min_hi):
            return Forecast(0.0, contest.top, 0.0, 1.0, len(contest.order))  # anything may be
        prior, lo = self._all(candidate), sight.cheap(everywhere)
        found = estimate(sight.hi(asked), lo[: len(asked)], lo, prior=prior, span=contest.top)
        chance = min(1.0, looks * found.above)
        return Forecast(found.mean, found.error, found.slope, chance, _cells(sight, lo, level))

    def known(self) -> Known:
        now = self._all()
        low, high = now.bounds()
        left = now.hi * (1 - now.correlation**2) / now.freedom if now.freedom else 0.0
        return Known(now.correlation, low, high, left, now.freedom)

    def _all(self, but: CandidateId = "") -> Moments:
        return sum((own for who, own in self._groups.items() if who != but), Moments())


def _cells(sight: Sight, lo: Sequence[float], level: float) -> int:
    """At most so many cells of the frontier will be the candidate's own, at this level: by where HI won so
    far and where LO says that it is better, on the same terms as the mean."""
    contest, asked, everywhere = sight.contest, sight.asked, sight.everywhere
    is_open = [contest.front.get(e, -math.inf) + contest.epsilon < contest.top for e in everywhere]
    if not any(is_open):
        return 0
    wins = [
        float(room and sight.rewards[e] > contest.front.get(e, -math.inf) + contest.epsilon)
        for e, room in zip(asked, is_open, strict=False)
    ]
    hints = [max(0.0, cheap) if room else 0.0 for cheap, room in zip(lo, is_open, strict=True)]
    found = estimate(wins, hints[: len(asked)], hints)
    most = int(len(everywhere) * found.most(NormalDist().inv_cdf(1 - level)))
    left = sum(is_open[len(asked) :])
    return max(0, min(int(sum(wins)) + left, max(int(sum(wins)), most)))


@dataclass(slots=True)
class R2Rule:
    """As documented: HI = a + b LO, fitted to all pairs of rewards, whoever they belong to; while it fits,
    LO's mean decides. That rewards go together on examples says little about candidates (docs/proxy.md)."""

    settings: Proxy
    _pairs: dict[tuple[CandidateId, ExampleId], tuple[float, float]] = field(default_factory=dict)

    def learn(self, candidate: CandidateId, sight: Sight) -> None:
        for who, hi, lo in (("", sight.contest.rival, sight.rival_lo), (candidate, sight.rewards, sight.lo)):
            shared = [e for e in sight.contest.order[: sight.measured] if e in hi and e in lo]
            self._pairs |= {(who, e): (lo[e], hi[e]) for e in shared}

    def judged(self, state: State, price: float) -> tuple[State, str]:
        now, settings = self.known(), self.settings
        squared = now.correlation**2
        if state is State.ON:
            if squared < settings.r2_stop:
                return State.OFF, f"R2 {squared:.2f} below r2_stop"
            if now.sigma > settings.sigma_stop:
                return State.OFF, f"sigma2 {now.sigma:.3g} above sigma_stop"
        told = f"R2 {squared:.2f} from {now.pairs} pairs"
        fits = squared >= settings.r2_thresh and now.sigma <= settings.sigma_max
        enough = now.pairs >= max(2, settings.n_min_hi)
        return (State.ON, told) if state is not State.ON and fits and enough else (state, told)

    def forecast(self, candidate: CandidateId, sight: Sight, looks: int, level: float) -> Forecast:
        """The mean that the line gives for LO's, against the rival's; it is taken to be exact."""
        moments, x, y = self._fit()
        slope = moments.both / moments.lo if moments.lo else 0.0
        lo = [sight.lo[e] for e in sight.contest.order if e in sight.lo]
        rival = list(sight.contest.rival.values())
        mean = y + slope * (math.fsum(lo) / len(lo) - x) if lo else y
        difference = mean - math.fsum(rival) / len(rival)
        return Forecast(difference, math.sqrt(self.known().sigma), slope, float(difference > 0), 0)

    def known(self) -> Known:
        moments, _, _ = self._fit()
        n = len(self._pairs)
        left = moments.hi * (1 - moments.correlation**2) / (n - 2) if n > 2 else 0.0
        return Known(moments.correlation, *moments.bounds(), left, n)

    def _fit(self) -> tuple[Moments, float, float]:
        lo, hi = zip(*self._pairs.values(), strict=True) if self._pairs else ((), ())
        n = max(1, len(lo))
        return Moments.of(hi, lo), math.fsum(lo) / n, math.fsum(hi) / n
