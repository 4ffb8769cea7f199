"""`[prompt_learning.gepa]` and its sections, under the names and defaults of the job document."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from paretune.config.base import Section
from paretune.config.seeds import Seeds


class GEPARolloutConfig(Section):
    """`budget` caps the run's distinct rollouts, all splits together. A minibatch has 4 examples in lanes
    (`pipeline.mode = "async"`) if `minibatch_size` is not given, and fewer where the budget is small."""

    budget: int | None = Field(None, gt=0)
    max_concurrent: int = Field(20, gt=0)
    minibatch_size: int = Field(8, gt=0)


class GEPAEvaluationConfig(Section):
    """Which seeds serve which split.

    `noise_replicates` = 1 rolls the seed prompt out a second time on the test split, for the noise floor.
    """

    NOT_YET: ClassVar[frozenset[str]] = frozenset({"validation_pool"})

    seeds: Seeds | None = None
    train_seeds: Seeds | None = None
    validation_seeds: Seeds | None = None
    val_seeds: Seeds | None = None
    test_pool: Seeds | None = None
    validation_top_k: int | None = Field(None, gt=0)
    noise_replicates: int = Field(0, ge=0, le=1)


class GEPAMutationConfig(Section):
    """`rate`: the chance that each further component is edited in the same proposal."""

    NOT_YET: ClassVar[frozenset[str]] = frozenset({"prompt"})
    INSTEAD: ClassVar[dict[str, str]] = dict.fromkeys(
        ("llm_model", "llm_provider", "llm_inference_url"),
        "deprecated; the proposer's model follows from gepa.proposer_effort or [prompt_learning.proposer]",
    )

    rate: float = Field(0.3, ge=0, le=1)


class GEPAPopulationConfig(Section):
    """Generations and how parents are chosen."""

    initial_size: int = Field(20, gt=0)
    num_generations: int = Field(10, gt=0)
    children_per_generation: int = Field(5, gt=0)
    crossover_rate: float = Field(0.5, ge=0, le=1)
    selection_pressure: float = Field(1.0, ge=0)
    patience_generations: int = Field(3, ge=0)


class GEPAArchiveConfig(Section):
    """The archive of possible parents, and how training seeds are dealt into pareto and feedback."""

    size: int = Field(64, gt=0)
    pareto_set_size: int | None = Field(None, gt=0)
    pareto_eps: float = Field(1e-6, gt=0, lt=1)
    feedback_fraction: float = Field(0.5, ge=0, le=1)


class GEPAPipelineConfig(Section):
    """`sync`: the paper's loop, one thing at a time. `async`: lanes without barriers that share one head.

    `staleness_policy` says what becomes of a proposal whose parent is no longer the head: gated against its
    own parent all the same (`accept`), dropped when the head moved more than `drop_older_than` times, or
    carried onto the head (`repair`). `lanes`: as many as minibatches fit into `rollout.max_concurrent`, at
    most 5, if not given, and fewer while edits clash. `guards`: further examples that
    the parent passes, added to each gate. A head is validated after `validate_every` accepted steps, within
    `validation_share` of the rollouts, on the pareto examples and at most `panel` others. `replicates` 1: a
    child that passes its gate by a single answer is asked once more there, unless answers repeat.
    `ablation`: once a validation brought nothing better, the best text is now and then tried without some of
    the lines that the search wrote.
    """

    mode: Literal["sync", "async"] = "async"
    lanes: int | None = Field(None, gt=0, le=64)
    staleness_policy: Literal["accept", "drop_older_than", "repair"] = "repair"
    drop_older_than: int = Field(4, ge=0)
    guards: int = Field(0, ge=0)
    validate_every: int = Field(4, gt=0)
    validation_share: float = Field(0.2, gt=0, le=1)
    panel: int = Field(56, ge=0)
    plateau_after: int = Field(3, gt=0)
    replicates: int = Field(1, ge=0, le=1)
    ablation: bool = True


class GEPARungsConfig(Section):
    """When a full evaluation may stop. In lanes the first look is after four times as many examples, and only
    beating the best counts.

    It is looked at after `first` pareto examples, then after twice as many, and so on (0: never). A child is
    measured no further when, at error `level`, it can no longer be chosen, and fewer than `cells` (a share of
    the pareto examples), or none, will be its own.
    """

    first: int = Field(16, ge=0)
    level: float = Field(0.2, gt=0, le=0.5)
    cells: float = Field(0.03, ge=0, le=1)


class GEPATokenConfig(Section):
    """Length of a candidate and money."""

    max_limit: int | None = Field(None, gt=0)
    counting_model: str = "gpt-4"
    enforce_pattern_limit: bool = True
    max_spend_usd: float | None = Field(None, ge=0)


FLAT: dict[str, str] = {
    "rollout_budget": "rollout.budget",
    "max_concurrent_rollouts": "rollout.max_concurrent",
    "minibatch_size": "rollout.minibatch_size",
    "evaluation_seeds": "evaluation.seeds",
    "validation_seeds": "evaluation.validation_seeds",
    "test_pool": "evaluation.test_pool",
    "validation_pool": "evaluation.validation_pool",
    "validation_top_k": "evaluation.validation_top_k",
    "mutation_rate": "mutation.rate",
    "mutation_llm_model": "mutation.llm_model",
    "mutation_llm_provider": "mutation.llm_provider",
    "mutation_llm_inference_url": "mutation.llm_inference_url",
    "mutation_prompt": "mutation.prompt",
    "initial_population_size": "population.initial_size",
    "num_generations": "population.num_generations",
    "children_per_generation": "population.children_per_generation",
    "crossover_rate": "population.crossover_rate",
    "selection_pressure": "population.selection_pressure",
    "patience_generations": "population.patience_generations",
    "archive_size": "archive.size",
    "pareto_set_size": "archive.pareto_set_size",
    "pareto_eps": "archive.pareto_eps",
    "feedback_fraction": "archive.feedback_fraction",
    "max_token_limit": "token.max_limit",
    "token_counting_model": "token.counting_model",
    "enforce_pattern_token_limit": "token.enforce_pattern_limit",
    "max_spend_usd": "token.max_spend_usd",
}


def _instead(name: str, dotted: str) -> str:
    section, field = dotted.split(".")
    return (
        f"Deprecated flat GEPA format field '{name}': "
        f"Use [prompt_learning.gepa.{section}] section with '{field}' field instead."
    )


CLASSIC_SETS = ("population", "mutation", "rungs", "frontier_type", "acceptance_criterion", "perfect_reward")


class GEPAConfig(Section):
    """GEPA's settings. `preset = "classic"` is the paper; only its minibatch size can be changed."""

    NOT_YET: ClassVar[frozenset[str]] = frozenset(
        {
            "modules",
            "judge",
            "verifier",
            "proxy_models",
            "adaptive_pool",
            "adaptive_batch",
            "spec_path",
            "spec_max_tokens",
            "spec_include_examples",
            "spec_priority_threshold",
            "proposed_prompt_max_tokens",
            "prompt_budget",
            "unified_optimization",
            "auto_discover_patterns",
            "use_byok",
            "initial_candidate",
        }
    )
    INSTEAD: ClassVar[dict[str, str]] = {name: _instead(name, dotted) for name, dotted in FLAT.items()}

    @model_validator(mode="after")
    def _classic_is_the_paper(self) -> GEPAConfig:
        if self.preset == "classic":
            fields = type(self).model_fields
            given = [name for name in CLASSIC_SETS if getattr(self, name) != fields[name].default]
            plain = GEPAArchiveConfig()
            given += [
                f"archive.{name}"
                for name in ("size", "pareto_eps")
                if getattr(self.archive, name) != getattr(plain, name)
            ]
            if self.pipeline != GEPAPipelineConfig() and self.pipeline.mode != "sync":
                given.append("pipeline")
            if given:
                raise ValueError(f"preset 'classic' decides {', '.join(given)}; leave it out, or the preset")
        return self

    env_name: str = "banking77"
    env_config: dict[str, Any] | None = None
    rng_seed: int | None = None
    preset: Literal["default", "classic"] = "default"
    proposer_type: Literal["dspy", "synth", "gepa-ai", "spec", "operators", "agent"] = "dspy"
    proposer_effort: Literal["LOW_CONTEXT", "LOW", "MEDIUM", "HIGH"] = "LOW"
    proposer_output_tokens: Literal["RAPID", "FAST", "SLOW"] = "FAST"
    metaprompt: str | None = None
    frontier_type: Literal["instance", "objective", "hybrid", "cartesian"] = "instance"
    acceptance_criterion: Literal["strict_improvement", "improvement_or_equal"] = "strict_improvement"
    perfect_reward: float = 1.0
    rollout: GEPARolloutConfig = GEPARolloutConfig()
    evaluation: GEPAEvaluationConfig = GEPAEvaluationConfig()
    mutation: GEPAMutationConfig = GEPAMutationConfig()
    population: GEPAPopulationConfig = GEPAPopulationConfig()
    archive: GEPAArchiveConfig = GEPAArchiveConfig()
    token: GEPATokenConfig = GEPATokenConfig()
    pipeline: GEPAPipelineConfig = GEPAPipelineConfig()
    rungs: GEPARungsConfig = GEPARungsConfig()
