"""What a strategy, a stopper or a callback sees of a run: a view by gepa's names that the engine fills."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar, get_args

from paretune.core.errors import Misconfigured
from paretune.library.evaluation_cache import (
    CachedEvaluation,
    CacheKey,
    CandidateHash,
    EvaluationCache,
    Evaluator,
    Fetcher,
    ObjectiveScores,
)
from paretune.library.types import DataId, RolloutOutput

__all__ = [
    "CacheKey",
    "CachedEvaluation",
    "CandidateHash",
    "EvaluationCache",
    "FrontierKey",
    "FrontierType",
    "GEPAState",
    "ObjectiveScores",
    "ProgramIdx",
    "ValsetEvaluation",
    "initialize_gepa_state",
]

ProgramIdx: TypeAlias = int
"""A candidate's place in the order of discovery; the seed is 0."""
FrontierType: TypeAlias = Literal["instance", "objective", "hybrid", "cartesian"]
FrontierKey: TypeAlias = DataId | str | tuple[str, DataId] | tuple[str, DataId, str]
"""A cell of the frontier: `id`, `objective`, `("val_id", id)` and `("objective", name)`, or
`("cartesian", id, objective)`, by frontier type."""

_Cell = TypeVar("_Cell", bound=Hashable)


@dataclass(slots=True)
class ValsetEvaluation(Generic[RolloutOutput, DataId]):
    """One candidate on validation examples, all or some: output, score and objective scores by id."""

    outputs_by_val_id: dict[DataId, RolloutOutput]
    scores_by_val_id: dict[DataId, float]
    objective_scores_by_val_id: dict[DataId, ObjectiveScores] | None = None


