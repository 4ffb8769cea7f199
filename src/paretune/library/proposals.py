"""A candidate that somebody proposes, and what is known of it on its minibatch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol

from paretune.library.types import DataId

if TYPE_CHECKING:
    from paretune.library.state import GEPAState


@dataclass
class SubsampleEvaluation:
    """One candidate on the minibatch; every list is parallel to `subsample_indices` of its proposal."""

    scores: list[float]
    outputs: list[Any] = field(default_factory=list)
    objective_scores: list[dict[str, float]] | None = None
    trajectories: list[Any] | None = None


@dataclass
class CandidateProposal(Generic[DataId]):
    """A child and its parents (indices into the pool), with scores before and after on the same examples.

    `tag`: who made it, "reflective_mutation" or "merge". `metadata`: whatever its maker wants to keep.
    """

    candidate: dict[str, str]
    parent_program_ids: list[int]
    subsample_indices: list[DataId] | None = None
    subsample_scores_before: list[float] | None = None
    subsample_scores_after: list[float] | None = None
    eval_before: SubsampleEvaluation | None = None
    eval_after: SubsampleEvaluation | None = None
    tag: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)


class ProposeNewCandidate(Protocol[DataId]):
    """Proposes a candidate from the pool, None if it has no idea this time."""

    def propose(self, state: GEPAState[Any, DataId]) -> CandidateProposal[DataId] | None: ...
