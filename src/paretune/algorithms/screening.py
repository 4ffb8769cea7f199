"""Screening: a cheap policy (LO) looks at a child before the job's own (HI) evaluates it in full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from paretune.algorithms.ports import Ports
from paretune.algorithms.proxy import ASSUMED_PRICE, ControlVariate, Forecast, R2Rule, Rule, Sight, State
from paretune.algorithms.rungs import Contest
from paretune.algorithms.settings import Proxy, ProxyRule
from paretune.core import events
from paretune.core.candidate import Candidate, CandidateId
from paretune.core.example import Example, ExampleId
from paretune.core.rollout import LO, Outcome, Rollout, RolloutRequest, scores

FIRST = 16
"""HI's part when LO is asked for the first time; it doubles from look to look."""

PATIENCE = 2
"""Ours is switched off once LO has cost so many full evaluations by HI more than it saved."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How a search asks LO: `rollouts` of a candidate on examples, if so many more can be spared (`spare`)
    beside HI's full evaluation and what is kept."""

    rollouts: Callable[[Candidate, Sequence[Example]], Awaitable[list[Outcome]]]
    spare: Callable[[int], bool]


@dataclass(frozen=True, slots=True)
class Look:
    """A candidate against its rival after a part of its full evaluation.

    `outcomes` are HI's on the first of `examples`, which are those of the contest, in its order. It is
    stopped when its chance is at `level` or below and fewer than `enough` cells, or none, will be its own.
    """

    step: int
    candidate: Candidate
    rival: Candidate
    contest: Contest
    examples: Sequence[Example]
    outcomes: Mapping[ExampleId, Outcome]
    level: float
    enough: float


@dataclass(slots=True)
class Tally:
    """USD and how many rollouts told them."""

    usd: float = 0.0
    told: int = 0

    def add(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, Rollout) and outcome.answer.usage.cost_usd is not None:
                self.usd += outcome.answer.usage.cost_usd
                self.told += 1

    def mean(self, otherwise: float | None) -> float | None:
        return self.usd / self.told if self.told else otherwise


