"""What a run tells those who watch it: one typed event a moment, delivered by method name.

A callback implements the methods that it wants. What one raises is logged and swallowed, so a watcher
cannot end a run; who wants that gives a stopper.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, runtime_checkable

if TYPE_CHECKING:
    from paretune.library.loaders import DataLoader
    from paretune.library.state import GEPAState

_LOG = logging.getLogger("paretune.library")

Texts = dict[str, str]
"""Component name -> text."""

Prompt = str | list[dict[str, Any]]
"""Text, or chat messages."""


class OptimizationStartEvent(TypedDict):
    """Before the seed candidate is evaluated."""

    seed_candidate: Texts
    trainset_size: int
    valset_size: int
    config: dict[str, Any]


class OptimizationEndEvent(TypedDict):
    """After the last iteration."""

    best_candidate_idx: int
    total_iterations: int
    total_metric_calls: int
    final_state: GEPAState[Any, Any]


class IterationStartEvent(TypedDict):
    """An iteration begins; they count from 1."""

    iteration: int
    state: GEPAState[Any, Any]
    trainset_loader: DataLoader[Any, Any]


class IterationEndEvent(TypedDict):
    """An iteration is over; `proposal_accepted`: whether the pool has grown in it."""

    iteration: int
    state: GEPAState[Any, Any]
    proposal_accepted: bool


class CandidateSelectedEvent(TypedDict):
    """A parent was chosen; `score`: its validation mean."""

    iteration: int
    candidate_idx: int
    candidate: Texts
    score: float


class MinibatchSampledEvent(TypedDict):
    """Training examples were drawn."""

    iteration: int
    minibatch_ids: list[Any]
    trainset_size: int


class EvaluationStartEvent(TypedDict):
    """A batch goes to the adapter. `candidate_idx` is None for a child outside the pool."""

    iteration: int
    candidate_idx: int | None
    batch_size: int
    capture_traces: bool
    parent_ids: Sequence[int]
    inputs: list[Any]
    is_seed_candidate: bool


class EvaluationEndEvent(TypedDict):
    """A batch came back; the lists are parallel to its inputs."""

    iteration: int
    candidate_idx: int | None
    scores: list[float]
    has_trajectories: bool
    parent_ids: Sequence[int]
    outputs: list[Any]
    trajectories: list[Any] | None
    objective_scores: list[dict[str, float]] | None
    is_seed_candidate: bool


class EvaluationSkippedEvent(TypedDict):
    """Nothing is to be learnt from this parent on this minibatch; `reason` says why."""

    iteration: int
    candidate_idx: int
    reason: str
    scores: list[float] | None
    is_seed_candidate: bool


class ValsetEvaluatedEvent(TypedDict):
    """A candidate of the pool has its validation scores."""

    iteration: int
    candidate_idx: int
    candidate: Texts
    scores_by_val_id: dict[Any, float]
    average_score: float
    num_examples_evaluated: int
    total_valset_size: int
    parent_ids: Sequence[int]
    is_best_program: bool
    outputs_by_val_id: dict[Any, Any] | None


class ReflectiveDatasetBuiltEvent(TypedDict):
    """What the proposer will read is there."""

    iteration: int
    candidate_idx: int
    components: list[str]
    dataset: dict[str, list[dict[str, Any]]]


class ProposalStartEvent(TypedDict):
    """The proposer is asked."""

    iteration: int
    parent_candidate: Texts
    components: list[str]
    reflective_dataset: dict[str, list[dict[str, Any]]]


class ProposalEndEvent(TypedDict):
    """The proposer answered; prompts and answers by component, where it tells them."""

    iteration: int
    new_instructions: Texts
    prompts: dict[str, Prompt]
    raw_lm_outputs: dict[str, str]


class CandidateAcceptedEvent(TypedDict):
    """A child joined the pool; `new_score`: the sum of its scores on the minibatch."""

    iteration: int
    new_candidate_idx: int
    new_score: float
    parent_ids: Sequence[int]


class CandidateRejectedEvent(TypedDict):
    """A child was turned down; the scores are sums over the same minibatch."""

    iteration: int
    old_score: float
    new_score: float
    reason: str


class MergeAttemptedEvent(TypedDict):
    """Two lineages were combined into one candidate, not yet evaluated."""

    iteration: int
    parent_ids: Sequence[int]
    merged_candidate: Texts


class MergeAcceptedEvent(TypedDict):
    """A merged candidate joined the pool."""

    iteration: int
    new_candidate_idx: int
    parent_ids: Sequence[int]


class MergeRejectedEvent(TypedDict):
    """A merged candidate was turned down."""

    iteration: int
    parent_ids: Sequence[int]
    reason: str


class ParetoFrontUpdatedEvent(TypedDict):
    """The frontier changed: who is on it now, and who no longer is."""

    iteration: int
    new_front: list[int]
    displaced_candidates: list[int]


class StateSavedEvent(TypedDict):
    """What happened so far can be resumed from."""

    iteration: int
    run_dir: str | None


class BudgetUpdatedEvent(TypedDict):
    """Metric calls were spent; `metric_calls_remaining` is None without a limit."""

    iteration: int
    metric_calls_used: int
    metric_calls_delta: int
    metric_calls_remaining: int | None


class ErrorEvent(TypedDict):
    """An iteration failed; `will_continue`: whether the next one is tried all the same."""

    iteration: int
    exception: Exception
    will_continue: bool


@runtime_checkable
class GEPACallback(Protocol):
    """All that can be watched. Implement any of these; none is required."""

    def on_optimization_start(self, event: OptimizationStartEvent) -> None: ...
    def on_optimization_end(self, event: OptimizationEndEvent) -> None: ...
    def on_iteration_start(self, event: IterationStartEvent) -> None: ...
    def on_iteration_end(self, event: IterationEndEvent) -> None: ...
    def on_candidate_selected(self, event: CandidateSelectedEvent) -> None: ...
    def on_minibatch_sampled(self, event: MinibatchSampledEvent) -> None: ...
    def on_evaluation_start(self, event: EvaluationStartEvent) -> None: ...
    def on_evaluation_end(self, event: EvaluationEndEvent) -> None: ...
    def on_evaluation_skipped(self, event: EvaluationSkippedEvent) -> None: ...
    def on_valset_evaluated(self, event: ValsetEvaluatedEvent) -> None: ...
    def on_reflective_dataset_built(self, event: ReflectiveDatasetBuiltEvent) -> None: ...
    def on_proposal_start(self, event: ProposalStartEvent) -> None: ...
    def on_proposal_end(self, event: ProposalEndEvent) -> None: ...
    def on_candidate_accepted(self, event: CandidateAcceptedEvent) -> None: ...
    def on_candidate_rejected(self, event: CandidateRejectedEvent) -> None: ...
    def on_merge_attempted(self, event: MergeAttemptedEvent) -> None: ...
    def on_merge_accepted(self, event: MergeAcceptedEvent) -> None: ...
    def on_merge_rejected(self, event: MergeRejectedEvent) -> None: ...
    def on_pareto_front_updated(self, event: ParetoFrontUpdatedEvent) -> None: ...
    def on_state_saved(self, event: StateSavedEvent) -> None: ...
    def on_budget_updated(self, event: BudgetUpdatedEvent) -> None: ...
    def on_error(self, event: ErrorEvent) -> None: ...


EVENTS = tuple(name for name in vars(GEPACallback) if name.startswith("on_"))
"""The names of all events' methods."""


