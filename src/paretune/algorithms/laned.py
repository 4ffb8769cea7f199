"""A search whose work overlaps: pieces of it are under way for several lanes while one decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from paretune.algorithms.lanes import SHARE, Lane, Turns
from paretune.algorithms.screening import Asking
from paretune.algorithms.search import Search
from paretune.algorithms.spans import Span, Spans
from paretune.core.candidate import Candidate, CandidateId
from paretune.core.example import Example, ExampleId
from paretune.core.rollout import LO, Outcome
from paretune.evaluate.queue import Priority


@dataclass(slots=True)
class Laned(Search):
    """Rollouts of lanes. `seen` are first rewards on examples that a proposer may see, in the order of
    asking; `asked_of` counts the rollouts that each candidate took, `cheap` those of the cheap policy apart.
    """

    turns: Turns = field(init=False)
    spans: Spans = field(default_factory=Spans)
    seen: dict[CandidateId, dict[ExampleId, float]] = field(default_factory=dict)
    asked_of: Counter[CandidateId] = field(default_factory=Counter)
    cheap: int = 0

    def __post_init__(self) -> None:
        Search.__post_init__(self)
        self.turns = Turns(self.ports.record)

    def follow(self, before: Search) -> None:
        Search.follow(self, before)
        self.turns.name = f"turn/{self.at}"
        if isinstance(before, Laned):
            self.seen = before.seen

    def kept(self) -> int:
        """Rollouts kept for the closing."""
        return self.schedule.closing()

    def affords(self, wanted: int) -> bool:
        return self.ports.ledger.affords((), wanted + self.kept())

    def asking(self, lane: Lane, step: int, candidate: Candidate, examples: Sequence[Example]) -> Asking:
        """How LO is asked before this candidate is measured on these examples."""
        return Asking(
            partial(self.rollouts, lane, step, tier=LO),
            lambda wanted: self.affords(wanted + self.undrawn(candidate, examples)),
        )

    async def rollouts(
        self,
        lane: Lane,
        step: int,
        candidate: Candidate,
        examples: Sequence[Example],
        replicate: int = 0,
        tier: str = "",
    ) -> list[Outcome]:
        """Outcomes, noted in this lane's turn; a proposer sees first draws only. Raises BudgetExceeded."""
        span = self.start(candidate, examples, replicate, tier)
        return await self.home(lane, step, candidate, span, noted=not replicate and not tier)

    def start(
        self,
        candidate: Candidate,
        examples: Sequence[Example],
        replicate: int = 0,
        tier: str = "",
        *,
        background: bool = False,
    ) -> Span:
        evaluate, requests = self.ports.evaluate, self.requests(candidate, examples, replicate, tier)
        work = evaluate.start(requests, Priority.BACKGROUND if background else Priority.GATE)
        if tier:
            self.cheap += len(work.new)
        else:
            self.asked_of[candidate.id] += len(work.new)
        slots = max(1, evaluate.concurrency // SHARE) if background else 0
        return self.spans.begin(work, self.turns.now, slots)

    async def home(
        self, lane: Lane, step: int, candidate: Candidate, span: Span, *, noted: bool = True
    ) -> list[Outcome]:
        outcomes = await self.paid(step, lane.work(span.work, span.ends))
        self.spans.over(span)
        noticed = self.notes.keep(candidate.id, outcomes if noted else ())
        self.seen.setdefault(candidate.id, {}).update(noticed)
        return outcomes
