"""A run in a few figures: for who watches a terminal, and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from paretune.core.budget import Limits
from paretune.core.statistics import Comparison, Interval
from paretune.engine.outlook import Outlook
from paretune.views.coverage import coverage
from paretune.views.evidence import turned_down
from paretune.views.flow import ErrorGroup, errors
from paretune.views.intervals import mean_of
from paretune.views.lift import lift_on
from paretune.views.phases import phases
from paretune.views.run_view import Row, RunView

HELD_OUT = ("test", "select")
"""The untouched split tells more than the one that chose."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Seed and best on one split: the mean of each with its interval, and the change, paired by example."""

    split: str
    seed: Interval
    best: Interval
    change: Comparison


@dataclass(frozen=True, slots=True)
class Headline:
    """How a run stands.

    `now` are the phases that go on. `covered` of the `examples` of the frontier are won by somebody.
    `rollouts` are distinct results, `given_up` those of them that failed for good; `in_flight` are calls by
    role. `reasons` counts the proposals that were turned down, `errors` are failed calls, the worst first.
    `priced`: every call's price is known. `seconds` are active ones.
    """

    state: str
    now: tuple[str, ...]
    step: int
    generation: int
    best: Row | None
    train: Scored | None
    heldout: Scored | None
    holds_out: bool
    covered: int
    examples: int
    candidates: int
    rollouts: int
    given_up: int
    in_flight: Mapping[str, int]
    tokens: int
    usd: float
    priced: bool
    limits: Limits
    seconds: float
    outlook: Outlook
    reasons: Mapping[str, int] = field(default_factory=dict)
    errors: tuple[ErrorGroup, ...] = ()


def headline(view: RunView) -> Headline:
    """Of one look at a run."""
    return Headlines()(view)


class Headlines:
    """Those of one run, again and again: what all rollouts are gone through for is counted again only when
    another candidate was admitted."""

    def __init__(self) -> None:
        self._counted: object = None
        self._covered = 0

    def __call__(self, view: RunView) -> Headline:
        ledger, course, best = view.ledger, view.standing.course, view.best
        pool = sum(row.mean is not None for row in view.rows.values())
        covered = self._cover(view, pool)
        return Headline(
            state=view.run.status,
            now=tuple(phase.words for phase in phases(view, covered) if phase.state == "now"),
            step=course.step,
            generation=course.generation,
            best=best,
            train=_scored(view, best, "pareto"),
            heldout=next((found for split in HELD_OUT if (found := _scored(view, best, split))), None),
            holds_out=any(view.splits[split] for split in HELD_OUT),
            covered=covered,
            examples=len(view.splits["pareto"]),
            candidates=pool,
            rollouts=len(ledger.drawn),
            given_up=len(view.failures),
            in_flight=dict(Counter(begun.role for begun in view.in_flight)),
            tokens=ledger.tokens,
            usd=ledger.cost_usd,
            priced=not any(spent.unpriced for spent in ledger.by_role.values()),
            limits=ledger.limits,
            seconds=view.elapsed,
            outlook=view.outlook,
            reasons=turned_down(view),
            errors=tuple(errors(view)),
        )

    def _cover(self, view: RunView, pool: int) -> int:
        counted = view.run.status, pool
        if self._counted != counted:
            strips = coverage(view)
            self._counted, self._covered = counted, strips[-1].covered if strips else 0
        return self._covered


def _scored(view: RunView, best: Row | None, split: str) -> Scored | None:
    """None before the first pair of results."""
    lift = lift_on(view, best, "best", split) if best else None
    if best is None or lift is None:
        return None
    seed, mean = mean_of(view, view.seed.id, split), mean_of(view, best.id, split)
    assert seed is not None
    assert mean is not None
    return Scored(split, seed, mean, lift.comparison)