class GEPAState(Generic[RolloutOutput, DataId]):
    """The run so far. Lists go by program index, in order of discovery.

    To be read: the engine fills it, and what a strategy writes into it does not change the run. Only the
    pointers of `named_predictor_id_to_update_next_for_program_candidate` belong to the component selector.
    Admitting a program costs its own evaluation, however many there are already.
    """

    _VALIDATION_SCHEMA_VERSION: ClassVar[int] = 5

    def __init__(
        self,
        seed_candidate: dict[str, str],
        base_evaluation: ValsetEvaluation[RolloutOutput, DataId],
        track_best_outputs: bool = False,
        frontier_type: FrontierType = "instance",
        evaluation_cache: EvaluationCache[RolloutOutput, DataId] | None = None,
    ) -> None:
        """The seed's evaluation counts as one full evaluation of so many calls.

        Raises Misconfigured (a ValueError) on an unknown frontier type, and on one that needs objective
        scores where the evaluation has none.
        """
        if frontier_type not in get_args(FrontierType):
            raise Misconfigured(
                "frontier_type", f"one of {', '.join(get_args(FrontierType))}, not {frontier_type!r}"
            )
        self.frontier_type: FrontierType = frontier_type
        self.program_candidates: list[dict[str, str]] = []
        self.parent_program_for_candidate: list[list[ProgramIdx | None]] = []
        self.prog_candidate_val_subscores: list[dict[DataId, float]] = []
        self.prog_candidate_objective_scores: list[ObjectiveScores] = []
        self.num_metric_calls_by_discovery: list[int] = []
        self.list_of_named_predictors = list(seed_candidate)
        self.named_predictor_id_to_update_next_for_program_candidate: list[int] = []

        self.pareto_front_valset: dict[DataId, float] = {}
        self.program_at_pareto_front_valset: dict[DataId, set[ProgramIdx]] = {}
        self.objective_pareto_front: ObjectiveScores = {}
        self.program_at_pareto_front_objectives: dict[str, set[ProgramIdx]] = {}
        self.pareto_front_cartesian: dict[tuple[DataId, str], float] = {}
        self.program_at_pareto_front_cartesian: dict[tuple[DataId, str], set[ProgramIdx]] = {}
        self.best_outputs_valset: dict[DataId, list[tuple[ProgramIdx, RolloutOutput]]] | None = (
            {} if track_best_outputs else None
        )

        self.i = -1
        self.full_program_trace: list[dict[str, Any]] = []
        self.num_full_ds_evals = 0
        self.total_num_evals = len(base_evaluation.scores_by_val_id)
        self.validation_schema_version = self._VALIDATION_SCHEMA_VERSION
        self.evaluation_cache = evaluation_cache
        self.adapter_state: dict[str, Any] = {}

        self._means: list[float] = []
        self._evaluations: _Programs[DataId] = _Programs()
        self._budget_hooks: list[Callable[[int, int], None]] = []
        self._add(seed_candidate, [None], base_evaluation, 0)

    # ------------------------------------------------------------ what the engine calls

    def _admit(
        self,
        texts: dict[str, str],
        parents: list[ProgramIdx],
        evaluation: ValsetEvaluation[RolloutOutput, DataId],
        discovered_at: int,
    ) -> ProgramIdx:
        """A program that was evaluated on validation; `discovered_at`: the calls spent until then.

        It counts as one full evaluation; its calls come through `_spend`. Raises ValueError on parents that
        are not on record, and as the constructor does; the view is then as it was.
        """
        unknown = [parent for parent in parents if not 0 <= parent < len(self.program_candidates)]
        if unknown:
            raise ValueError(f"no program {unknown[0]}: there are {len(self.program_candidates)}")
        return self._add(texts, list[ProgramIdx | None](parents), evaluation, discovered_at)

    def _advance(self) -> None:
        """The next iteration begins."""
        self.i += 1
        self.full_program_trace.append({"i": self.i})

    def _spend(self, n: int) -> None:
        """So many metric calls more; hooks hear of 0 too."""
        self.total_num_evals += n
        for hook in self._budget_hooks:
            hook(self.total_num_evals, n)

    def _add(
        self,
        texts: dict[str, str],
        parents: list[ProgramIdx | None],
        evaluation: ValsetEvaluation[RolloutOutput, DataId],
        discovered_at: int,
    ) -> ProgramIdx:
        scores = dict(evaluation.scores_by_val_id)
        by_example = evaluation.objective_scores_by_val_id or {}
        objectives = _mean_by_objective(by_example.values())
        # What gives no objectives has none; who gives them may have had none on these examples.
        without = self.frontier_type == "hybrid" and evaluation.objective_scores_by_val_id is not None
        if self.frontier_type != "instance" and not objectives and not without:
            raise Misconfigured(
                "frontier_type",
                f"{self.frontier_type!r} needs objective_scores, and the evaluation has none: "
                "return them from the evaluator, or use 'instance'",
            )
        program = len(self.program_candidates)
        pointers = self.named_predictor_id_to_update_next_for_program_candidate
        pointers.append(max((pointers[p] for p in parents if p is not None), default=0))
        self.program_candidates.append(dict(texts))
        self.parent_program_for_candidate.append(parents)
        self.prog_candidate_val_subscores.append(scores)
        self.prog_candidate_objective_scores.append(objectives)
        self.num_metric_calls_by_discovery.append(discovered_at)
        self.num_full_ds_evals += 1
        self._means.append(_mean(scores.values()))
        for example in scores:
            self._evaluations.setdefault(example, []).append(program)
        self._place(program, evaluation.outputs_by_val_id, by_example)
        return program

    def _place(
        self,
        program: ProgramIdx,
        outputs: Mapping[DataId, RolloutOutput],
        by_example: Mapping[DataId, ObjectiveScores],
    ) -> None:
        """On every front, best and ties."""
        for example, score in self.prog_candidate_val_subscores[program].items():
            alone = _join(
                self.pareto_front_valset, self.program_at_pareto_front_valset, example, score, program
            )
            if alone is None or self.best_outputs_valset is None:
                continue
            if alone:
                self.best_outputs_valset[example] = []
            if example in outputs:
                self.best_outputs_valset[example].append((program, outputs[example]))
        for name, score in self.prog_candidate_objective_scores[program].items():
            _join(self.objective_pareto_front, self.program_at_pareto_front_objectives, name, score, program)
        if self.frontier_type != "cartesian":
            return
        front, programs = self.pareto_front_cartesian, self.program_at_pareto_front_cartesian
        for example, scores in by_example.items():
            for name, score in scores.items():
                _join(front, programs, (example, name), score, program)

    # ------------------------------------------------------------ what everybody reads

    @property
    def valset_evaluations(self) -> dict[DataId, list[ProgramIdx]]:
        """Validation id -> the programs that were scored on it; none for an id that nobody was scored on."""
        return self._evaluations

    @property
    def program_full_scores_val_set(self) -> list[float]:
        """Each program's mean over what it was scored on; minus infinity if that is nothing."""
        return list(self._means)

    @property
    def per_program_tracked_scores(self) -> list[float]:
        """The scores that selectors rank programs by: the means on validation."""
        return self.program_full_scores_val_set

    def get_program_average_val_subset(self, program_idx: ProgramIdx) -> tuple[float, int]:
        """Mean and number of scores; minus infinity and 0 without any. Raises IndexError."""
        return self._means[program_idx], len(self.prog_candidate_val_subscores[program_idx])

    def get_pareto_front_mapping(self) -> dict[FrontierKey[Any], set[ProgramIdx]]:
        """Cell of the frontier type -> the programs that share its best score. The caller's own copy."""
        examples, objectives = self.program_at_pareto_front_valset, self.program_at_pareto_front_objectives
        if self.frontier_type == "instance":
            return {example: set(held) for example, held in examples.items()}
        if self.frontier_type == "objective":
            return {name: set(held) for name, held in objectives.items()}
        if self.frontier_type == "cartesian":
            pairs = self.program_at_pareto_front_cartesian
            return {("cartesian", example, name): set(held) for (example, name), held in pairs.items()}
        by_example: dict[FrontierKey[Any], set[ProgramIdx]] = {
            ("val_id", example): set(held) for example, held in examples.items()
        }
        return by_example | {("objective", name): set(held) for name, held in objectives.items()}

    def is_consistent(self) -> bool:
        """Whether all lists are equally long, and fronts name programs that there are."""
        count = len(self.program_candidates)
        by_program: Sequence[Sequence[object]] = (
            self.parent_program_for_candidate,
            self.prog_candidate_val_subscores,
            self.prog_candidate_objective_scores,
            self.num_metric_calls_by_discovery,
            self.named_predictor_id_to_update_next_for_program_candidate,
            self._means,
        )
        fronts = (
            (self.pareto_front_valset, self.program_at_pareto_front_valset),
            (self.objective_pareto_front, self.program_at_pareto_front_objectives),
            (self.pareto_front_cartesian, self.program_at_pareto_front_cartesian),
        )
        return all(len(column) == count for column in by_program) and all(
            best.keys() == programs.keys() and all(0 <= p < count for held in programs.values() for p in held)
            for best, programs in fronts
        )

    # ------------------------------------------------------------ for strategies that evaluate themselves

    def add_budget_hook(self, hook: Callable[[int, int], None]) -> None:
        """Called as `hook(total, added)` whenever metric calls were spent."""
        self._budget_hooks.append(hook)

    def increment_evals(self, count: int) -> None:
        """Metric calls that a strategy made on its own account."""
        self._spend(count)

    def update_state_with_new_program(
        self,
        parent_program_idx: list[ProgramIdx],
        new_program: dict[str, str],
        valset_evaluation: ValsetEvaluation[RolloutOutput, DataId],
        run_dir: str | None,
        num_metric_calls_by_discovery_of_new_program: int,
    ) -> ProgramIdx:
        """Add a program to a state of one's own making, as in a test of a strategy; its index. Nothing is
        written to `run_dir`: the engine keeps its record there itself."""
        return self._admit(
            new_program, parent_program_idx, valset_evaluation, num_metric_calls_by_discovery_of_new_program
        )

    def cached_evaluate(
        self,
        candidate: dict[str, str],
        example_ids: list[DataId],
        fetcher: Fetcher[DataId],
        evaluator: Evaluator,
    ) -> tuple[list[float], int]:
        """Scores in the order asked for, and how many were evaluated now."""
        _, scores, _, evaluated = self.cached_evaluate_full(candidate, example_ids, fetcher, evaluator)
        return [scores[example] for example in example_ids], evaluated

    def cached_evaluate_full(
        self,
        candidate: dict[str, str],
        example_ids: list[DataId],
        fetcher: Fetcher[DataId],
        evaluator: Evaluator,
    ) -> tuple[dict[DataId, RolloutOutput], dict[DataId, float], dict[DataId, ObjectiveScores] | None, int]:
        """As `EvaluationCache.evaluate_with_cache_full`; without a cache, everything is evaluated."""
        cache = self.evaluation_cache
        if cache is None:
            cache = EvaluationCache[RolloutOutput, DataId]()
        return cache.evaluate_with_cache_full(candidate, example_ids, fetcher, evaluator)

    # ------------------------------------------------------------ not kept in a file

    def save(self, run_dir: str | None, *, use_cloudpickle: bool = False) -> None:
        """Nothing is to be done without a directory. Raises Misconfigured (a ValueError) with one."""
        if run_dir is not None:
            raise Misconfigured("run_dir", _KEEPS_ITSELF)

    @staticmethod
    def load(run_dir: str) -> GEPAState[Any, Any]:
        """Raises Misconfigured (a ValueError): there is no such file."""
        raise Misconfigured("run_dir", _NO_PICKLE)


