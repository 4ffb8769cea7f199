"""What a job's limits buy, before a single rollout is paid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from paretune.algorithms.stops import kept_rollouts
from paretune.core.budget import Ledger, Limits, Spent
from paretune.engine.job import Job
from paretune.engine.outlook import initial_rollouts, planned_steps
from paretune.engine.run import restore
from paretune.store.base import Store

LEAST_PROPOSALS = 3
"""Fewer are hardly a search."""
LEAST_CALLS = {"rollout": 8, "proposal": 3, "verdict": 8}
"""Calls of earlier runs from which a guess is made."""
NEWEST = 5
"""Runs that are looked at for it."""


@dataclass(frozen=True, slots=True)
class History:
    """What earlier runs of the same task and policy took: calls by role, and active seconds in all."""

    runs: int = 0
    spent: Mapping[str, Spent] = field(default_factory=dict)
    seconds: float = 0.0

    def each(self, role: str) -> Spent | None:
        """The calls of this role; None if there are too few to go by."""
        spent = self.spent.get(role, Spent())
        return spent if spent.calls >= LEAST_CALLS[role] else None


def history(store: Store, job: Job) -> History:
    """From the record of the newest runs with this job's task, policy and proposer settings."""
    ledger, seconds = Ledger(), 0.0
    alike = [run for run in store.runs() if _asks(run.job) == _asks(job.record())][:NEWEST]
    for run in alike:
        log = store.decisions(run.id)
        restore(ledger, [a for a in store.attempts(run.id) if a.ended])
        seconds += log[-1].elapsed if log else 0.0
    return History(len(alike), ledger.by_role, seconds)


def _asks(record: Mapping[str, Any]) -> list[object]:
    """What decides how long and dear its calls are: the task, its policy, who writes proposals and who
    judges."""
    inner = record["document"].get("prompt_learning", {})
    gepa = inner.get("gepa", {})
    who = record["identity"]
    settings = [gepa.get(key) for key in ("proposer_type", "proposer_effort")]
    judges = [section.get(key) for section in (inner, gepa) for key in ("judge", "verifier")]
    return [who["task"], who["policy"], inner.get("proposer"), *settings, *judges]


@dataclass(frozen=True, slots=True)
class Forecast:
    """Rollouts by purpose, how many proposals they allow, and what all of it takes.

    `fewest`: proposals if every child passes its gate and is fully evaluated; `most`: if none does;
    `ends_by` names the limit that allows no more (`settings`: as many as the file asks for). MIPRO has
    `trials` for them, and `gate` is a batch. `proposals` are texts to write at most. `rollouts`,
    `tokens` by role, `usd` and `seconds` are at most about so many; None where nobody can tell before the
    first rollouts. `basis` says where they come from, `warnings` and `notes` what does not fit together.
    """

    budget: int | None
    initial: int
    closing: int
    gate: int
    full: int
    fewest: int
    most: int
    ends_by: str
    trials: bool
    proposals: int
    rollouts: int
    tokens: Mapping[str, int | None]
    usd: float | None
    seconds: float | None
    basis: str
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Rates:
    """What one rollout, one proposal and the verdict on a rollout take; None where nobody knows."""

    rollout_tokens: float | None
    proposal_tokens: float | None
    rollout_usd: float | None
    proposal_usd: float | None
    verdict_tokens: float | None
    verdict_usd: float | None
    seconds: float | None

    @property
    def judged_tokens(self) -> float | None:
        """Of a rollout and its verdict."""
        return _sum(1, self.rollout_tokens, 1, self.verdict_tokens)

    @property
    def judged_usd(self) -> float | None:
        return _sum(1, self.rollout_usd, 1, self.verdict_usd)


