"""The choices of a run in gepa's words: strategies decide, callbacks hear, and the state is kept for both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from paretune.algorithms.guided import Choice, Offer, Task
from paretune.core.candidate import Candidate, CandidateId
from paretune.core.errors import Misconfigured
from paretune.core.example import Example, ExampleId
from paretune.core.rollout import Outcome, Rollout
from paretune.library.acceptance import AcceptanceCriterion
from paretune.library.callbacks import notify_callbacks
from paretune.library.evaluation import AdapterExecutor, Cell, Data
from paretune.library.policies import EvaluationPolicy
from paretune.library.proposals import CandidateProposal, SubsampleEvaluation
from paretune.library.reflection import CandidateSelector, ReflectionComponentSelector
from paretune.library.samplers import BatchSampler
from paretune.library.sampling import SamplingStrategy
from paretune.library.selection import SelectionStrategy
from paretune.library.state import FrontierType, GEPAState, ValsetEvaluation
from paretune.library.stoppers import StopperProtocol


@dataclass(frozen=True, slots=True)
class Strategies:
    """Who decides what."""

    candidates: CandidateSelector
    minibatches: BatchSampler[Any, Any]
    components: ReflectionComponentSelector
    sampling: SamplingStrategy
    selection: SelectionStrategy
    acceptance: AcceptanceCriterion
    policy: EvaluationPolicy[Any, Any]
    stoppers: Sequence[StopperProtocol] = ()


@dataclass(slots=True)
class _Once:
    """A criterion that judges each proposal once, however often it is asked."""

    criterion: AcceptanceCriterion
    _known: dict[int, bool] = field(default_factory=dict)

    def should_accept(self, proposal: CandidateProposal[Any], state: GEPAState[Any, Any]) -> bool:
        if id(proposal) not in self._known:
            self._known[id(proposal)] = bool(self.criterion.should_accept(proposal, state))
        return self._known[id(proposal)]


@dataclass(slots=True)
class LibraryGuide:
    """`train` and `val` are where examples come from. `spent` counts the rollouts drawn so far; `replays`
    says that what happens is on record already, so that callbacks have heard it.
    """

    seed: Candidate
    train: Data
    val: Data
    strategies: Strategies
    executor: AdapterExecutor
    callbacks: Sequence[Any] = ()
    frontier_type: FrontierType = "instance"
    track_best_outputs: bool = True
    most_calls: int | None = None
    run_dir: str | None = None
    known_before: bool = False
    spent: Callable[[], int] = lambda: 0
    replays: Callable[[], bool] = lambda: False
    state: GEPAState[Any, Any] = field(init=False)
    _places: dict[CandidateId, int] = field(default_factory=dict)
    _offers: dict[CandidateId, Offer] = field(default_factory=dict)
    _accepted: int = 0
    _counted: int = 0

    @property
    def iteration(self) -> int:
        """Of now, counted from 1; 0 while the seed is evaluated."""
        return self.state.i + 1 if self._places else 0

    def tell(self, name: str, **event: Any) -> None:
        """The callbacks hear of it."""
        if not self.replays():
            notify_callbacks(self.callbacks, f"on_{name}", {"iteration": self.iteration, **event})

    def place(self, candidate: CandidateId) -> int:
        """Its program index."""
        return self._places[candidate]

    def candidate(self, place: int) -> CandidateId:
        if not 0 <= place < len(self._places):
            raise Misconfigured("candidate_selection_strategy", f"it chose {place!r}, which is no candidate")
        return list(self._places)[place]

    # -- an iteration -----------------------------------------------------------------------------

    def begin(self, step: int) -> None:
        self.state._advance()
        self._accepted = len(self._places)
        self.tell("iteration_start", state=self.state, trainset_loader=self.train.loader)

    def tasks(self) -> Sequence[Task]:
        asked = self.strategies.sampling.sample_tasks(
            self.state, self.strategies.candidates, self.strategies.minibatches, self.train.loader
        )
        trace = self.state.full_program_trace[-1]
        trace["tasks"] = [{"parent_idx": t.parent_idx, "subsample_ids": list(t.minibatch_ids)} for t in asked]
        tasks = []
        for task in asked:
            ids, parent = list(dict.fromkeys(task.minibatch_ids)), self.candidate(task.parent_idx)
            trace.setdefault("selected_program_candidate", task.parent_idx)
            trace.setdefault("subsample_ids", ids)
            self.tell(
                "candidate_selected",
                candidate_idx=task.parent_idx,
                candidate=dict(self.state.program_candidates[task.parent_idx]),
                score=self.state.program_full_scores_val_set[task.parent_idx],
            )
            self.tell("minibatch_sampled", minibatch_ids=ids, trainset_size=len(self.train.loader))
            tasks.append(Task(parent, tuple(self.train.example(id) for id in ids)))
        return tasks

    def evaluating(self, candidate: Candidate, examples: Sequence[Example]) -> None:
        place = self._places.get(candidate.id)
        self.tell(
            "evaluation_start",
            candidate_idx=place,
            batch_size=len(examples),
            capture_traces=any(e.split in self.executor.traced for e in examples),
            parent_ids=self._parents(candidate),
            inputs=[self.executor.data[e.split].fetch([e.id])[0] for e in examples],
            is_seed_candidate=place == 0,
        )

    def evaluated(self, candidate: Candidate, outcomes: Sequence[Outcome]) -> None:
        self._count()
        place, cells = self._places.get(candidate.id), self._cells(outcomes)
        traces = [cell.trajectory for cell in cells]
        self.tell(
            "evaluation_end",
            candidate_idx=place,
            scores=[cell.score for cell in cells],
            has_trajectories=any(trace is not None for trace in traces),
            parent_ids=self._parents(candidate),
            outputs=[cell.output for cell in cells],
            trajectories=traces,
            objective_scores=_named(cells),
            is_seed_candidate=place == 0,
        )

    def targets(self, task: Task, outcomes: Sequence[Outcome]) -> Sequence[str]:
        place = self.place(task.parent)
        texts = dict(self.state.program_candidates[place])
        cells = self._cells(outcomes)
        chosen = self.strategies.components(
            self.state, [c.trajectory for c in cells], [c.score for c in cells], place, texts
        )
        unknown = [name for name in chosen if name not in texts]
        if unknown or not chosen:
            raise Misconfigured("module_selector", f"it chose {chosen!r} of {list(texts)}")
        return list(dict.fromkeys(chosen))

    def skipped(self, task: Task, outcomes: Sequence[Outcome], reason: str) -> None:
        place = self.place(task.parent)
        self.tell(
            "evaluation_skipped",
            candidate_idx=place,
            reason="all_scores_perfect" if reason == "all_perfect" else reason,
            scores=[o.reward for o in outcomes if isinstance(o, Rollout)],
            is_seed_candidate=place == 0,
        )

    def merging(self, child: Candidate) -> None:
        """Two members were merged to this."""
        self.tell("merge_attempted", parent_ids=self._parents(child), merged_candidate=dict(child.components))

    def choose(self, offers: Sequence[Offer]) -> Sequence[Choice]:
        if offers and offers[0].child.origin == "merge":
            return [self._merge(offer) for offer in offers]
        proposals = [self._proposal(offer) for offer in offers]
        criterion = _Once(self.strategies.acceptance)
        chosen = {id(p) for p in self.strategies.selection.select(list(proposals), self.state, criterion)}
        choices = []
        for offer, proposal in zip(offers, proposals, strict=True):
            if id(proposal) in chosen:
                self._offers[offer.child.id] = offer
                choices.append(Choice(True, "improved" if offer.verdict.passed else "accepted"))
                continue
            passed = criterion.should_accept(proposal, self.state)
            choices.append(Choice(False, "not_selected" if passed else "not_improved"))
            self._rejected(offer, "it passed, and another was selected" if passed else self._why(proposal))
        return choices

    def _merge(self, offer: Offer) -> Choice:
        """A merge need not beat its better parent, only hold it."""
        if offer.verdict.passed:
            self._offers[offer.child.id] = offer
        else:
            reason = f"its better parent has {offer.verdict.before:g} where it has {offer.verdict.after:g}"
            self.tell("merge_rejected", parent_ids=self._parents(offer.child), reason=reason)
        return Choice(offer.verdict.passed, offer.verdict.reason)

    def _why(self, proposal: CandidateProposal[Any]) -> str:
        told = getattr(self.strategies.acceptance, "reject_reason", None)
        if told is not None:
            return str(told(proposal, self.state))
        old, new = sum(proposal.subsample_scores_before or ()), sum(proposal.subsample_scores_after or ())
        return f"{old:g} before, {new:g} after: {type(self.strategies.acceptance).__name__} does not hold"

    def _rejected(self, offer: Offer, reason: str) -> None:
        verdict = offer.verdict
        self.tell("candidate_rejected", old_score=verdict.before, new_score=verdict.after, reason=reason)

    def duplicate(self, offer: Offer) -> None:
        """It was chosen, and another with the same texts was chosen before it."""
        self._rejected(offer, "another one with these texts was selected in this iteration")

    def _proposal(self, offer: Offer) -> CandidateProposal[Any]:
        parent, child = offer.child.parents[0], offer.child.id
        examples = [e for e in offer.examples if e.id in offer.before and e.id in offer.after]
        old = self._subsample(parent, examples, offer.before)
        new = self._subsample(child, examples, offer.after)
        return CandidateProposal(
            candidate=dict(offer.child.components),
            parent_program_ids=self._parents(offer.child),
            subsample_indices=[self.train.id(e.id) for e in examples],
            subsample_scores_before=old.scores,
            subsample_scores_after=new.scores,
            eval_before=old,
            eval_after=new,
            tag="reflective_mutation",
        )

    def _subsample(
        self, candidate: CandidateId, examples: Sequence[Example], scores: Mapping[ExampleId, float]
    ) -> SubsampleEvaluation:
        """Outputs and traces as far as this process has seen them."""
        kept = [self.executor.kept.get(candidate, e.id, e.split) for e in examples]
        cells = [cell or Cell(None, scores[e.id]) for cell, e in zip(kept, examples, strict=True)]
        return SubsampleEvaluation(
            scores=[scores[e.id] for e in examples],
            outputs=[cell.output for cell in cells],
            objective_scores=_named(cells),
            trajectories=[cell.trajectory for cell in cells],
        )

    # -- validation -------------------------------------------------------------------------------

    def validation(self, candidate: Candidate) -> Sequence[Example]:
        policy, loader = self.strategies.policy, self.val.loader
        if candidate.parents:
            ids = policy.get_eval_batch(loader, self.state)
        else:
            first = getattr(policy, "get_seed_eval_batch", None)
            ids = list(first(loader) if first is not None else loader.all_ids())
        return tuple(self.val.example(id) for id in dict.fromkeys(ids))

    def admitted(self, candidate: Candidate, outcomes: Sequence[Outcome]) -> None:
        evaluation = self._evaluation(candidate, outcomes)
        if not candidate.parents:
            self.state = GEPAState(
                dict(candidate.components), evaluation, self.track_best_outputs, self.frontier_type
            )
            self._places[candidate.id] = 0
            self._counted = self._calls()
            self._told_of(0, evaluation)
            return
        before = _on_front(self.state)
        discovered = self.state.total_num_evals
        self._count()
        place = self.state._admit(
            dict(candidate.components), self._parents(candidate), evaluation, discovered
        )
        self._places[candidate.id] = place
        self.state.full_program_trace[-1].setdefault("new_program_indices", []).append(place)
        self.state.full_program_trace[-1]["new_program_idx"] = place
        after = _on_front(self.state)
        self.tell(
            "pareto_front_updated",
            new_front=sorted(after),
            displaced_candidates=sorted(before - after),
        )
        self._told_of(place, evaluation)
        self._told_accepted(candidate, place)

    def _told_of(self, place: int, evaluation: ValsetEvaluation[Any, Any]) -> None:
        policy = self.strategies.policy
        self.tell(
            "valset_evaluated",
            candidate_idx=place,
            candidate=dict(self.state.program_candidates[place]),
            scores_by_val_id=dict(evaluation.scores_by_val_id),
            average_score=policy.get_valset_score(place, self.state),
            num_examples_evaluated=len(evaluation.scores_by_val_id),
            total_valset_size=len(self.val.loader),
            parent_ids=[p for p in self.state.parent_program_for_candidate[place] if p is not None],
            is_best_program=policy.get_best_program(self.state) == place,
            outputs_by_val_id=dict(evaluation.outputs_by_val_id),
        )

    def _told_accepted(self, candidate: Candidate, place: int) -> None:
        parents, offer = self._parents(candidate), self._offers.pop(candidate.id, None)
        if candidate.origin == "merge":
            self.tell("merge_accepted", new_candidate_idx=place, parent_ids=parents)
            return
        new = offer.verdict.after if offer else 0.0
        self.tell("candidate_accepted", new_candidate_idx=place, new_score=new, parent_ids=parents)

    def _evaluation(self, candidate: Candidate, outcomes: Sequence[Outcome]) -> ValsetEvaluation[Any, Any]:
        scored = [o for o in outcomes if isinstance(o, Rollout)]
        cells = {self.val.id(o.example): self._cell(o) for o in scored}
        named = {id: dict(c.objectives) for id, c in cells.items() if c.objectives}
        return ValsetEvaluation(
            {id: cell.output for id, cell in cells.items()},
            {id: cell.score for id, cell in cells.items()},
            named if named or self.frontier_type == "hybrid" else None,
        )

    # -- beginning and end ------------------------------------------------------------------------

    @property
    def has_seed(self) -> bool:
        """Whether there is anything to report."""
        return bool(self._places)

    def begun(self, config: Mapping[str, Any]) -> None:
        """The run begins, from the start or from its record."""
        notify_callbacks(
            self.callbacks,
            "on_optimization_start",
            {
                "seed_candidate": dict(self.seed.components),
                "trainset_size": len(self.train.loader),
                "valset_size": len(self.val.loader),
                "config": dict(config),
            },
        )

    def over(self) -> None:
        """The run is over, whether anything happened or all was on record."""
        notify_callbacks(
            self.callbacks,
            "on_optimization_end",
            {
                "best_candidate_idx": self.strategies.policy.get_best_program(self.state),
                "total_iterations": self.state.i + 1,
                "total_metric_calls": self.state.total_num_evals,
                "final_state": self.state,
            },
        )

    def end(self, step: int) -> None:
        self._count()
        grown = len(self._places) > self._accepted
        self.tell("state_saved", run_dir=self.run_dir)
        self.tell("iteration_end", state=self.state, proposal_accepted=grown)

    def stop(self) -> str:
        for stopper in self.strategies.stoppers:
            if stopper(self.state):
                return type(stopper).__name__
        return ""

    # -- counts and cells -------------------------------------------------------------------------

    def _calls(self) -> int:
        return self.spent() + self.executor.extra_calls

    def _count(self) -> None:
        """What was spent since the last time, for the state and those who listen."""
        delta, self._counted = self._calls() - self._counted, self._calls()
        if delta <= 0:
            return
        self.state._spend(delta)
        used = self.state.total_num_evals
        left = None if self.most_calls is None else max(0, self.most_calls - used)
        self.tell(
            "budget_updated", metric_calls_used=used, metric_calls_delta=delta, metric_calls_remaining=left
        )

    def _parents(self, candidate: Candidate) -> list[int]:
        return [self._places[p] for p in candidate.parents if p in self._places]

    def _cells(self, outcomes: Sequence[Outcome]) -> list[Cell]:
        return [self._cell(o) for o in outcomes if isinstance(o, Rollout)]

    def _cell(self, rollout: Rollout) -> Cell:
        """As the adapter gave it; from the record, where this process did not ask."""
        kept = self.executor.kept.get(rollout.candidate, rollout.example, rollout.key.split)
        if kept is not None:
            return kept
        answer = rollout.answer
        named: Mapping[str, float] | None = answer.objectives or None
        return Cell(answer.output, answer.reward, answer.trace, named)


def _named(cells: Sequence[Cell]) -> list[dict[str, float]] | None:
    """The objective scores of all cells, if all have some."""
    named = [dict(cell.objectives) for cell in cells if cell.objectives is not None]
    return named if named and len(named) == len(cells) else None


def _on_front(state: GEPAState[Any, Any]) -> set[int]:
    return {place for front in state.get_pareto_front_mapping().values() for place in front}
