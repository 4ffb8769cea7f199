"""When a child is better than its parent on the minibatch that both were run on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from paretune.library.proposals import CandidateProposal
    from paretune.library.state import GEPAState


@runtime_checkable
class AcceptanceCriterion(Protocol):
    """Lets a proposal in, or not. One that has `reject_reason(proposal, state) -> str` is asked why not."""

    def should_accept(self, proposal: CandidateProposal[Any], state: GEPAState[Any, Any]) -> bool: ...


class StrictImprovementAcceptance(AcceptanceCriterion):
    """The summed score rose."""

    def should_accept(self, proposal: CandidateProposal[Any], state: GEPAState[Any, Any]) -> bool:
        return gain(proposal) > 0


class ImprovementOrEqualAcceptance(AcceptanceCriterion):
    """The summed score did not fall."""

    def should_accept(self, proposal: CandidateProposal[Any], state: GEPAState[Any, Any]) -> bool:
        return gain(proposal) >= 0


def gain(proposal: CandidateProposal[Any]) -> float:
    """Sum of the scores after less the sum before; a list that is not there counts as empty."""
    return sum(proposal.subsample_scores_after or ()) - sum(proposal.subsample_scores_before or ())
