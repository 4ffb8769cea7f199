"""The forecast of a run that is under way, from what it took so far. No clock, no I/O.

The unit is the rollout: everything else (tokens, money, time, proposals) is taken to go on at its rate per
rollout so far. The cap that leaves room for the fewest further rollouts ends the search; the closing
evaluation comes on top. Ranges are two standard deviations of a count of as many steps, or calls, as were
seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from paretune.algorithms.phases import ends_all
from paretune.algorithms.stops import closing_rollouts, kept_rollouts
from paretune.algorithms.validation import choose_panel
from paretune.core.budget import ROLES, Spent
from paretune.engine.job import Job
from paretune.engine.standing import Standing

BOTH = "gepa+mipro"
"""A job of several searches."""

LEAST_STEPS = 4
"""Steps before a search says anything about its end."""

CAPS = {
    "settings": "what the file asks for",
    "generations": "what the file asks for",
    "steps": "the cap on steps",
    "rollouts": "the rollout budget",
    "tokens": "the cap on tokens",
    "rollout_tokens": "the cap on the policy's tokens",
    "proposal_tokens": "the cap on the proposer's tokens",
    "verdict_tokens": "the cap on the verifier's tokens",
    "cost_usd": "the money cap",
    "rollout_usd": "the cap on the policy's money",
    "proposal_usd": "the cap on the proposer's money",
    "verdict_usd": "the cap on the verifier's money",
    "time": "the time limit",
}
"""A stop's name, in words."""


@dataclass(frozen=True, slots=True)
class Range:
    """A figure that is not certain: `low` <= `likely` <= `high`."""

    low: float
    likely: float
    high: float

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.likely + other.likely, self.high + other.high)

    def times(self, factor: float, spread: float = 0.0) -> Range:
        """Of each unit so much, give or take the share `spread` of it."""
        return Range(
            self.low * factor * (1 - spread), self.likely * factor, self.high * factor * (1 + spread)
        )

    def within(self, low: float, high: float | None) -> Range:
        """No part below `low`, none above `high` (or `low`, if that is above it)."""
        top = math.inf if high is None else max(low, high)
        return Range(*(min(max(part, low), top) for part in (self.low, self.likely, self.high)))


NONE = Range(0.0, 0.0, 0.0)


def exactly(value: float) -> Range:
    return Range(value, value, value)


@dataclass(frozen=True, slots=True)
class Outlook:
    """A run's figures at its end, `seconds_left` and `proposals` (those still to come) until then.

    None where too little is known yet. `ends_by` names the cap that ends the search first, as `SearchEnded`
    does; patience and target may end it earlier (patience is in the lower ends).
    """

    rollouts: Range | None = None
    tokens: Range | None = None
    usd: Range | None = None
    seconds_left: Range | None = None
    proposals: Range | None = None
    ends_by: str = ""


def outlook(job: Job, now: Standing) -> Outlook:
    """From the job and where its run stands."""
    now = _between(job, now)
    course = now.course
    if course.finished:
        spent = exactly(now.drawn), exactly(now.tokens), exactly(now.usd)
        return Outlook(*spent, NONE, NONE, course.ended.reason if course.ended else "")
    if course.ended:
        still_out = job.settings.pipeline.lanes and not course.best and not now.closing
        search = Range(0, 0, _one_step(job)) if still_out else NONE
        return _Ahead(job, now, _closing(job, now), search, NONE).outlook(course.ended.reason)
    if course.step < LEAST_STEPS or not _drawn_in_search(job, now):
        return Outlook()
    room = _room(job, now)
    ends_by = min(room, key=lambda name: room[name].likely)
    search = Range(*(min(getattr(r, part) for r in room.values()) for part in ("low", "likely", "high")))
    search = search.within(0, None)
    patience = max(0.0, _until_patience(job, now) * _per_step(job, now) - _one_step(job))
    search = replace(search, low=min(search.low, patience))
    return _Ahead(job, now, _closing(job, now), search, _proposals(job, now, search)).outlook(ends_by)


