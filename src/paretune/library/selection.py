"""Which of an iteration's proposals go on to validation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from paretune.core.errors import Misconfigured
from paretune.library.acceptance import AcceptanceCriterion, gain

if TYPE_CHECKING:
    from paretune.library.proposals import CandidateProposal
    from paretune.library.state import GEPAState


@runtime_checkable
class SelectionStrategy(Protocol):
    """Picks from the proposals; asks the criterion once for each."""

    def select(
        self,
        proposals: list[CandidateProposal[Any]],
        state: GEPAState[Any, Any],
        acceptance_criterion: AcceptanceCriterion,
    ) -> list[CandidateProposal[Any]]: ...


class AllImprovements(SelectionStrategy):
    """All that are accepted, in their order."""

    def select(
        self,
        proposals: list[CandidateProposal[Any]],
        state: GEPAState[Any, Any],
        acceptance_criterion: AcceptanceCriterion,
    ) -> list[CandidateProposal[Any]]:
        return [p for p in proposals if acceptance_criterion.should_accept(p, state)]


class TopKImprovements(SelectionStrategy):
    """Of those that are accepted the `k` that gained most, best first. Raises Misconfigured below 1."""

    def __init__(self, k: int) -> None:
        if k < 1:
            raise Misconfigured("k", f"must be 1 or more, not {k!r}")
        self.k = k

    def select(
        self,
        proposals: list[CandidateProposal[Any]],
        state: GEPAState[Any, Any],
        acceptance_criterion: AcceptanceCriterion,
    ) -> list[CandidateProposal[Any]]:
        accepted = AllImprovements().select(proposals, state, acceptance_criterion)
        return sorted(accepted, key=gain, reverse=True)[: self.k]


class BestImprovement(SelectionStrategy):
    """The one that gained most, of equals the first; none if none is accepted."""

    def select(
        self,
        proposals: list[CandidateProposal[Any]],
        state: GEPAState[Any, Any],
        acceptance_criterion: AcceptanceCriterion,
    ) -> list[CandidateProposal[Any]]:
        return TopKImprovements(1).select(proposals, state, acceptance_criterion)
