"""A run's decisions, told as events on the wire: a fold, so that the same decisions give the same events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from paretune.core import events
from paretune.core.errors import ParetuneError
from paretune.core.events import Decision, from_record
from paretune.server.wire.closing import closing_events, found, results_events
from paretune.server.wire.events import Family, event
from paretune.server.wire.prompts import Prompts
from paretune.server.wire.results import Results, finish_reason
from paretune.server.wire.scores import mutation_type, seed
from paretune.server.wire.standing import Fold, Meter, Origin
from paretune.server.wire.trials import incumbent_events, iteration_events, trial_events
from paretune.store.base import StoredDecision
from paretune.store.jobs import JobEvent, JobState, StoredJob
from paretune.views.run_view import RunView

GATES_TOLD = 1_000
"""So many gates are told one by one; later ones show in the counts."""

MOST = 7_000
"""Events of a search. Clients read 10,000 at once and look for the results among them."""

SEARCH = (
    events.StepStarted,
    events.GateDecided,
    events.OptionAdded,
    events.TrialStarted,
    events.TrialEnded,
    events.CandidateAdmitted,
)
"""Decisions whose events may be left out."""

PACE = 20
"""Progress is told at each of the first so many steps, then whenever there are a twentieth more."""


@dataclass(slots=True)
class Projection:
    """Tells one job. `run_job` is `Run.job`, once the run is prepared.

    To go on where another one stopped, fold the decisions that are told already and drop what that gives.
    """

    job: StoredJob
    run_job: Mapping[str, Any] | None = None
    _names: Family = field(init=False)
    _fold: Fold = field(init=False)
    _at: str = field(init=False)
    _told: int = 0
    _due: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._names = Family.of(self.job.algorithm)
        self._fold = Fold.of(Prompts.of(self.job, self.run_job), self.run_job or {})
        self._at = self.job.created_at

    @property
    def standing(self) -> dict[str, Any]:
        """What a status call tells, as JSON. What is unknown is not in it."""
        return dict(self._fold.values)

    def begin(self) -> list[JobEvent]:
        """The job is there."""
        data = {"status": "queued", "algorithm": self.job.algorithm, "name": self.job.name}
        return self._both("created", "job.queued", "job created", data)

    def after(self, stored: StoredDecision, meter: Meter | None = None) -> list[JobEvent]:
        """What follows from one more decision. Raises ParetuneError if it cannot be read."""
        try:
            decision = from_record(stored.body)
        except (ValueError, TypeError) as error:
            raise ParetuneError(f"the record of {self.job.run_id} cannot be read: {error}") from error
        self._at = stored.at or self._at
        before = self.standing
        self._fold.take(decision, stored.elapsed)
        if meter:
            self._fold.measured(meter)
        if self._told >= MOST and isinstance(decision, SEARCH):
            return []
        told = self._tell(decision, before)
        self._told += len(told)
        return told

    def ended(self, state: JobState, detail: str, view: RunView | None, at: str = "") -> list[JobEvent]:
        """The job came to rest, or goes on after a rest.

        At an end with a view: what was found, then the two events of the end side by side. At a rest the
        standing says what was taken by then: calls came home after the last decision.
        """
        self._at = at or self._at
        resting = state in ("succeeded", "failed", "cancelled")
        results = Results(self.job, view) if view and resting else None
        told: list[JobEvent] = []
        if results:
            self._fold.set(eta_seconds=None, **found(results))
            told = self._progress() + results_events(self._names, results, self._at)
        elif view:
            self._fold.measured(Meter.of(view))
        self._fold.set(
            error=(detail or "failed") if state == "failed" else None,
            phase="complete" if state == "succeeded" else self._fold.values.get("phase"),
        )
        return told + closing_events(self._names, state, detail, self.standing, results, self._at)

    # -- what is told of a decision ---------------------------------------------------------------

    def _tell(self, decision: Decision, before: Mapping[str, Any]) -> list[JobEvent]:
        match decision:
            case events.RunStarted():
                return self._started() + self._phase(before)
            case events.StepStarted():
                return self._stepped(before)
            case events.TrialStarted():
                return self._iterated(before) + trial_events(self._fold, decision, self._at)
            case events.Bootstrapped() | events.OptionAdded() | events.TrialEnded():
                return trial_events(self._fold, decision, self._at)
            case events.GateDecided():
                return self._gated(decision)
            case events.CandidateAdmitted(step=0):
                return self._evaluated(decision) + self._phase(before)
            case events.CandidateAdmitted():
                return self._evaluated(decision) + self._bettered(decision, before)
            case events.SearchEnded():
                return self._searched(decision) + self._phase(before)
            case events.BestChosen() | events.RunFinished():
                return self._phase(before)
            case _:
                return []

    def _started(self) -> list[JobEvent]:
        now, splits = self._fold.values, self._fold.splits
        data = {
            "status": "in_progress",
            "algorithm": self.job.algorithm,
            "rollout_budget": now.get("rollout_budget"),
            "generations": now.get("generations"),
            **{f"num_{name}_seeds": len(ids) for name, ids in splits.items()},
        }
        seeds = {"train_seeds": [seed(example) for example in splits.get("pareto") or []]}
        message = "the initial prompt goes to all training seeds"
        return [
            *self._own("start", "job.started", "run started", data),
            *self._both("rollouts.start", "rollout.started", message, seeds),
        ]

    def _stepped(self, before: Mapping[str, Any]) -> list[JobEvent]:
        now, told = self._fold.values, list[JobEvent]()
        done = before.get("generation", 0)
        if now["generation"] > done and self._is_due("generation", now["generation"]):
            best = now.get("best_train_score")
            data = {
                "generation": done,
                "best_accuracy": best,
                "best_reward": best,
                "candidates_proposed": self._fold.tried,
                "candidates_accepted": self._fold.passed,
            }
            told += self._own("generation.complete", "generation.completed", f"generation {done} done", data)
        if self._is_due("progress", now["step"]):
            told += self._progress()
        return told

    def _iterated(self, before: Mapping[str, Any]) -> list[JobEvent]:
        now, done = self._fold.values, before.get("generation", 0)
        told = iteration_events(self._fold, done, self._at) if now["generation"] > done else []
        return told + (self._progress() if self._is_due("progress", now["step"]) else [])

    def _gated(self, decision: events.GateDecided) -> list[JobEvent]:
        if self._fold.gates > GATES_TOLD or not decision.pairs:
            return []
        score, word = decision.after / decision.pairs, "accepted" if decision.passed else "rejected"
        data = {
            **self._who(decision.child),
            "status": word,
            "accepted": decision.passed,
            "evaluation": "minibatch",
            "score": score,
            "minibatch_score": score,
            "parent_minibatch_score": decision.before / decision.pairs,
            "num_seeds": decision.pairs,
            "reason": decision.reason,
        }
        message = f"proposal {word}: minibatch_score={score:.4f} N={decision.pairs}"
        return self._both("proposal.scored", "candidate.evaluated", message, data)

    def _evaluated(self, decision: events.CandidateAdmitted) -> list[JobEvent]:
        """A full evaluation. That of the initial prompt is the baseline."""
        mean, baseline = decision.mean, decision.step == 0
        data = {
            **self._who(decision.candidate),
            "status": "accepted",
            "accepted": True,
            "evaluation": "full",
            "is_baseline": baseline,
            **_rewards(mean),
            "num_seeds": decision.scored,
            "failed_seeds": decision.failed,
            "newly_solved_seeds": [seed(example) for example in decision.gained],
        }
        what = "baseline" if baseline else f"candidate {decision.candidate}"
        message = f"{what}: train_accuracy={mean:.4f} N={decision.scored}"
        curve = {"mean": mean, "completed": decision.scored, "total": decision.scored + decision.failed}
        told = self._both("candidate.evaluated", "candidate.evaluated", message, data)
        told.append(self._event(self._names.old("trial.results"), message, curve))
        if baseline:
            score = {"accuracy": mean, "baseline_score": mean}
            told.append(self._event(self._names.own("baseline"), message, score))
        return told

    def _bettered(self, decision: events.CandidateAdmitted, before: Mapping[str, Any]) -> list[JobEvent]:
        if not decision.best:
            return []
        mean, previous = decision.mean, before.get("best_score")
        prompts, texts = self._fold.prompts, decision.components
        data = {
            **self._who(decision.candidate),
            **_rewards(mean),
            "best_score": mean,
            "best_reward": mean,
            "previous_best_score": previous,
            "improvement": None if previous is None else mean - previous,
            # Not under the name `best_prompt`: a client of 0.9 would keep the text of the first one for good.
            "pattern": prompts.pattern(texts),
            "full_text": prompts.full_text(texts),
        }
        told = self._own("new_best", "candidate.new_best", f"new best: {mean:.4f}", data)
        return told + (incumbent_events(self._fold, decision, self._at) if decision.origin == "trial" else [])

    def _searched(self, decision: events.SearchEnded) -> list[JobEvent]:
        detail = f"{decision.reason}: {decision.detail}"
        data = {"reason": finish_reason(decision.reason), "detail": detail}
        if not self._fold.over(decision):
            return self._progress()
        ended = self._event(self._names.old("termination.triggered"), f"search ended by {detail}", data)
        return [ended, *self._progress()]

    def _phase(self, before: Mapping[str, Any]) -> list[JobEvent]:
        """Another phase, if it is another one; what is held out is asked for in `validation` and `test`."""
        was, phase = before.get("phase"), self._fold.values["phase"]
        if phase == was:
            return []
        data = {"from_phase": was, "to_phase": phase, "phase": phase}
        told = self._both("phase.changed", "phase.started", f"phase: {phase}", data)
        split = {"validation": "select", "test": "test"}.get(phase)
        if split:
            seeds = {"phase": phase, "seeds": [seed(example) for example in self._fold.splits[split]]}
            told += [self._event(self._names.new("validation.started"), f"{phase} started", seeds)]
        return told

    def _progress(self) -> list[JobEvent]:
        fold, now = self._fold, self._fold.values
        budget, rollouts = now.get("rollout_budget"), now.get("rollouts")
        share = min(1.0, rollouts / budget) if budget and rollouts is not None else None
        tried = min(1.0, fold.tried / fold.planned) if fold.planned else None
        overall = share if share is not None else tried
        taken = ("phase", "step", "generation", "eta_seconds", "best_score", "baseline_score")
        data = {
            **{name: now.get(name) for name in (*taken, "elapsed_seconds")},
            "best_reward": now.get("best_score"),
            "rollouts_completed": rollouts,
            "rollouts_total": budget,
            "percent_rollouts": share,
            "transformations_tried": fold.tried,
            "transformations_planned": fold.planned,
            "percent_transformations": tried,
            "percent_overall": 1.0 if now.get("phase") == "complete" else overall,
            "trials_completed": fold.gates,
            "candidates_evaluated": len(fold.means),
            "total_cost_usd": now.get("cost_usd"),
            "total_tokens": now.get("tokens"),
        }
        best = f", best {now['best_score']:.4f}" if "best_score" in now else ""
        message = f"step {now.get('step', 0)}, generation {now.get('generation', 0)}{best}"
        return self._both("progress", "job.progress", message, data)

    # -- making events ----------------------------------------------------------------------------

    def _who(self, candidate: str) -> dict[str, Any]:
        """Which candidate, and where it came from."""
        origin = self._fold.origins.get(candidate, Origin())
        return {
            "candidate_id": candidate,
            "version_id": candidate,
            "parent_id": origin.parents[0] if origin.parents else None,
            "parents": list(origin.parents),
            "generation": origin.generation,
            "mutation_type": mutation_type(origin.origin) if origin.origin else None,
        }

    def _is_due(self, what: str, number: int) -> bool:
        """True at each number at first, then at fewer and fewer."""
        if number < self._due.get(what, 0):
            return False
        self._due[what] = number + max(1, number // PACE)
        return True

    def _event(self, kind: str, message: str, data: Mapping[str, Any]) -> JobEvent:
        return event(self._at, kind, message, data)

    def _both(self, old: str, new: str, message: str, data: Mapping[str, Any]) -> list[JobEvent]:
        kinds = self._names.old(old), self._names.new(new)
        return [self._event(kind, message, data) for kind in kinds]

    def _own(self, old: str, new: str, message: str, data: Mapping[str, Any]) -> list[JobEvent]:
        """As `_both`; the old name is one of the algorithm's own."""
        kinds = self._names.own(old), self._names.new(new)
        return [self._event(kind, message, data) for kind in kinds]


def _rewards(mean: float) -> dict[str, Any]:
    """One mean under every name that clients know."""
    names = ("accuracy", "train_accuracy", "score", "reward", "mean_reward", "outcome_reward")
    return {**dict.fromkeys(names, mean), "outcome_objectives": {"reward": mean}}