def _between(job: Job, now: Standing) -> Standing:
    """Between two searches of one run the search goes on."""
    course = now.course
    if not course.ended or course.best or ends_all(job.algorithm, course.searches, course.ended.reason):
        return now
    return replace(now, course=replace(course, ended=None))


def initial_rollouts(job: Job) -> int:
    """Rollouts of the initial prompt before the first step; MIPRO's demonstrations come from some of them."""
    if job.algorithm == "mipro" and job.mipro:
        asked = {example.id for example in (*job.splits.pareto, *job.splits.reflect)}
        cap = None if job.settings.pool else job.limits.rollouts
        return len(asked) - len(job.splits.pareto) + job.mipro.first(job.splits, cap)
    panel = job.settings.pipeline.lanes and choose_panel(job.splits, job.settings, job.limits.rollouts)
    return len(job.splits.pareto) + len(panel or ())


def rollouts_ahead(job: Job) -> int:
    """Rollouts of one more step (of each lane) at most and of the closing evaluation: what a search must
    still hold in money and tokens to go on."""
    splits, settings = job.splits, job.settings
    gate = max(settings.step_rollouts, settings.merge_gate_size)
    closing = closing_rollouts(splits, settings.finalists) + job.noise_replicates * len(splits.test)
    return gate * max(1, settings.pipeline.lanes) + len(splits.pareto) + closing


def planned_steps(job: Job) -> int:
    """Steps that the settings ask for, at most."""
    settings, mipro = job.settings, job.mipro
    steps = settings.initial_size - 1 + settings.generations * settings.children_per_generation
    if job.algorithm != BOTH or mipro is None:
        return steps
    return 2 * steps + mipro.iterations * mipro.evaluations


# -- the search: how many more rollouts ---------------------------------------------------------------


def _room(job: Job, now: Standing) -> dict[str, Range]:
    """Stop -> rollouts that the search may still draw before that stop applies."""
    limits, course = job.limits, now.course
    spread, per_step = _spread(course.step), _per_step(job, now)
    closing = _closing(job, now).likely
    zero = course.zero if course.generation else max(course.zero, job.settings.initial_size - 1)
    planned = zero + job.settings.generations * job.settings.children_per_generation
    if job.algorithm == BOTH:
        planned = planned_steps(job)
    slack = Range(-_one_step(job), 0, _one_step(job))
    room = {"generations": exactly(max(0, planned - course.step)).times(per_step, spread) + slack}
    if limits.steps is not None:
        room["steps"] = exactly(max(0, limits.steps - course.step)).times(per_step, spread) + slack
    if limits.rollouts is not None:
        left = max(0.0, limits.rollouts - now.drawn - closing)
        room["rollouts"] = Range(max(0.0, left - _one_step(job)), left, left)
    margin = rollouts_ahead(job) - closing  # a search stops while one more step would still fit
    for meter in _meters(job, now):
        if meter.cap is not None and meter.search:
            most = max(0.0, meter.cap - meter.spent - closing * meter.closing)
            likely = max(0.0, most - max(0.0, margin) * meter.held)
            room[meter.name] = Range(likely, likely, most).times(1 / meter.search, spread) + slack
    return room


@dataclass(frozen=True, slots=True)
class _Meter:
    """A cap on what calls take: the use so far, and for each rollout of the search (proposals included), of
    the closing evaluation, and of what is held back for a step."""

    name: str
    cap: float | None
    spent: float
    search: float
    closing: float = 0.0
    held: float = 0.0


def _meters(job: Job, now: Standing) -> list[_Meter]:
    limits, rollout, proposal = job.limits, now.of("rollout"), now.of("proposal")
    drawn = max(1, _drawn_in_search(job, now))
    written, charged = proposal.tokens / drawn, proposal.usd / drawn
    read, paid = _each(rollout, lambda s: s.tokens), _judged(now, lambda s: s.usd)
    verdict = now.of("verdict").tokens / max(1, rollout.calls)
    prices, every = job.prices, read + verdict
    held = max(paid, (prices.rollout or 0.0) + prices.judges * (prices.verdict or 0.0))
    return [
        _Meter("tokens", limits.tokens, now.tokens, every + written, every, every),
        _Meter("rollout_tokens", limits.rollout_tokens, rollout.tokens, read, read, read),
        _Meter("proposal_tokens", limits.proposal_tokens, proposal.tokens, written),
        _Meter("verdict_tokens", limits.verdict_tokens, now.of("verdict").tokens, verdict, verdict, verdict),
        _Meter("cost_usd", limits.cost_usd, now.usd, paid + charged, paid, held),
        *_money(job, now, drawn),
        _Meter("time", limits.seconds, now.elapsed, _search_pace(job, now) or 0.0),
    ]


