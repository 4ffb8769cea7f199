"""How a user's system is plugged in: an adapter runs candidates and says what there is to learn from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol

from paretune.core.errors import AttemptFailed, ParetuneError
from paretune.library.types import DataInst, RolloutOutput, Trajectory

Candidate = dict[str, str]
"""Component name -> text."""

ReflectiveDataset = Mapping[str, Sequence[Mapping[str, Any]]]
"""Component name -> records, each a mapping of headings to anything that can be written down."""


@dataclass
class EvaluationBatch(Generic[Trajectory, RolloutOutput]):
    """What one candidate did on a batch; every list is parallel to the batch.

    `scores`: higher is better. `trajectories` is None when no traces were asked for. `objective_scores`:
    one mapping of objective to score per example. `num_metric_calls`: evaluations actually made, where
    that is not the length of the batch.
    """

    outputs: list[RolloutOutput]
    scores: list[float]
    trajectories: list[Trajectory] | None = None
    objective_scores: list[dict[str, float]] | None = None
    num_metric_calls: int | None = None


class ExamplesFailed(ParetuneError):
    """Some examples of a batch have no score. An adapter's `evaluate` may raise it once the others are done.

    `failures`: position in the batch -> why. `batch`: the other examples' results, in their order.
    """

    def __init__(self, failures: Mapping[int, AttemptFailed], batch: EvaluationBatch[Any, Any]) -> None:
        super().__init__(failures, batch)
        self.failures = failures
        self.batch = batch

    def __str__(self) -> str:
        count = len(self.failures) + len(self.batch.scores)
        return f"{len(self.failures)} of {count} examples failed, first: {next(iter(self.failures.values()))}"


class ProposalFn(Protocol):
    """Writes new texts for the components to update, given what was seen; the others keep theirs."""

    def __call__(
        self,
        candidate: Candidate,
        reflective_dataset: ReflectiveDataset,
        components_to_update: list[str],
    ) -> Candidate: ...


class BatchEvaluateFn(Protocol):
    """Evaluates several candidates, each on its own batch, with traces; one answer an item, in order."""

    def __call__(self, items: list[tuple[Candidate, list[Any]]]) -> list[EvaluationBatch[Any, Any]]: ...


class GEPAAdapter(Protocol[DataInst, Trajectory, RolloutOutput]):
    """The system to improve. `evaluate` and `make_reflective_dataset` are all that is required.

    Three more are used where they are defined: `propose_new_texts` (a ProposalFn that replaces the
    reflection model), `batch_evaluate` (a BatchEvaluateFn), and `get_adapter_state` with
    `set_adapter_state` (a dict of the adapter's own that survives a resume).
    """

    def evaluate(
        self,
        batch: list[DataInst],
        candidate: Candidate,
        capture_traces: bool = False,
    ) -> EvaluationBatch[Trajectory, RolloutOutput]:
        """Runs `candidate` on each example. With `capture_traces`, trajectories are there too.

        One example's failure is a low score with its story in the trajectory; raise for what breaks all.
        """
        ...

    def make_reflective_dataset(
        self,
        candidate: Candidate,
        eval_batch: EvaluationBatch[Trajectory, RolloutOutput],
        components_to_update: list[str],
    ) -> ReflectiveDataset:
        """For each component, what its author should read: inputs, outputs, feedback. JSON-like."""
        ...

    propose_new_texts: ProposalFn | None = None


def default_batch_evaluate(
    adapter: GEPAAdapter[Any, Any, Any],
    items: list[tuple[Candidate, list[Any]]],
    *,
    capture_traces: bool = True,
) -> list[EvaluationBatch[Any, Any]]:
    """`evaluate` for one item after the other: what an adapter without `batch_evaluate` gets."""
    return [adapter.evaluate(batch, candidate, capture_traces=capture_traces) for candidate, batch in items]
