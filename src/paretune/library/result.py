"""What a run came to, by gepa's names."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, cast

from paretune.core.statistics import Interval, student_mean
from paretune.library import result_document
from paretune.library.comparison import CandidateComparison, compare_candidates
from paretune.library.lineage import best_of
from paretune.library.state import GEPAState, ProgramIdx
from paretune.library.tree import candidate_tree_dot_from_data, candidate_tree_html_from_data
from paretune.library.types import DataId, RolloutOutput

if TYPE_CHECKING:
    from paretune.library.charts import Figure


@dataclass(frozen=True)
class GEPAResult(Generic[RolloutOutput, DataId]):
    """A run's candidates and what was measured of them. Lists go by candidate, in order of discovery.

    `parents[i]` are the candidates that i was made from, `[None]` for a seed. `val_subscores[i]` are its
    scores by validation id, `val_aggregate_scores[i]` their mean, higher is better.
    `per_val_instance_best_candidates` has, by validation id, all candidates that share its best score.
    `discovery_eval_counts[i]` are the metric calls spent when i was found. `best_outputs_valset` has the best
    answers as (candidate, output).
    `costs[i]` is what evaluating i took, in US dollars, None where no price is known.
    """

    candidates: list[dict[str, str]]
    parents: list[list[ProgramIdx | None]]
    val_aggregate_scores: list[float]
    val_subscores: list[dict[DataId, float]]
    per_val_instance_best_candidates: dict[DataId, set[ProgramIdx]]
    discovery_eval_counts: list[int]
    val_aggregate_subscores: list[dict[str, float]] | None = None
    per_objective_best_candidates: dict[str, set[ProgramIdx]] | None = None
    objective_pareto_front: dict[str, float] | None = None
    best_outputs_valset: dict[DataId, list[tuple[ProgramIdx, RolloutOutput]]] | None = None
    total_metric_calls: int | None = None
    num_full_val_evals: int | None = None
    run_dir: str | None = None
    seed: int | None = None
    _str_candidate_key: str | None = None
    costs: list[float | None] | None = None

    _VALIDATION_SCHEMA_VERSION: ClassVar[int] = result_document.VERSION

    @property
    def num_candidates(self) -> int:
        return len(self.candidates)

    @property
    def num_val_instances(self) -> int:
        """Validation ids that somebody was scored on."""
        return len(self.per_val_instance_best_candidates)

    @property
    def best_idx(self) -> int:
        """The first of the highest means. Raises ValueError without candidates."""
        best = best_of(self.val_aggregate_scores)
        if best is None:
            raise ValueError("no candidate was scored, so none is the best")
        return best

    @property
    def best_score(self) -> float:
        """The best candidate's mean. It was chosen for that, so it flatters."""
        return self.val_aggregate_scores[self.best_idx]

    @property
    def best_candidate(self) -> str | dict[str, str]:
        """Texts by component; the text alone if the run was given one text."""
        best = self.candidates[self.best_idx]
        key = self._str_candidate_key
        return best[key] if key is not None and key in best else best

    @property
    def best_refiner_prompt(self) -> str | None:
        """The best candidate's component `refiner_prompt`; None if the run had no refiner."""
        return self.candidates[self.best_idx].get("refiner_prompt")

    @property
    def total_evals(self) -> int | None:
        """`total_metric_calls` by its later name."""
        return self.total_metric_calls

    # ------------------------------------------------------------ how sure it is

    def interval(self, i: int, *, level: float = 0.95) -> Interval | None:
        """The mean of candidate i with its interval, over the examples it was scored on; None without any."""
        return self._intervals([i], level)[0]

    @property
    def intervals(self) -> list[Interval | None]:
        """`interval` of each candidate."""
        return self._intervals(range(self.num_candidates), 0.95)

    def _intervals(self, of: Iterable[int], level: float) -> list[Interval | None]:
        """Student's t, for there may be many; within 0 to 1 if all scores are."""
        unit = self._within_unit()
        found = list[Interval | None]()
        for i in of:
            scores = [score for score in self.val_subscores[i].values() if math.isfinite(score)]
            mean = student_mean(scores, level=level) if scores else None
            found.append(mean.within(0.0, 1.0) if mean and unit else mean)
        return found

    def _within_unit(self) -> bool:
        return all(0 <= score <= 1 for scores in self.val_subscores for score in scores.values())

    def compare(self, i: int = 0, j: int | None = None, *, level: float = 0.95) -> CandidateComparison:
        """Candidate j (the best, if not given) minus candidate i (the seed), paired by validation id.

        Raises ValueError if they were scored on no example in common.
        """
        j = self.best_idx if j is None else j
        pair = cast(
            "tuple[Mapping[Hashable, float], Mapping[Hashable, float]]",
            (self.val_subscores[i], self.val_subscores[j]),
        )
        found = compare_candidates(i, j, pair, candidates=self.num_candidates, level=level)
        if not self._within_unit():
            return found
        return replace(found, difference=found.difference.within(-1.0, 1.0))

    # ------------------------------------------------------------ out and in

    def to_dict(self) -> dict[str, Any]:
        """gepa's keys, schema 2, and beside them, under `paretune`, what JSON would lose."""
        return result_document.document(self)

    @staticmethod
    def from_dict(d: dict[str, Any]) -> GEPAResult[Any, Any]:
        """From `to_dict`, ours or gepa's of schema 0 to 2, also after JSON; ValueError on a later one."""
        return GEPAResult(**result_document.fields(d))

    def to_json(
        self, path: str | PathLike[str] | None = None, *, default: Callable[[Any], Any] | None = None
    ) -> str:
        """The JSON text of `to_dict`, written to `path` too if there is one; `from_dict(json.loads(text))` is
        equal to this result.

        Outputs and ids may be anything made of None, booleans, numbers, strings, bytes, lists, tuples, sets
        and dictionaries. For other objects `default` gives a stand-in, which is what comes back; without it
        they raise TypeError. Scores that are not finite are written as Python's json does.
        """
        text = json.dumps(self.to_dict(), default=default)
        if path is not None:
            Path(path).write_text(text, "utf-8")
        return text

    @staticmethod
    def from_state(
        state: GEPAState[RolloutOutput, DataId],
        run_dir: str | None = None,
        seed: int | None = None,
        str_candidate_key: str | None = None,
    ) -> GEPAResult[RolloutOutput, DataId]:
        """A snapshot of a run. With `str_candidate_key`, `best_candidate` is that component's text alone."""
        objectives = [dict(scores) for scores in state.prog_candidate_objective_scores]
        outputs = state.best_outputs_valset
        fronts = state.program_at_pareto_front_objectives
        return GEPAResult(
            candidates=[dict(texts) for texts in state.program_candidates],
            parents=[list(parents) for parents in state.parent_program_for_candidate],
            val_aggregate_scores=list(state.program_full_scores_val_set),
            val_subscores=[dict(scores) for scores in state.prog_candidate_val_subscores],
            per_val_instance_best_candidates={
                val_id: set(held) for val_id, held in state.program_at_pareto_front_valset.items()
            },
            discovery_eval_counts=list(state.num_metric_calls_by_discovery),
            val_aggregate_subscores=objectives if any(objectives) else None,
            per_objective_best_candidates={name: set(held) for name, held in fronts.items()} or None,
            objective_pareto_front=dict(state.objective_pareto_front) or None,
            best_outputs_valset=None
            if outputs is None
            else {val_id: list(ranked) for val_id, ranked in outputs.items()},
            total_metric_calls=state.total_num_evals,
            num_full_val_evals=state.num_full_ds_evals,
            run_dir=None if run_dir is None else str(run_dir),
            seed=seed,
            _str_candidate_key=str_candidate_key,
        )

    def to_dspy(self, program: Any) -> Any:
        """A copy of a DSPy program whose predictors have the best candidate's instructions, by their names.

        Predictors without a component keep theirs. Raises ImportError without dspy, TypeError on what is no
        `dspy.Module`, ValueError on a component that no predictor is called by.
        """
        try:
            dspy = import_module("dspy")
        except ImportError as missing:
            raise ImportError("to_dspy needs the package dspy: pip install dspy") from missing
        if not isinstance(program, dspy.Module):
            raise TypeError(f"a dspy.Module, not {type(program).__name__}")
        texts, made = self.candidates[self.best_idx], program.deepcopy()
        predictors = dict(made.named_predictors())
        strangers = sorted(texts.keys() - predictors.keys())
        if strangers:
            there = ", ".join(sorted(predictors))
            raise ValueError(f"no predictor is called {', '.join(strangers)}: the program has {there}")
        for name, text in texts.items():
            predictors[name].signature = predictors[name].signature.with_instructions(text)
        return made

    # ------------------------------------------------------------ to look at

    def candidate_tree_dot(self) -> str:
        """The lineage in Graphviz's language."""
        return candidate_tree_dot_from_data(
            self.candidates,
            self.parents,
            self.val_aggregate_scores,
            self.per_val_instance_best_candidates,
        )

    def candidate_tree_html(self) -> str:
        """The lineage as a page in one file, without script and without network."""
        return candidate_tree_html_from_data(
            self.candidates,
            self.parents,
            self.val_aggregate_scores,
            self.per_val_instance_best_candidates,
        )

    def plot_progress(self) -> Figure:
        """Means and the best so far, by metric calls spent. Raises ImportError without plotly."""
        from paretune.library.charts import progress

        return progress(self)

    def plot_tree(self) -> Figure:
        """The lineage, with means. Raises ImportError without plotly."""
        from paretune.library.charts import lineage

        return lineage(self)

    def plot_frontier(self) -> Figure:
        """Who holds the best scores: by objective if there are two, else by validation id. Raises ImportError
        without plotly."""
        from paretune.library.charts import frontier

        return frontier(self)

    def _repr_html_(self) -> str:
        from paretune.library.result_table import table

        return table(self)
