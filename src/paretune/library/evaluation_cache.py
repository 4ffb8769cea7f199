"""What was evaluated already: candidate and example -> output and score, each split apart."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias

from paretune.core.canonical import digest
from paretune.library.types import DataId, RolloutOutput

ObjectiveScores: TypeAlias = dict[str, float]
"""Objective -> score, higher is better."""
CandidateHash: TypeAlias = str
CacheKey: TypeAlias = tuple[CandidateHash, DataId]
"""Candidate and example. With a split, the example's place is taken by the pair (split, example)."""

Fetcher: TypeAlias = Callable[[list[DataId]], Any]
"""Ids -> the batch of those examples."""
Evaluator: TypeAlias = Callable[
    [Any, dict[str, str]], tuple[Any, list[float], Sequence[ObjectiveScores] | None]
]
"""Batch and candidate -> outputs, scores and objective scores (or None), each as long as the batch."""


@dataclass
class CachedEvaluation(Generic[RolloutOutput]):
    """One evaluation of one candidate on one example."""

    output: RolloutOutput
    score: float
    objective_scores: ObjectiveScores | None


@dataclass
class EvaluationCache(Generic[RolloutOutput, DataId]):
    """In memory. Ids of different splits may be equal (positions in a list are), so `split` keeps them apart:
    what was put under a split is found under that split only."""

    _cache: dict[CacheKey[Any], CachedEvaluation[RolloutOutput]] = field(default_factory=dict)

    def get(
        self, candidate: dict[str, str], example_id: DataId, *, split: Hashable = None
    ) -> CachedEvaluation[RolloutOutput] | None:
        return self._cache.get(_key(candidate_hash(candidate), example_id, split))

    def put(
        self,
        candidate: dict[str, str],
        example_id: DataId,
        output: RolloutOutput,
        score: float,
        objective_scores: ObjectiveScores | None = None,
        *,
        split: Hashable = None,
    ) -> None:
        key = _key(candidate_hash(candidate), example_id, split)
        self._cache[key] = CachedEvaluation(output, score, objective_scores)

    def get_batch(
        self, candidate: dict[str, str], example_ids: list[DataId], *, split: Hashable = None
    ) -> tuple[dict[DataId, CachedEvaluation[RolloutOutput]], list[DataId]]:
        """What is known, and the ids that are not, in the order asked for."""
        of = candidate_hash(candidate)
        known = {
            example: found
            for example in example_ids
            if (found := self._cache.get(_key(of, example, split))) is not None
        }
        return known, [example for example in example_ids if example not in known]

    def put_batch(
        self,
        candidate: dict[str, str],
        example_ids: list[DataId],
        outputs: list[RolloutOutput],
        scores: list[float],
        objective_scores_list: Sequence[ObjectiveScores] | None = None,
        *,
        split: Hashable = None,
    ) -> None:
        """Raises ValueError, and keeps nothing, if the lists are not equally long."""
        objectives: Sequence[ObjectiveScores | None] = objective_scores_list or [None] * len(example_ids)
        rows = list(zip(example_ids, outputs, scores, objectives, strict=True))
        of = candidate_hash(candidate)
        for example, output, score, by_objective in rows:
            self._cache[_key(of, example, split)] = CachedEvaluation(output, score, by_objective)

    def evaluate_with_cache_full(
        self,
        candidate: dict[str, str],
        example_ids: list[DataId],
        fetcher: Fetcher[DataId],
        evaluator: Evaluator,
        *,
        split: Hashable = None,
    ) -> tuple[dict[DataId, RolloutOutput], dict[DataId, float], dict[DataId, ObjectiveScores] | None, int]:
        """Outputs, scores and objective scores (None if nobody gave any) by id, and how many were evaluated
        now. Neither function is called if all are known."""
        known, missing = self.get_batch(candidate, example_ids, split=split)
        if missing:
            outputs, scores, objectives = evaluator(fetcher(missing), candidate)
            self.put_batch(candidate, missing, outputs, scores, objectives, split=split)
            known, _ = self.get_batch(candidate, example_ids, split=split)
        by_objective = {
            example: found.objective_scores
            for example, found in known.items()
            if found.objective_scores is not None
        }
        return (
            {example: found.output for example, found in known.items()},
            {example: found.score for example, found in known.items()},
            by_objective or None,
            len(missing),
        )


def candidate_hash(candidate: dict[str, str]) -> CandidateHash:
    """The same for the same texts, in whatever order the components stand."""
    return digest(candidate, 64)


def _key(of: CandidateHash, example: Hashable, split: Hashable) -> CacheKey[Any]:
    return (of, example) if split is None else (of, (split, example))
