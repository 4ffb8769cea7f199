"""The adaptive pool and the adaptive batch of a job document, as settings of the search."""

from __future__ import annotations

from dataclasses import replace

from paretune.algorithms.settings import GepaSettings, PoolSettings
from paretune.config import AdaptivePoolConfig, GEPAAdaptiveBatchConfig, GEPAConfig
from paretune.core.errors import Misconfigured
from paretune.core.example import Example, Splits
from paretune.core.frontier import FrontierType

_EXAMPLES = (FrontierType.INSTANCE, FrontierType.CARTESIAN)


def adapted(settings: GepaSettings, gepa: GEPAConfig, splits: Splits) -> GepaSettings:
    """The settings with what `adaptive_pool` and `adaptive_batch` ask for; the same where neither is on.

    Raises Misconfigured, naming the field.
    """
    pool, batch = gepa.adaptive_pool, gepa.adaptive_batch
    if pool is not None and pool.enabled:
        settings = replace(settings, pool=pool_settings(pool, splits.pareto, "gepa.adaptive_pool"))
    if batch is not None and batch.enabled:
        settings = replace(
            settings,
            minibatch_size=batch.reflection_minibatch_size,
            least_gain=batch.min_local_improvement,
            selection=batch.candidate_selection_strategy,
            pool=_subsampled(settings.pool, batch, len(splits.pareto)),
        )
    if settings.pool is not None and settings.frontier not in _EXAMPLES:
        raise Misconfigured(
            "gepa.frontier_type",
            f"means of objectives ({settings.frontier.value!r}) need all examples, and adaptive_pool and "
            "adaptive_batch measure a part; use 'instance' or 'cartesian'",
        )
    return settings


def pool_settings(config: AdaptivePoolConfig, examples: tuple[Example, ...], field: str) -> PoolSettings:
    """Of either algorithm; `examples` are those that the pool is made of, `field` is its section.

    A reserve is named by seeds. Raises Misconfigured if none of them is among the examples, or all are.
    """
    ids = [e.id for e in examples]
    named = {str(seed) for seed in config.heatup_reserve_pool or ()}
    reserve = tuple(e for e in ids if e in named)
    if named and len(reserve) in (0, len(ids)):
        what = "none" if not reserve else "every one"
        raise Misconfigured(
            f"{field}.heatup_reserve_pool",
            f"{what} of the {len(ids)} validation examples is among these seeds",
        )
    return PoolSettings(
        anchors=config.anchor_size,
        first=config.pool_init_size,
        least=config.pool_min_size,
        warmup=config.warmup_iters,
        stop=config.anneal_stop_iter,
        period=config.pool_update_period,
        evaluations=config.min_evals_per_example,
        prompts=config.k_info_prompts,
        buffer=config.info_buffer_factor,
        epsilon=config.info_epsilon,
        anchoring=config.anchor_selection_method,
        exploration=config.exploration_strategy,
        reserve=reserve,
        trigger=config.heatup_trigger,
        heat=config.heatup_size,
        cooldown=config.heatup_cooldown_trials,
        schedule=config.heatup_schedule,
    )


def _subsampled(
    pool: PoolSettings | None, batch: GEPAAdaptiveBatchConfig, examples: int
) -> PoolSettings | None:
    """A subsample is a pool of that size from the beginning, drawn at random; an adaptive one is capped."""
    size = batch.val_subsample_size
    if batch.val_evaluation_mode == "full" or size >= examples:
        return pool
    if pool is None:
        return PoolSettings(
            anchors=0,
            first=size,
            least=size,
            anchoring="random",
            exploration="random",
            trigger="every_N_trials_after_min",
            heat=0,
        )
    return replace(
        pool,
        first=min(size, pool.first or size),
        least=min(size, pool.anchors if pool.least is None else pool.least),
        anchors=min(size, pool.anchors),
    )