def forecast(job: Job, known: History = History()) -> Forecast:
    """From the job and what earlier runs took; nothing is asked."""
    settings, splits = job.settings, job.splits
    size = min(settings.minibatch_size, len(splits.reflect))
    own = 0 if splits.shared else size  # the parent's own minibatch may be known already
    gate = own + min(size + settings.known_failures, len(splits.reflect))
    full = len(splits.pareto) - (size if splits.shared else 0)
    if trials := job.algorithm == "mipro":
        gate = size = settings.minibatch_size
        full = len(splits.pareto) - size
    budget = job.limits.rollouts
    initial, closing = initial_rollouts(job), kept_rollouts(splits, settings, budget)
    rates = _rates(job, known)
    (fewest, short_of), (most, ends_by) = _proposals(job, initial + closing, (gate, full, size), rates)
    rollouts = initial + closing + most * (gate + full)
    proposals = min(most, _texts(job)) if trials else most
    if budget is not None:
        rollouts = min(rollouts, budget)
    written = None if rates.proposal_tokens is None else round(proposals * rates.proposal_tokens)
    read = None if rates.rollout_tokens is None else round(rollouts * rates.rollout_tokens)
    judging = None if rates.verdict_tokens is None else round(rollouts * rates.verdict_tokens)
    judged = {"verdict": judging} if job.prices.judges else {}
    return Forecast(
        budget=budget,
        initial=initial,
        closing=closing,
        gate=gate,
        full=full,
        fewest=fewest,
        most=most,
        ends_by=ends_by,
        trials=trials,
        proposals=proposals,
        rollouts=rollouts,
        tokens={"rollout": read, "proposal": written, **judged},
        usd=_at_most(_sum(rollouts, rates.judged_usd, proposals, rates.proposal_usd), job.limits.cost_usd),
        seconds=None if rates.seconds is None else rollouts * rates.seconds,
        basis=_basis(known),
        warnings=tuple(_warnings(job, (fewest, short_of), (most, ends_by))),
        notes=tuple(_notes(job, gate, full, most)),
    )


def _texts(job: Job) -> int:
    """Instructions that a MIPRO search writes at most, as far as the guards let all pass."""
    mipro = job.mipro
    if mipro is None:
        return 0
    later = len(mipro.rounds) * mipro.per_round
    return sum(min(stage.instructions - 1 + later, stage.most_instructions) for stage in mipro.stages)


def _rates(job: Job, known: History) -> _Rates:
    """Means of earlier runs; money without them by the prices that are reserved before a call."""
    rollout, proposal, verdict = (known.each(role) for role in LEAST_CALLS)
    judges, prices = job.prices.judges, job.prices
    per_rollout = verdict.calls / rollout.calls if rollout and verdict else judges
    price = None if prices.verdict is None else judges * prices.verdict
    free = _asks(job.record())[3] == "operators"  # no model is asked
    return _Rates(
        rollout_tokens=rollout.tokens / rollout.calls if rollout else None,
        proposal_tokens=proposal.tokens / proposal.calls if proposal else 0.0 if free else None,
        rollout_usd=_usd(rollout, job.prices.rollout),
        proposal_usd=_usd(proposal, job.prices.proposal),
        verdict_tokens=per_rollout * verdict.tokens / verdict.calls if verdict else None if judges else 0.0,
        verdict_usd=per_rollout * verdict.usd / verdict.calls if verdict else price if judges else 0.0,
        seconds=known.seconds / rollout.calls if rollout else None,
    )


def _usd(spent: Spent | None, price: float | None) -> float | None:
    return spent.usd / spent.calls if spent and not spent.unpriced else price