@dataclass(slots=True)
class Screens:
    """Decides on record who HI goes on with. Without `settings` it asks nothing and stops nobody.

    LO's answers are known to nobody else: they are no cells, no evidence, and no score of anybody.
    """

    settings: Proxy | None
    ports: Ports
    state: State = State.CALIBRATING
    rule: Rule = field(init=False)
    _lo: dict[CandidateId, dict[ExampleId, float]] = field(default_factory=dict)
    _asked: dict[CandidateId, set[ExampleId]] = field(default_factory=dict)
    _paid: dict[str, Tally] = field(default_factory=lambda: {"": Tally(), LO: Tally()})
    _counted: set[tuple[CandidateId, ExampleId]] = field(default_factory=set)
    _looks: Counter[CandidateId] = field(default_factory=Counter)
    _open: dict[CandidateId, Look] = field(default_factory=dict)
    _passed: set[CandidateId] = field(default_factory=set)
    _spared: int = 0
    _stops: int = 0
    _learnt: int = 0
    _while_off: set[CandidateId] = field(default_factory=set)
    _for_good: bool = False

    def __post_init__(self) -> None:
        if self.settings is not None:
            kind = ControlVariate if self.settings.rule is ProxyRule.CONTROL_VARIATE else R2Rule
            self.rule = kind(self.settings)

    @property
    def first(self) -> int:
        """After how many examples the first look is; 0 where there is none."""
        return max(FIRST, self.settings.n_min_hi) if self.settings else 0

    async def look(self, look: Look, asking: Asking) -> bool:
        """True if HI goes on no more with this candidate, which is on record then."""
        if self.settings is None or look.candidate.id in self._passed:
            return False
        if self.state is not State.ON:
            measured = look.examples[: len(look.outcomes)]
            if not self._calibrates(look) or not await self._ask(look, measured, asking):
                return False
            await self._learned(look)
        if self.state is not State.ON or not await self._ask(look, look.examples, asking):
            return False
        self._open[look.candidate.id] = look
        decided = await self._decide(look)
        if decided.stopped:
            self._spared += decided.spared
            await self._learned(look)
        elif decided.verified or self.settings.rule is ProxyRule.R2:
            self._passed.add(look.candidate.id)  # another look would tell nothing else
        return decided.stopped

    async def done(self, candidate: Candidate, outcomes: Mapping[ExampleId, Outcome]) -> None:
        """HI has evaluated it in full: what LO said can be held against it."""
        look = self._open.pop(candidate.id, None)
        if look is not None:
            await self._learned(replace(look, outcomes=outcomes))

    # -- asking -----------------------------------------------------------------------------------

    def _calibrates(self, look: Look) -> bool:
        """Whether LO is asked on HI's part: until its worth is known, then for every so many-th child."""
        if self.state is State.CALIBRATING:
            return True
        every = self.settings.verify_every if self.settings and not self._for_good else 0
        if not every or look.candidate.id in self._while_off:
            return False
        self._while_off.add(look.candidate.id)
        return len(self._while_off) % every == 0

    async def _ask(self, look: Look, examples: Sequence[Example], asking: Asking) -> bool:
        """LO's rewards of candidate and rival on these examples are known; False if they cannot be paid."""
        pairs = ((look.rival, look.contest.rival), (look.candidate, None))
        wanted = [
            (who, [e for e in examples if e.id not in self._asked.get(who.id, ()) and (not of or e.id in of)])
            for who, of in pairs
        ]
        if not self._spare([(who, e) for who, asked in wanted for e in asked], asking):
            return False
        for who, asked in wanted:
            if asked:
                if not self._spare([(who, e) for e in asked], asking):
                    return False  # other lanes drew meanwhile
                outcomes = await asking.rollouts(who, asked)
                self._asked.setdefault(who.id, set()).update(e.id for e in asked)
                self._lo.setdefault(who.id, {}).update(scores(outcomes))
                self._paid[LO].add(outcomes)
        return True

    def _spare(self, pairs: Sequence[tuple[Candidate, Example]], asking: Asking) -> bool:
        """True if the budget holds these rollouts by LO beside what HI may ask for."""
        requests = [RolloutRequest(who, example, tier=LO) for who, example in pairs]
        missing = self.ports.ledger.drawn.missing(self.ports.evaluate.keys(requests))
        return not missing or asking.spare(len(missing))

    # -- deciding ---------------------------------------------------------------------------------

    async def _decide(self, look: Look) -> events.ProxyDecided:
        assert self.settings is not None
        who = look.candidate.id
        self._looks[who] += 1
        found = self.rule.forecast(who, self._sight(look), self._looks[who], look.level)
        hopeless = found.chance <= look.level and (not found.cells or found.cells < look.enough)
        self._stops += hopeless
        every = self.settings.verify_every
        verified = hopeless and every > 0 and self._stops % every == 0
        decision = self._decision(look, found, hopeless and not verified, verified)
        key = f"{look.step}/proxy/{who}/{len(look.outcomes)}"
        return await self.ports.record.step(key, lambda: decision)

    def _decision(self, look: Look, found: Forecast, stopped: bool, verified: bool) -> events.ProxyDecided:
        assert self.settings is not None
        rest = [RolloutRequest(look.candidate, e) for e in look.examples[len(look.outcomes) :]]
        spared = len(self.ports.ledger.drawn.missing(self.ports.evaluate.keys(rest))) if stopped else 0
        return events.ProxyDecided(
            step=look.step,
            candidate=look.candidate.id,
            rival=look.rival.id,
            rule=self.settings.rule.value,
            measured=len(look.outcomes),
            wanted=len(look.examples),
            difference=found.difference,
            error=found.error,
            slope=found.slope,
            chance=found.chance,
            cells=found.cells,
            stopped=stopped,
            verified=verified,
            spared=spared,
        )

    async def _learned(self, look: Look) -> None:
        """From what HI and LO both measured; whether LO is used from now on is on record."""
        assert self.settings is not None
        who = look.candidate.id
        new = [o for e, o in look.outcomes.items() if (who, e) not in self._counted]
        self._counted.update((who, o.example) for o in new)
        self._paid[""].add(new)
        self.rule.learn(who, self._sight(look))
        price = self._price()
        state, reason = self.rule.judged(self.state, price)
        if self._in_vain(price, len(look.examples)) and state is State.ON:
            state, reason = State.OFF, f"cost more than it saved in {len(self._looks)} candidates"
        gain = self._gain()
        if self._for_good or (gain is not None and gain < self.settings.patience_usd):
            self._for_good, state, reason = True, State.OFF, "beyond proxy_patience_usd"
        known = self.rule.known()
        decision = events.ProxyCalibrated(
            step=look.step,
            candidate=who,
            rule=self.settings.rule.value,
            state=state.value,
            reason=reason,
            correlation=known.correlation,
            low=known.low,
            high=known.high,
            sigma=known.sigma,
            pairs=known.pairs,
            price=price,
        )
        self._learnt += 1
        key = f"{look.step}/calibrated/{self._learnt}"
        made = await self.ports.record.step(key, lambda: decision)
        self.state = State(made.state)

    def _sight(self, look: Look) -> Sight:
        lo, rival = self._lo.get(look.candidate.id, {}), self._lo.get(look.rival.id, {})
        rewards = scores(list(look.outcomes.values()))
        return Sight(look.contest, len(look.outcomes), rewards, lo, rival)

    # -- money ------------------------------------------------------------------------------------

    def _usd(self) -> tuple[float | None, float | None]:
        """Of a rollout by LO and by HI, and its verdict; None where nobody knows."""
        assert self.settings is not None
        lo, hi = self._paid[LO].mean(self.settings.lo_usd), self._paid[""].mean(self.settings.hi_usd)
        verdict = self.settings.verdict_usd
        return None if lo is None else lo + verdict, None if hi is None else hi + verdict

    def _price(self) -> float:
        lo, hi = self._usd()
        return lo / hi if lo is not None and hi else ASSUMED_PRICE

    def _in_vain(self, price: float, examples: int) -> bool:
        """Whether ours has cost more than it saved by so much that more of it is not worth a try."""
        ours = self.settings is not None and self.settings.rule is ProxyRule.CONTROL_VARIATE
        return ours and self._spared + PATIENCE * examples < price * self._asked_for

    @property
    def _asked_for(self) -> int:
        """LO's rollouts."""
        return sum(map(len, self._asked.values()))

    def _gain(self) -> float | None:
        """USD saved so far: HI rollouts that were not made, less LO's."""
        lo, hi = self._usd()
        if lo is None or hi is None:
            return None
        return self._spared * hi - self._asked_for * lo
