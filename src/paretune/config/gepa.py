"""`[prompt_learning.gepa]` and its sections, under the names and defaults of the job document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_serializer, field_validator, model_validator

from paretune.config import adaptive
from paretune.config.adaptive import AdaptivePoolConfig, GEPAAdaptiveBatchConfig
from paretune.config.base import Count, Natural, Section, Table, read_section
from paretune.config.dialects import gepa_section
from paretune.config.efforts import Effort, OutputTokens, ProposerType, refuse_no_spec, refuse_rapid
from paretune.config.policy import ModulePolicy
from paretune.config.providers import OwnKeys
from paretune.config.proxy import ProxyModelsConfig
from paretune.config.seeds import Seeds
from paretune.config.verifier import Judge, Verifier


class GEPARolloutConfig(Section):
    """`budget` caps the run's distinct rollouts, all splits together. A minibatch has 4 examples in lanes
    (`pipeline.mode = "async"`) if `minibatch_size` is not given, and fewer where the budget is small."""

    budget: Count | None = None
    max_concurrent: Count = 20
    minibatch_size: Count = 8


class GEPAEvaluationConfig(Section):
    """Which seeds serve which split.

    `validation_pool` is a split of the container's task set: all of it, or those of its tasks that
    `validation_seeds` name. `noise_replicates` = 1 rolls the seed prompt out a second time on the test split,
    for the noise floor.
    """

    seeds: Seeds | None = None
    train_seeds: Seeds | None = None
    validation_seeds: Seeds | None = None
    val_seeds: Seeds | None = None
    test_pool: Seeds | None = None
    validation_pool: str | None = None
    validation_top_k: Count | None = None
    noise_replicates: int = Field(0, ge=0, le=1)


class GEPAMutationConfig(Section):
    """`rate`: the chance that each further component is edited in the same proposal. `prompt` is an older
    name of `gepa.metaprompt`."""

    INSTEAD: ClassVar[dict[str, str]] = dict.fromkeys(
        ("llm_model", "llm_provider", "llm_inference_url"),
        "deprecated; the proposer's model follows from gepa.proposer_effort or [prompt_learning.proposer]",
    )

    rate: float = Field(0.3, ge=0, le=1)
    prompt: str | None = None


class GEPAPopulationConfig(Section):
    """Generations and how parents are chosen."""

    initial_size: Count = 20
    num_generations: Count = 10
    children_per_generation: Count = 5
    crossover_rate: float = Field(0.5, ge=0, le=1)
    selection_pressure: float = Field(1.0, ge=0)
    patience_generations: Natural = 3


class GEPAArchiveConfig(Section):
    """The archive of possible parents, and how training seeds are dealt into pareto and feedback."""

    size: Count = 64
    pareto_set_size: Count | None = None
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
    drop_older_than: Natural = 4
    guards: Natural = 0
    validate_every: Count = 4
    validation_share: float = Field(0.2, gt=0, le=1)
    panel: Natural = 56
    plateau_after: Count = 3
    replicates: int = Field(1, ge=0, le=1)
    ablation: bool = True


class GEPARungsConfig(Section):
    """When a full evaluation may stop. In lanes the first look is after four times as many examples, and only
    beating the best counts.

    It is looked at after `first` pareto examples, then after twice as many, and so on (0: never). A child is
    measured no further when, at error `level`, it can no longer be chosen, and fewer than `cells` (a share of
    the pareto examples), or none, will be its own.
    """

    first: Natural = 16
    level: float = Field(0.2, gt=0, le=0.5)
    cells: float = Field(0.03, ge=0, le=1)


class GEPATokenConfig(Section):
    """Length of a candidate and money."""

    max_limit: Count | None = None
    counting_model: str = "gpt-4"
    enforce_pattern_limit: bool = True
    max_spend_usd: float | None = Field(None, ge=0)


class GEPAModuleConfig(Section):
    """A stage of a pipeline, with a policy of its own; only its instructions are evolved.

    `module_id` is the name of its component, `max_tokens` the most tokens that may have. Policy and
    `allowed_tools` travel with each rollout, under `policy.config.stages`.
    """

    module_id: str
    max_instruction_slots: Count = 3
    allowed_tools: list[str] | None = None
    max_tokens: Count | None = None
    policy: ModulePolicy

    @field_validator("module_id")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("module_id cannot be empty")
        return value.strip()


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


_MODEL_KEYS = ("meta_model", "meta_provider", "inference_url")

CLASSIC_SETS = ("population", "mutation", "rungs", "frontier_type", "acceptance_criterion", "perfect_reward")


class GEPAConfig(Section):
    """GEPA's settings. `preset = "classic"` is the paper; only its minibatch size can be changed.

    `demonstrations`: candidates hold a list of solved training examples, too, which is evolved as texts are.
    """

    NOT_YET: ClassVar[frozenset[str]] = frozenset(
        {
            "actionable_upfront_context",
            "context_override",
            "job_checkpoint",
            "policy_config",
            "proposal_pipeline",
            "proposer",
            "proposer_backend",
            "proposer_mode",
            "rollout_checkpoint",
            "rollout_checkpoint_refs",
            "rollout_checkpoints",
            "task_context",
            "termination_conditions",
            "unified_optimization",
            *(f"{kind}_{key}" for kind in ("dspy", "synth", "gepa_ai") for key in _MODEL_KEYS),
        }
    )
    INSTEAD: ClassVar[dict[str, str]] = {name: _instead(name, dotted) for name, dotted in FLAT.items()}

    @model_validator(mode="after")
    def _classic_is_the_paper(self) -> GEPAConfig:
        if self.preset == "classic":
            fields = type(self).model_fields
            plainly = self.model_copy(update={"mutation": self.mutation.model_copy(update={"prompt": None})})
            given = [name for name in CLASSIC_SETS if getattr(plainly, name) != fields[name].default]
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
    env_config: Table | None = None
    rng_seed: int | None = None
    preset: Literal["default", "classic"] = "default"
    proposer_type: ProposerType = "dspy"
    proposer_effort: Effort = "LOW"
    proposer_output_tokens: OutputTokens = "FAST"
    metaprompt: str | None = None
    demonstrations: bool = False
    spec_path: str | None = None
    spec_max_tokens: Count = 5000
    spec_include_examples: bool = True
    spec_priority_threshold: Natural | None = None
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
    modules: list[GEPAModuleConfig] | None = None
    judge: Judge = None
    verifier: Verifier = None
    proxy_models: ProxyModelsConfig | None = None
    adaptive_pool: AdaptivePoolConfig | None = None
    adaptive_batch: GEPAAdaptiveBatchConfig | None = None
    use_byok: OwnKeys = None

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> GEPAConfig:
        """From the section's mapping. Raises Misconfigured or NotAvailable naming the dotted field."""
        return read_section(cls, gepa_section(data), "gepa")

    @field_validator("adaptive_pool", mode="before")
    @classmethod
    def _pool_of_its_level(cls, value: Any, info: ValidationInfo) -> Any:
        evaluation = info.data.get("evaluation")
        seeds = (evaluation.train_seeds or evaluation.seeds) if evaluation else None
        return adaptive.read_pool(value, len(seeds) if seeds else None)

    @field_validator("adaptive_batch", mode="before")
    @classmethod
    def _batch_of_its_level(cls, value: Any) -> Any:
        return adaptive.read_batch(value)

    @field_serializer("adaptive_pool", "adaptive_batch")
    def _as_written(self, value: AdaptivePoolConfig | GEPAAdaptiveBatchConfig | None) -> Any:
        return adaptive.written(value)

    @model_validator(mode="after")
    def _fits_together(self) -> GEPAConfig:
        refuse_rapid(self.proposer_effort, self.proposer_output_tokens)
        refuse_no_spec(self.proposer_type, self.spec_path)
        if self.metaprompt and self.mutation.prompt and self.metaprompt != self.mutation.prompt:
            raise ValueError("mutation.prompt differs from metaprompt, its newer name; give one of the two")
        names = [module.module_id for module in self.modules or []]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"modules: module_id {twice[0]!r} is used twice")
        return self