def _proposals(
    job: Job, kept: int, costs: tuple[int, int, int], rates: _Rates
) -> tuple[tuple[int, str], tuple[int, str]]:
    """Fewest and most proposals, each with the limit that allows no more.

    `kept` rollouts are for the beginning and the end; a proposal whose child passes costs a gate and a full
    evaluation, one whose child falls may cost no more than its own minibatch.
    """
    (gate, full, size), limits, planned = costs, job.limits, planned_steps(job)
    share = job.settings.pipeline.validation_share if job.settings.pipeline.lanes else 0.0
    each = gate if share else gate + full  # in lanes full evaluations have a share of their own
    if job.algorithm == "mipro" and job.mipro:
        share, each = 0.0, gate + -(-full // job.mipro.full_every)
    rows = [("settings", planned, planned)]
    if limits.steps is not None:
        rows.append(("steps", limits.steps, limits.steps))
    for name, cap, rollout, proposal in _meters(limits, rates):
        if cap is not None and rollout is not None and proposal is not None:
            left = max(0.0, cap - kept * rollout)
            costly, cheap = each * rollout + proposal, size * rollout + proposal
            if cheap:
                rows.append((name, int(left * (1 - share) / costly), int(left / cheap)))
    fewest = min(((few, name) for name, few, _ in rows), key=lambda row: row[0])
    return fewest, min(((many, name) for name, _, many in rows), key=lambda row: row[0])


def _meters(limits: Limits, rates: _Rates) -> list[tuple[str, float | None, float | None, float | None]]:
    """Name and cap of each limit, and what a rollout and a proposal take of it."""
    judged = rates.judged_tokens
    both = _sum(1, judged, 1, rates.proposal_tokens)
    read, written = (judged, rates.proposal_tokens) if both is not None else (None, None)
    return [
        ("rollouts", limits.rollouts, 1.0, 0.0),
        ("tokens", limits.tokens, read, written),
        ("rollout_tokens", limits.rollout_tokens, rates.rollout_tokens, 0.0),
        ("proposal_tokens", limits.proposal_tokens, 0.0, rates.proposal_tokens),
        ("verdict_tokens", limits.verdict_tokens, rates.verdict_tokens, 0.0),
        (
            "cost_usd",
            limits.cost_usd,
            rates.judged_usd or rates.rollout_usd or 0.0,
            rates.proposal_usd or 0.0,
        ),
        ("rollout_usd", limits.rollout_usd, rates.rollout_usd or 0.0, 0.0),
        ("proposal_usd", limits.proposal_usd, 0.0, rates.proposal_usd or 0.0),
        ("verdict_usd", limits.verdict_usd, rates.verdict_usd or 0.0, 0.0),
        ("time", limits.seconds, rates.seconds, 0.0),
    ]


def _sum(one: float, each: float | None, other: float, of: float | None) -> float | None:
    return None if each is None or of is None else one * each + other * of


def _at_most(value: float | None, cap: float | None) -> float | None:
    return value if value is None or cap is None else min(value, cap)


def _basis(known: History) -> str:
    rollout, proposal = known.each("rollout"), known.each("proposal")
    if rollout is None:
        return (
            "tokens and time are unknown until the first rollouts: no earlier run of this task is on record"
        )
    proposals = f" and {proposal.calls} proposals" if proposal else ""
    runs = "1 earlier run" if known.runs == 1 else f"{known.runs} earlier runs"
    return f"by {rollout.calls} rollouts{proposals} of {runs} of this task, at their pace"


def _warnings(job: Job, fewest: tuple[int, str], most: tuple[int, str]) -> list[str]:
    warnings = []
    trials = job.algorithm == "mipro"
    what, costly = (
        ("trials", "with full evaluations") if trials else ("proposals", "if every one passes its gate")
    )
    for (count, ends_by), when in ((most, "at most"), (fewest, costly)):
        if count < LEAST_PROPOSALS:
            few = f"fewer than {LEAST_PROPOSALS} {what} {when} ({count})"
            warnings.append(f"{few}: raise what limits them, {ends_by}, or use fewer seeds")
            break
    if job.limits.cost_usd is not None:
        prices = {"rollouts": job.prices.rollout, "proposals": job.prices.proposal}
        warnings += [
            f"nobody knows what {calls} cost: the money cap does not hold them"
            for calls, usd in prices.items()
            if usd is None
        ]
    return warnings


def _notes(job: Job, gate: int, full: int, most: int | None) -> list[str]:
    settings, budget = job.settings, job.limits.rollouts
    notes, trials = [], job.algorithm == "mipro"
    planned = settings.generations * settings.children_per_generation
    if most is not None and most < planned:
        notes.append(
            f"the budget holds at most {most} {'trials' if trials else 'proposals'} of the {planned} that "
            f"{settings.generations} {'iterations' if trials else 'generations'} of "
            f"{settings.children_per_generation} ask for"
        )
    if budget is not None and settings.initial_size > 1:
        share = budget // (settings.generations + 1)
        room = max(0, (share - len(job.splits.pareto)) // gate)
        if room < settings.initial_size - 1:
            notes.append(
                f"generation 0 asks for {settings.initial_size - 1} proposals; its share of the budget "
                f"({share}) holds {room} beside the initial prompt"
            )
    if (
        not trials
        and budget is not None
        and most is not None
        and most * gate + full > budget - len(job.splits.pareto)
    ):
        notes.append(
            "a full evaluation fits only after fewer proposals; children that pass the gate without one "
            "meet on the selection split"
        )
    if not job.splits.test:
        notes.append("there is no test split: every figure of the result will be selected on")
    elif len(job.splits.test) < 50:
        notes.append(f"{len(job.splits.test)} test examples tell apart only large differences")
    if job.splits.shared:
        notes.append("all training seeds serve both the proposer and the frontier")
    return notes