def notify_callbacks(callbacks: Iterable[Any] | None, method_name: str, event: Any) -> None:
    """Gives `event` to each callback that has `method_name`, in order. Raises nothing of theirs."""
    for callback in callbacks or ():
        method = getattr(callback, method_name, None)
        if method is None:
            continue
        try:
            method(event)
        except Exception:  # noqa: BLE001  (theirs, whatever it is)
            _LOG.warning(
                "callback %s failed in %s and is passed over",
                type(callback).__name__,
                method_name,
                exc_info=True,
            )


class CompositeCallback:
    """Several callbacks as one; what one of them raises keeps nothing from the others."""

    def __init__(self, callbacks: list[Any] | None = None) -> None:
        self._callbacks = list(callbacks or ())

    @property
    def callbacks(self) -> list[Any]:
        """A copy of the list."""
        return list(self._callbacks)

    def add(self, callback: Any) -> None:
        """One more, last in order."""
        self._callbacks.append(callback)

    if TYPE_CHECKING:  # a method for each event, set below

        def __getattr__(self, name: str) -> Callable[[Any], None]: ...


def _forward(method_name: str) -> Callable[[CompositeCallback, Any], None]:
    def deliver(self: CompositeCallback, event: Any) -> None:
        notify_callbacks(self._callbacks, method_name, event)

    deliver.__name__ = method_name
    deliver.__qualname__ = f"CompositeCallback.{method_name}"
    return deliver


for _name in EVENTS:
    setattr(CompositeCallback, _name, _forward(_name))