def _money(job: Job, now: Standing, drawn: int) -> list[_Meter]:
    """The caps on money of one role."""
    limits, prices, calls = job.limits, job.prices, max(1, now.of("rollout").calls)
    paid = {role: now.of(role).usd for role in ROLES}
    rollout, verdict = paid["rollout"] / calls, paid["verdict"] / calls
    held = max(rollout, prices.rollout or 0.0), max(verdict, prices.judges * (prices.verdict or 0.0))
    return [
        _Meter("rollout_usd", limits.rollout_usd, paid["rollout"], rollout, rollout, held[0]),
        _Meter("proposal_usd", limits.proposal_usd, paid["proposal"], paid["proposal"] / drawn),
        _Meter("verdict_usd", limits.verdict_usd, paid["verdict"], verdict, verdict, held[1]),
    ]


def _one_step(job: Job) -> float:
    """Rollouts that may be under way in steps that were begun: a gate, or a trial, and a full evaluation in
    each lane."""
    settings = job.settings
    if job.algorithm == "mipro":
        return (settings.minibatch_size + len(job.splits.pareto)) * max(1, settings.pipeline.lanes)
    return (settings.step_rollouts + initial_rollouts(job)) * max(1, settings.pipeline.lanes)


def _drawn_in_search(job: Job, now: Standing) -> int:
    return max(0, now.drawn - now.closing - initial_rollouts(job))


def _per_step(job: Job, now: Standing) -> float:
    return _drawn_in_search(job, now) / max(1, now.course.step)


def _until_patience(job: Job, now: Standing) -> float:
    """Steps until patience ends the search if nothing better is found."""
    settings, course = job.settings, now.course
    barren = settings.barren_steps
    steps = max(0, course.better_at + barren - course.step) if barren else math.inf
    if job.algorithm == BOTH:  # there it ends one search of several
        return math.inf
    if not settings.patience:
        return steps
    zero = max(course.zero, 0 if course.generation else settings.initial_size - 1)
    last = zero + (course.better + settings.patience) * settings.children_per_generation
    return min(steps, max(0, last - course.step))


def _proposals(job: Job, now: Standing, search: Range) -> Range:
    """Proposals to come in so many rollouts of the search."""
    course, per_step = now.course, _per_step(job, now)
    if job.algorithm == "mipro" and job.mipro:
        ahead = sum(step > course.step for step in job.mipro.rounds)
        most = ahead * job.mipro.per_round * len(job.mipro.stages)
        return Range(0, most, most)
    caps = [planned_steps(job), *([] if job.limits.steps is None else [job.limits.steps])]
    steps_left = max(0, min(caps) - course.step)
    rate = course.proposals / course.step
    return search.times(rate / per_step, _spread(course.step)).within(0, steps_left)


# -- the end -------------------------------------------------------------------------------------------


def _closing(job: Job, now: Standing) -> Range:
    """Rollouts of the closing evaluation that are not drawn yet."""
    splits, settings, course = job.splits, job.settings, now.course
    select, test = len(splits.select), len(splits.test)
    again = job.noise_replicates * test
    if course.best:
        changed = bool(splits.test) and course.best.best != job.seed.id
        done = max(0, now.closing - select * len(course.best.means))
        return exactly(test * (1 + changed) + again - done).within(0, None)
    if course.ended:
        finals = select * (1 + min(settings.finalists, len(course.rivals)))
        least, most = finals + test - now.closing, finals + 2 * test + again - now.closing
        return Range(least, most, most).within(0, None)
    kept = kept_rollouts(splits, settings, job.limits.rollouts) + again
    return Range(min(kept, closing_rollouts(splits, 0) - test), kept, kept).within(0, None)


