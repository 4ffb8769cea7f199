"""What a candidate that joins the pool is validated on, and which one is the best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from paretune.library.selectors import known
from paretune.library.types import DataId, DataInst

if TYPE_CHECKING:
    from paretune.library.loaders import DataLoader
    from paretune.library.state import GEPAState


@runtime_checkable
class EvaluationPolicy(Protocol[DataId, DataInst]):
    """Chooses validation examples; the seed's too, if it has `get_seed_eval_batch(loader) -> ids`."""

    def get_eval_batch(
        self,
        loader: DataLoader[DataId, DataInst],
        state: GEPAState[Any, DataId],
        target_program_idx: int | None = None,
    ) -> list[DataId]:
        """Ids of `loader` to score a new candidate on."""
        ...

    def get_best_program(self, state: GEPAState[Any, DataId]) -> int:
        """The index of the candidate to hand out."""
        ...

    def get_valset_score(self, program_idx: int, state: GEPAState[Any, DataId]) -> float:
        """The score to report for a candidate."""
        ...


class FullEvaluationPolicy(EvaluationPolicy[DataId, DataInst]):
    """All examples for everybody. The best has the highest mean, of equals the one with more examples
    scored, then the oldest."""

    def get_eval_batch(
        self,
        loader: DataLoader[DataId, DataInst],
        state: GEPAState[Any, DataId],
        target_program_idx: int | None = None,
    ) -> list[DataId]:
        return list(loader.all_ids())

    def get_best_program(self, state: GEPAState[Any, DataId]) -> int:
        means = [known(mean) for mean in state.program_full_scores_val_set]
        scored = [len(scores) for scores in state.prog_candidate_val_subscores]
        return max(range(len(means)), key=lambda program: (means[program], scored[program], -program))

    def get_valset_score(self, program_idx: int, state: GEPAState[Any, DataId]) -> float:
        return state.get_program_average_val_subset(program_idx)[0]
