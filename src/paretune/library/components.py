"""Which components of the chosen candidate to rewrite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from paretune.library.state import GEPAState


@runtime_checkable
class ReflectionComponentSelector(Protocol):
    """Names the components to rewrite. Also a plain function.

    `trajectories` and `subsample_scores` are the candidate's, on the minibatch, in its order.
    """

    def __call__(
        self,
        state: GEPAState[Any, Any],
        trajectories: list[Any],
        subsample_scores: list[float],
        candidate_idx: int,
        candidate: dict[str, str],
    ) -> list[str]: ...


class RoundRobinReflectionComponentSelector(ReflectionComponentSelector):
    """One component at a time, each candidate going on where its parents were."""

    def __call__(
        self,
        state: GEPAState[Any, Any],
        trajectories: list[Any],
        subsample_scores: list[float],
        candidate_idx: int,
        candidate: dict[str, str],
    ) -> list[str]:
        names = state.list_of_named_predictors
        pointers = state.named_predictor_id_to_update_next_for_program_candidate
        place = pointers[candidate_idx] % len(names)
        pointers[candidate_idx] = (place + 1) % len(names)
        return [names[place]]


class AllReflectionComponentSelector(ReflectionComponentSelector):
    """Every component at once."""

    def __call__(
        self,
        state: GEPAState[Any, Any],
        trajectories: list[Any],
        subsample_scores: list[float],
        candidate_idx: int,
        candidate: dict[str, str],
    ) -> list[str]:
        return list(candidate)