@dataclass(frozen=True, slots=True)
class _Ahead:
    """What is still to come: rollouts of the closing evaluation and of the search, and proposals."""

    job: Job
    now: Standing
    closing: Range
    search: Range
    proposals: Range

    def outlook(self, ends_by: str) -> Outlook:
        drawn, limits = self.now.drawn, self.job.limits
        return Outlook(
            rollouts=(exactly(drawn) + self.closing + self.search).within(drawn, limits.rollouts),
            tokens=self._metered(lambda s: s.tokens, limits.tokens),
            usd=None if self._unpriced() else self._metered(lambda s: s.usd, limits.cost_usd),
            seconds_left=self._seconds(),
            proposals=self.proposals,
            ends_by=ends_by,
        )

    def _to_pay(self) -> Range:
        """All rollouts to come, taken to be paid: what is known already only makes the run cheaper."""
        return (self.closing + self.search + exactly(self.now.out)).within(0, self._left())

    def _left(self) -> float | None:
        cap = self.job.limits.rollouts
        return None if cap is None else max(0, cap - self.now.drawn) + self.now.out

    def _metered(self, amount: Callable[[Spent], float], cap: float | None) -> Range | None:
        """What calls will have taken at the end; None before the first rollout that was paid."""
        rollout, proposal = self.now.of("rollout"), self.now.of("proposal")
        spent = sum(map(amount, self.now.spent.values()))
        to_pay = self._to_pay()
        if not rollout.calls:
            return None if to_pay.high else exactly(spent)
        ahead = to_pay.times(_judged(self.now, amount), _spread(rollout.calls))
        ahead += self.proposals.times(_each(proposal, amount), _spread(max(1, proposal.calls)))
        return (exactly(spent) + ahead).within(spent, cap)

    def _unpriced(self) -> bool:
        """Nobody knows what the calls cost."""
        return not self.now.usd and any(spent.unpriced for spent in self.now.spent.values())

    def _seconds(self) -> Range | None:
        now, spread = self.now, _spread(max(1, self.now.course.step))
        pace, batch = _search_pace(self.job, now), _batch_pace(self.job, now)
        if batch is None or (pace is None and self.search.high):
            return None if self._to_pay().high else NONE
        search = (self.search + exactly(0 if now.course.ended else now.out)).times(pace or 0.0, spread)
        if self.job.limits.seconds is not None:
            search = search.within(0, max(0.0, self.job.limits.seconds - now.elapsed))
        closing = self.closing + exactly(now.out if now.course.ended else 0)
        return search + closing.times(batch, _spread(now.timed))


# -- rates ---------------------------------------------------------------------------------------------


def _search_pace(job: Job, now: Standing) -> float | None:
    """Seconds for each rollout that the search paid."""
    paid = now.timed - _initial_paid(job, now) - now.closing
    if now.course.began is None or paid <= 0:
        return None
    return max(0.0, now.elapsed - now.course.began) / paid


def _batch_pace(job: Job, now: Standing) -> float | None:
    """Seconds for each rollout of many that are asked for at once, as the first and the last ones are."""
    paid = min(now.timed, _initial_paid(job, now))
    if now.course.began is not None and paid:
        return now.course.began / paid
    return now.elapsed / now.timed if now.timed else None


def _initial_paid(job: Job, now: Standing) -> int:
    """Rollouts of the initial evaluation that were paid; results of other runs are likely found there."""
    return max(0, initial_rollouts(job) - now.of("rollout").reused)


def _each(spent: Spent, amount: Callable[[Spent], float]) -> float:
    return amount(spent) / spent.calls if spent.calls else 0.0


def _judged(now: Standing, amount: Callable[[Spent], float]) -> float:
    """What a rollout takes together with its verdict, if it has one."""
    rollout = now.of("rollout")
    return _each(rollout, lambda spent: amount(spent) + amount(now.of("verdict")))


def _spread(count: int) -> float:
    """Two standard deviations of a count, as a share of it."""
    return min(1.0, 2 / math.sqrt(count))
