"""The configuration of `optimize_anything`, by gepa's names and with its defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, Literal, TypeVar

from paretune.core.errors import Misconfigured
from paretune.library.acceptance import AcceptanceCriterion
from paretune.library.adapter import ProposalFn
from paretune.library.anything_prompts import optimize_anything_reflection_prompt_template
from paretune.library.callbacks import GEPACallback
from paretune.library.guards import Guards
from paretune.library.logging import LoggerProtocol
from paretune.library.policies import EvaluationPolicy
from paretune.library.reflection import (
    CandidateSelector,
    LanguageModel,
    ReflectionComponentSelector,
    ReflectionLM,
)
from paretune.library.samplers import BatchSampler
from paretune.library.sampling import SamplingStrategy
from paretune.library.selection import SelectionStrategy
from paretune.library.state import FrontierType
from paretune.library.stoppers import StopperProtocol

CacheEvaluationStorage = Literal["memory", "disk", "auto"]

T = TypeVar("T")


@dataclass
class EngineConfig:
    """The search: where it is kept, what ends it, how parents are chosen and how evaluations run.

    An evaluation is asked for once, and a `run_dir` keeps it: `cache_evaluation`, `cache_evaluation_storage`
    and `use_cloudpickle` change nothing. `parallel`: up to `max_workers` evaluations at once, in threads (or
    as tasks, where the evaluator is async). `best_example_evals_k`: how many of an example's best evaluations
    an evaluator that declares `opt_state` is shown.

    With `raise_on_exception` off, an example on which the evaluator raises has no score, and is left out of
    means and comparisons; `failure_score` says what it counts instead (gepa: 0.0), and the proposer then
    reads the error. `stop_at_score` ends the search at that mean on validation. `guards` None: a text of
    this kind may lose `{names}`, and may not copy a training example where there is a validation set.

    Raises Misconfigured.
    """

    run_dir: str | None = None
    seed: int = 0
    display_progress_bar: bool = False
    raise_on_exception: bool = True
    use_cloudpickle: bool = True
    track_best_outputs: bool = True
    max_metric_calls: int | None = None
    max_candidate_proposals: int | None = None
    max_reflection_cost: float | None = None
    val_evaluation_policy: EvaluationPolicy[Any, Any] | Literal["full_eval"] = "full_eval"
    candidate_selection_strategy: (
        CandidateSelector | Literal["pareto", "current_best", "epsilon_greedy", "top_k_pareto"]
    ) = "pareto"
    frontier_type: FrontierType = "hybrid"
    acceptance_criterion: AcceptanceCriterion | Literal["strict_improvement", "improvement_or_equal"] = (
        "strict_improvement"
    )
    parallel: bool = True
    max_workers: int | None = field(default_factory=os.cpu_count)
    cache_evaluation: bool = False
    cache_evaluation_storage: CacheEvaluationStorage = "auto"
    best_example_evals_k: int = 30
    capture_stdio: bool = False
    sampling_strategy: SamplingStrategy | None = None
    selection_strategy: SelectionStrategy | None = None
    failure_score: float | None = None
    stop_at_score: float | None = None
    guards: Guards | None = None

    def __post_init__(self) -> None:
        _at_least("engine.max_workers", self.max_workers, 1)
        _at_least("engine.best_example_evals_k", self.best_example_evals_k, 0)


@dataclass
class ReflectionConfig:
    """Who writes texts, and what it is shown. `reflection_minibatch_size` None: 1 for one task, else 3."""

    skip_perfect_score: bool = False
    perfect_score: float | None = None
    reflection_strategy: ReflectionLM | None = None
    batch_sampler: BatchSampler[Any, Any] | Literal["epoch_shuffled"] = "epoch_shuffled"
    reflection_minibatch_size: int | None = None
    module_selector: ReflectionComponentSelector | Literal["round_robin", "all"] = "round_robin"
    reflection_lm: LanguageModel | str | None = "openai/gpt-5.1"
    reflection_lm_kwargs: dict[str, Any] | None = None
    reflection_prompt_template: str | dict[str, str] | None = optimize_anything_reflection_prompt_template
    custom_candidate_proposer: ProposalFn | None = None


@dataclass
class MergeConfig:
    """Merges of two candidates: how many may be accepted, on how many shared examples."""

    max_merge_invocations: int = 5
    merge_val_overlap_floor: int = 5


@dataclass
class RefinerConfig:
    """After each evaluation a model (None: the reflection model) may mend the candidate for that example,
    `max_refinements` times; how it is told to is a component of its own, `refiner_prompt`."""

    refiner_lm: LanguageModel | str | None = None
    max_refinements: int = 1

    def __post_init__(self) -> None:
        _at_least("refiner.max_refinements", self.max_refinements, 0)


@dataclass
class TrackingConfig:
    """Who is told: a logger, Weights & Biases, MLflow."""

    logger: LoggerProtocol | None = None
    use_wandb: bool = False
    wandb_api_key: str | None = None
    wandb_init_kwargs: dict[str, Any] | None = None
    wandb_attach_existing: bool = False
    wandb_step_metric: str | None = None
    use_mlflow: bool = False
    mlflow_tracking_uri: str | None = None
    mlflow_experiment_name: str | None = None
    mlflow_attach_existing: bool = False
    key_prefix: str = ""


_PARTS: Mapping[str, type[Any]] = {
    "engine": EngineConfig,
    "reflection": ReflectionConfig,
    "tracking": TrackingConfig,
    "merge": MergeConfig,
    "refiner": RefinerConfig,
}


@dataclass
class GEPAConfig:
    """All of it. A part may be given as a dictionary; `merge` and `refiner` are off unless given.

    Raises Misconfigured that names the key that nobody knows.
    """

    engine: EngineConfig = field(default_factory=EngineConfig)
    reflection: ReflectionConfig = field(default_factory=ReflectionConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    merge: MergeConfig | None = None
    refiner: RefinerConfig | None = None
    stop_callbacks: StopperProtocol | Sequence[StopperProtocol] | None = None
    callbacks: list[GEPACallback] | None = None

    def __post_init__(self) -> None:
        for name, kind in _PARTS.items():
            given = getattr(self, name)
            if isinstance(given, Mapping):
                setattr(self, name, _made(kind, given, f"{name}."))
            elif not isinstance(given, kind) and not (given is None and name in ("merge", "refiner")):
                raise Misconfigured(f"config.{name}", f"{kind.__name__} or a dictionary, not {given!r}")

    def to_dict(self) -> dict[str, Any]:
        """Dictionaries of the parts; what a user has put in stays the object that it is."""
        return {
            f.name: vars(value).copy() if is_dataclass(value := getattr(self, f.name)) else value
            for f in fields(self)
        }

    @staticmethod
    def from_dict(d: Mapping[str, Any]) -> GEPAConfig:
        """From `to_dict`, or less: what is left out has its default. Raises Misconfigured."""
        return _made(GEPAConfig, d, "")


def _made(kind: type[T], given: Mapping[str, Any], where: str) -> T:
    known = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    for key in given:
        if key not in known:
            raise Misconfigured(f"config.{where}{key}", _hint(str(key), known))
    return kind(**given)


def _hint(key: str, known: Sequence[str]) -> str:
    elsewhere = [f"{name}.{key}" for name, kind in _PARTS.items() if key in {f.name for f in fields(kind)}]
    meant = elsewhere or get_close_matches(key, known, n=1)
    if meant:
        return f"there is no such key; did you mean {meant[0]!r}?"
    return f"there is no such key, only {', '.join(known)}"


def _at_least(name: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise Misconfigured(f"config.{name}", f"must be {least} or more, not {value!r}")
