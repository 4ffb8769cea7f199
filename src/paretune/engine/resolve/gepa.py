"""The GEPA search that a document's keys stand for."""

from __future__ import annotations

from dataclasses import replace

from paretune.algorithms.settings import GepaSettings, Pipeline, Rungs, Staleness
from paretune.algorithms.stops import kept_rollouts
from paretune.config import GEPAConfig, PromptLearningConfig
from paretune.config.gepa import GEPAPipelineConfig
from paretune.core.budget import Limits
from paretune.core.example import Splits
from paretune.core.frontier import FrontierType
from paretune.core.gate import Acceptance
from paretune.engine.resolve.limits import limits_of

LEAST_MINIBATCH, LEAST_STEPS = 3, 6

MOST_LANES = 5
"""More only if asked for: where edits do not simply add up, late ones cost more than they bring."""
MINIBATCH_IN_LANES = 4
"""Where none is given; the document's 8 holds in `sync`. More heads come of the same rollouts, and what a
gate on few examples lets through is found by a validation."""

ENDLESS = 1_000_000
"""Generations of a run that its budget ends."""


def settings_of(gepa: GEPAConfig, target: float | None, *, capped: bool = False) -> GepaSettings:
    """The search settings that the document's keys stand for.

    Lanes of a run that is `capped` otherwise end by generations or patience only where the document asks for
    it: a budget is there to be used.
    """
    seed = gepa.rng_seed or 0
    if gepa.preset == "classic":
        given = gepa.rollout.model_fields_set
        size = gepa.rollout.minibatch_size if "minibatch_size" in given else 3
        return replace(GepaSettings.classic(seed=seed, minibatch_size=size), target=target)
    population, archive = gepa.population, gepa.archive
    lanes = gepa.pipeline.mode == "async"
    endless, given = capped and lanes, population.model_fields_set
    size = gepa.rollout.minibatch_size
    if lanes and "minibatch_size" not in gepa.rollout.model_fields_set:
        size = MINIBATCH_IN_LANES
    return GepaSettings(
        seed=seed,
        minibatch_size=size,
        initial_size=population.initial_size,
        generations=ENDLESS if endless and "num_generations" not in given else population.num_generations,
        children_per_generation=population.children_per_generation,
        crossover_rate=population.crossover_rate,
        mutation_rate=gepa.mutation.rate,
        pressure=population.selection_pressure,
        patience=0 if endless and "patience_generations" not in given else population.patience_generations,
        archive_size=archive.size,
        epsilon=archive.pareto_eps,
        frontier=FrontierType(gepa.frontier_type),
        acceptance=Acceptance(gepa.acceptance_criterion),
        perfect=gepa.perfect_reward,
        target=target,
        finalists=gepa.evaluation.validation_top_k or GepaSettings().finalists,
        pipeline=pipeline_of(gepa.pipeline, gepa.rollout.max_concurrent // size),
        rungs=Rungs(**gepa.rungs.model_dump()),
    )


def fitted_settings(config: PromptLearningConfig, splits: Splits) -> GepaSettings:
    """A minibatch that nobody asked for is smaller where the budget would not hold `LEAST_STEPS` steps."""
    limits = limits_of(config)
    end = config.termination_config
    settings = settings_of(config.gepa, end.target_reward, capped=limits != Limits())
    settings = replace(settings, barren_steps=end.max_trials_without_improvement or 0)
    budget = limits.rollouts
    if "minibatch_size" in config.gepa.rollout.model_fields_set or budget is None:
        return settings
    left = budget - len(splits.pareto) - kept_rollouts(splits, settings, budget)
    size = min(settings.minibatch_size, max(LEAST_MINIBATCH, left // (2 * LEAST_STEPS)))
    return replace(settings, minibatch_size=size)


def pipeline_of(config: GEPAPipelineConfig, minibatches_at_once: int) -> Pipeline:
    """Lanes and how they share their work; none of it in `sync`."""
    if config.mode == "sync":
        return Pipeline()
    return Pipeline(
        lanes=config.lanes or max(1, min(MOST_LANES, minibatches_at_once)),
        staleness=Staleness(config.staleness_policy),
        oldest=config.drop_older_than,
        guards=config.guards,
        validate_every=config.validate_every,
        validation_share=config.validation_share,
        panel=config.panel,
        plateau=config.plateau_after,
        replicates=config.replicates,
        ablation=config.ablation,
    )
