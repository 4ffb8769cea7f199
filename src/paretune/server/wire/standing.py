"""How a job stands, folded from its decisions: what a status call tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from paretune.algorithms.phases import ends_all
from paretune.core import events
from paretune.core.candidate import CandidateId
from paretune.core.events import Decision
from paretune.engine.resolve.gepa import ENDLESS
from paretune.server.wire.prompts import Prompts
from paretune.server.wire.results import best_score
from paretune.views.run_view import RunView


@dataclass(frozen=True, slots=True)
class Meter:
    """What a run took up to a decision, from its ledger. None where nobody counted."""

    rollouts: int | None = None
    tokens: int | None = None
    cost_usd: float | None = None
    eta_seconds: float | None = None

    @classmethod
    def of(cls, view: RunView) -> Meter:
        left = view.outlook.seconds_left
        return cls(
            rollouts=len(view.ledger.drawn),
            tokens=sum(spent.tokens for spent in view.ledger.by_role.values()),
            cost_usd=view.ledger.cost_usd,
            eta_seconds=round(left.likely, 1) if left else None,
        )


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a candidate came from."""

    parents: tuple[CandidateId, ...] = ()
    origin: str = ""
    generation: int = 0


@dataclass(slots=True)
class Fold:
    """`values` are the standing: JSON, without what is unknown. Beside it, what the telling of events needs:
    proposals or trials `tried` (`planned`, where their number ends the run), gates and how many were passed,
    who was admitted with which mean, and who came from whom.
    """

    prompts: Prompts
    values: dict[str, Any] = field(default_factory=dict)
    tried: int = 0
    gates: int = 0
    passed: int = 0
    means: dict[CandidateId, float] = field(default_factory=dict)
    origins: dict[CandidateId, Origin] = field(default_factory=dict)
    splits: Mapping[str, list[str]] = field(default_factory=dict)
    planned: int | None = None
    algorithm: str = "gepa"
    searches: int = 0
    _texts: dict[CandidateId, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, prompts: Prompts, run_job: Mapping[str, Any]) -> Fold:
        settings, limits = run_job.get("settings") or {}, run_job.get("limits") or {}
        generations = settings.get("generations")
        if generations is not None and generations >= ENDLESS:
            generations = None
        algorithm = run_job.get("algorithm", "gepa")
        fold = cls(prompts, splits=run_job.get("splits") or {}, algorithm=algorithm)
        if algorithm == "gepa+mipro":
            generations = None  # of each search its own
        if generations is not None:  # else something other than their number ends the run
            fold.planned = settings["initial_size"] - 1 + generations * settings["children_per_generation"]
        fold.set(phase="queued", rollout_budget=limits.get("rollouts"), generations=generations)
        return fold

    def set(self, **values: Any) -> None:
        """These values stand from now on; one that is None is unknown."""
        for name, value in values.items():
            if value is None:
                self.values.pop(name, None)
            else:
                self.values[name] = value

    def measured(self, meter: Meter) -> None:
        self.set(
            rollouts=meter.rollouts,
            tokens=meter.tokens,
            cost_usd=meter.cost_usd,
            eta_seconds=meter.eta_seconds,
        )

    def take(self, decision: Decision, elapsed: float) -> None:
        """One more decision, made when the run had worked for `elapsed` seconds."""
        self.set(elapsed_seconds=round(elapsed, 3))
        match decision:
            case events.RunStarted():
                self.set(phase="bootstrap", step=0, generation=0, candidates=1)
            case events.StepStarted():
                self._reached(decision.step, decision.generation)
            case events.TrialStarted():
                self.tried += 1
                self._reached(decision.step, decision.generation)
            case events.TrialEnded():
                self.gates += 1
            case events.ProposalRejected():
                self.tried += self.algorithm != "mipro"
            case events.ChildProposed():
                self.tried += decision.origin != "trial"
                self._reached(decision.step, decision.generation)
                origin = Origin(tuple(decision.parents), decision.origin, decision.generation)
                self._appeared(decision.child, origin, decision.components)
            case events.GateDecided():
                self._gated(decision)
            case events.HeadMoved():
                origin = Origin(tuple(decision.parents), "join", decision.generation)
                self._appeared(decision.head, self.origins.get(decision.head, origin), decision.components)
            case events.CandidateAdmitted():
                self._admitted(decision)
            case events.SearchEnded():
                self.searches += 1
                if self.over(decision):
                    self.set(phase=self._heldout("select") or self._heldout("test") or "optimization")
            case events.BestChosen():
                self._chosen(decision)
            case events.RunFinished():
                if "best_validation_score" not in self.values:
                    train = self.values.get("best_train_score")
                    self.best(decision.best, train, decision.test.get(decision.best))
                self.set(phase="complete", eta_seconds=None)
            case _:
                pass

    def over(self, ended: events.SearchEnded) -> bool:
        """True if no other search of this run follows."""
        return ends_all(self.algorithm, self.searches, ended.reason)

    def _reached(self, step: int, generation: int) -> None:
        """Lanes work at several steps at once: the furthest counts."""
        now = self.values
        self.set(step=max(step, now.get("step", 0)), generation=max(generation, now.get("generation", 0)))

    def _appeared(self, candidate: CandidateId, origin: Origin, texts: Mapping[str, str]) -> None:
        if candidate not in self.origins:
            self.set(candidates=self.values.get("candidates", 1) + 1)
        self.origins[candidate] = origin
        self._texts[candidate] = texts

    def _gated(self, decision: events.GateDecided) -> None:
        self.gates += 1
        self.passed += decision.passed
        if not decision.passed and decision.child not in self.means:
            self._texts.pop(decision.child, None)

    def _admitted(self, decision: events.CandidateAdmitted) -> None:
        origin = Origin(tuple(decision.parents), decision.origin, decision.generation)
        self.origins[decision.candidate] = origin
        self._texts[decision.candidate] = decision.components
        self.means[decision.candidate] = decision.mean
        if decision.step == 0:
            self.set(baseline_score=decision.mean, phase="optimization")
        if decision.best:
            self.best(decision.candidate, decision.mean, None)

    def _chosen(self, decision: events.BestChosen) -> None:
        train = decision.pareto_means.get(decision.best, self.means.get(decision.best))
        heldout = decision.means.get(decision.best) if decision.chosen_on == "select" else None
        self.best(decision.best, train, heldout)
        self.set(phase=self._heldout("test") or self.values.get("phase"))

    def _heldout(self, split: str) -> str:
        """The phase in which this split is asked for; empty if the run has none."""
        return {"select": "validation", "test": "test"}[split] if self.splits.get(split) else ""

    def best(self, candidate: CandidateId, train: float | None, heldout: float | None) -> None:
        """This one is the best now."""
        texts = self._texts.get(candidate)
        self.set(
            best_candidate=candidate,
            best_train_score=train,
            best_validation_score=heldout,
            best_score=best_score(train, heldout),
            best_prompt=self.prompts.best(texts) if texts else None,
        )
