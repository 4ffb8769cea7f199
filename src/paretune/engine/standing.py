"""Where a run stands: what a forecast starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from paretune.core import events
from paretune.core.budget import Spent
from paretune.core.events import Decision


@dataclass(frozen=True, slots=True)
class Course:
    """How far a run is by its decisions.

    `began` is the active time in seconds when the search began. `zero` is the last step of generation 0,
    `better` the generation of the newest better best and `better_at` its step, `rivals` who may be a finalist
    beside the seed.
    A run of several `searches` goes on after the `last` end of one, and is then no longer `ended`.
    """

    began: float | None = None
    step: int = 0
    zero: int = 0
    generation: int = 0
    better: int = 0
    better_at: int = 0
    proposals: int = 0
    searches: int = 0
    rivals: frozenset[str] = frozenset()
    ended: events.SearchEnded | None = None
    last: events.SearchEnded | None = None
    best: events.BestChosen | None = None
    finished: bool = False

    def after(self, decision: Decision, elapsed: float) -> Course:
        """With one more decision, made when the run had worked for `elapsed` seconds."""
        match decision:
            case events.StepStarted() | events.TrialStarted():
                return replace(self._at(decision.step, decision.generation), ended=None)
            case events.Bootstrapped():
                return replace(self, ended=None)
            case events.ChildProposed(origin="trial"):
                return self._at(decision.step, decision.generation)
            case events.ChildProposed():
                return replace(self._at(decision.step, decision.generation), proposals=self.proposals + 1)
            case events.OptionAdded() if decision.proposal:
                return replace(self, proposals=self.proposals + 1)
            case events.ProposalRejected():
                return replace(self, proposals=self.proposals + 1)
            case events.CandidateAdmitted(step=0):
                return replace(self, began=elapsed)
            case events.CandidateAdmitted():
                course = self._better() if decision.best else self
                return replace(course, rivals=self.rivals | {decision.candidate})
            case events.EvaluationDeferred():
                return replace(self._better(), rivals=self.rivals | {decision.child})
            case events.HeadMoved():
                return self._better()
            case events.SearchEnded():
                return replace(self, ended=decision, last=decision, searches=self.searches + 1)
            case events.BestChosen():
                return replace(self, best=decision, ended=self.ended or self.last)
            case events.RunFinished():
                return replace(self, finished=True)
            case _:
                return self

    def _better(self) -> Course:
        return replace(self, better=self.generation, better_at=self.step)

    def _at(self, step: int, generation: int) -> Course:
        return replace(
            self,
            step=max(self.step, step),
            zero=max(self.zero, step) if generation == 0 else self.zero,
            generation=max(self.generation, generation),
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """What a run took up to one moment.

    `drawn` rollouts, of which `out` have no outcome yet and `closing` belong to the closing evaluation;
    `timed` of the calls in `spent` were over when the run had worked for `elapsed` seconds.
    """

    course: Course
    drawn: int
    elapsed: float
    timed: int
    out: int = 0
    closing: int = 0
    spent: Mapping[str, Spent] = field(default_factory=dict)

    def of(self, role: str) -> Spent:
        return self.spent.get(role, Spent())

    @property
    def tokens(self) -> int:
        return sum(spent.tokens for spent in self.spent.values())

    @property
    def usd(self) -> float:
        return sum(spent.usd for spent in self.spent.values())