_KEEPS_ITSELF = (
    "the state is a view of the run and is not saved: the engine keeps facts and decisions in run_dir "
    "as they come, and resumes from them when it is started with the same run_dir"
)
_NO_PICKLE = (
    "no state is loaded from a file: a pickle executes what is in it. Start the run with this run_dir to "
    "resume a run of paretune's; for a run of gepa's, pass its best candidate as seed_candidate"
)


def initialize_gepa_state(
    run_dir: str | None,
    logger: object,
    seed_candidate: dict[str, str],
    seed_valset_evaluation: ValsetEvaluation[RolloutOutput, DataId],
    track_best_outputs: bool = False,
    frontier_type: FrontierType = "instance",
    evaluation_cache: EvaluationCache[RolloutOutput, DataId] | None = None,
) -> GEPAState[RolloutOutput, DataId]:
    """A new state, without a directory. Raises Misconfigured (a ValueError) with one: nothing is loaded."""
    if run_dir is not None:
        raise Misconfigured("run_dir", _NO_PICKLE)
    return GEPAState(
        seed_candidate, seed_valset_evaluation, track_best_outputs, frontier_type, evaluation_cache
    )


class _Programs(dict[DataId, list[ProgramIdx]]):
    """Id -> programs; an id that is not there has none, and looking does not add it."""

    def __missing__(self, example: DataId) -> list[ProgramIdx]:
        return []


def _join(
    best: dict[_Cell, float],
    programs: dict[_Cell, set[ProgramIdx]],
    cell: _Cell,
    score: float,
    program: ProgramIdx,
) -> bool | None:
    """True if the program leads the cell alone now, False if it ties, None if it is behind. What is not a
    number leads nothing."""
    if math.isnan(score) or (cell in best and score < best[cell]):
        return None
    if cell in best and score == best[cell]:
        programs[cell].add(program)
        return False
    best[cell] = score
    programs[cell] = {program}
    return True


def _mean(scores: Iterable[float]) -> float:
    values = list(scores)
    return sum(values) / len(values) if values else -math.inf


def _mean_by_objective(by_example: Iterable[ObjectiveScores]) -> ObjectiveScores:
    """Each objective's mean over the examples that have it."""
    columns: dict[str, list[float]] = {}
    for scores in by_example:
        for name, score in scores.items():
            columns.setdefault(name, []).append(score)
    return {name: _mean(column) for name, column in columns.items()}
