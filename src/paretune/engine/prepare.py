"""From a job document and a live task container to a job that can run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from paretune.algorithms.settings import GepaSettings, Pipeline, Rungs, Staleness
from paretune.algorithms.stops import kept_rollouts
from paretune.config import GEPAConfig, PromptLearningConfig, refuse_not_available
from paretune.config.environment import reference, refuse_references
from paretune.config.gepa import GEPAPipelineConfig
from paretune.container.client import ContainerClient
from paretune.container.messages import Message, refuse_credentials
from paretune.core.budget import Limits
from paretune.core.candidate import Candidate
from paretune.core.canonical import JsonValue, digest
from paretune.core.errors import AttemptFailed, Misconfigured, RunFailed
from paretune.core.example import Example, Split, Splits
from paretune.core.frontier import FrontierType
from paretune.core.gate import Acceptance
from paretune.core.retry import RetryPolicy
from paretune.core.rollout import Identity, Usage
from paretune.core.sampling import deal
from paretune.engine.handed_on import env_config, env_name, policy_model, public_policy
from paretune.engine.job import Job, Prices
from paretune.evaluate.evaluator import QueueSettings
from paretune.evaluate.executors import ContainerExecutor
from paretune.llm.efforts import EFFORTS, OUTPUT_TOKENS
from paretune.llm.prices import Price, cost
from paretune.propose.base import Surface
from paretune.propose.guards import placeholders

ASSUMED_PROMPT_TOKENS = 4_000
"""Prompt tokens of a rollout when its price or its tokens are estimated."""

LEAST_FEEDBACK = 3
LEAST_MINIBATCH, LEAST_STEPS = 3, 6

MOST_LANES = 5
"""More only if asked for: where edits do not simply add up, late ones cost more than they bring."""
MINIBATCH_IN_LANES = 4
"""Where none is given; the document's 8 holds in `sync`. More heads come of the same rollouts, and what a
gate on few examples lets through is found by a validation."""

ENDLESS = 1_000_000
"""Generations of a run that its budget ends."""

GRACE_SECONDS = 5.0
"""The client gives up first, so that its own words are the ones on record."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job, and who runs its rollouts."""

    job: Job
    executor: ContainerExecutor


async def prepare(
    config: PromptLearningConfig, client: ContainerClient, *, fresh: str = "", proposer_model: str = ""
) -> Prepared:
    """Ask the container what it is, resolve the document against it.

    `fresh`, when given, keeps the run from using results of other runs. `proposer_model` is the model
    that proposals are really asked of, for their price. Raises NotAvailable for what is not built,
    Misconfigured when document and container do not fit together, RunFailed when the container does not
    answer.
    """
    refuse_not_available(config)
    try:
        info = await client.info()
        program = await client.program()
        splits = await _splits(config, client)
    except AttemptFailed as error:
        raise RunFailed("the task container does not answer as it should", str(error)) from error
    seed = _seed(config, program)
    policy = public_policy(config)
    refuse_credentials("policy", policy)
    refuse_credentials("env_config", env_config(config))
    refuse_references("env_config", env_config(config))
    refuse_references("policy.config", config.policy.config if config.policy else {})
    identity = Identity(
        task=config.task_app_id or info.task_id or config.task_app_url,
        evaluator=info.version + fresh,
        policy=digest([policy, env_config(config), env_name(config)], 16),
    )
    job = Job(
        name=config.task_app_id or info.task_id or config.gepa.env_name,
        seed=seed,
        splits=splits,
        identity=identity,
        settings=fitted_settings(config, splits),
        surface=surface_of(config, seed),
        limits=limits_of(config),
        queue=queue_of(config),
        tolerance=config.container.rollout_failure_rate_tolerance,
        noise_replicates=config.gepa.evaluation.noise_replicates,
        prices=prices_of(config, proposer_model),
        document=public_document(config),
    )
    executor = ContainerExecutor(
        client,
        messages=messages_of(config),
        policy=policy,
        env_name=env_name(config),
        env_config=env_config(config),
        as_candidate=_is_the_programs(seed, program),
        price=partial(cost, policy_model(config)),
    )
    return Prepared(job, executor)


def _is_the_programs(seed: Candidate, program: Mapping[str, Any] | None) -> bool:
    """A container with a program of its own gets its fields, or messages; no field it does not know."""
    fields = (program or {}).get("seed_candidate") or {}
    return not fields or set(seed.components) <= set(fields)


def public_document(config: PromptLearningConfig) -> dict[str, Any]:
    """The document as it may be stored: what was written in it, keys by reference only."""
    document = config.to_dict()
    inner = document["prompt_learning"]
    for section in (inner, inner.get("mipro") or {}):
        if "task_app_api_key" in section:
            section["task_app_api_key"] = reference(section["task_app_api_key"])
    return document


def messages_of(config: PromptLearningConfig) -> tuple[Message, ...]:
    """Which component is which message; empty when the program is the container's own."""
    if config.initial_prompt is None:
        return ()
    return tuple(
        Message(component, message.role, order)
        for order, (component, message) in enumerate(config.initial_prompt.ordered())
    )


def _seed(config: PromptLearningConfig, program: Mapping[str, Any] | None) -> Candidate:
    if config.initial_prompt is not None:
        return Candidate({name: message.pattern for name, message in config.initial_prompt.ordered()})
    texts = (program or {}).get("seed_candidate") or {}
    if not texts:
        raise Misconfigured(
            "prompt_learning.initial_prompt",
            "missing, and the container's GET /program gives no seed_candidate either",
        )
    if not all(isinstance(text, str) for text in texts.values()):
        raise Misconfigured("GET /program", "seed_candidate must map names to texts")
    return Candidate(texts)


def surface_of(config: PromptLearningConfig, seed: Candidate) -> Surface:
    """Placeholders of the initial texts must survive; the length limit holds if it is enforced."""
    token = config.gepa.token
    return Surface(
        placeholders={name: placeholders(text) for name, text in seed.components.items()},
        roles={message.component: message.role for message in messages_of(config)},
        max_tokens=token.max_limit if token.enforce_pattern_limit else None,
        description=(config.initial_prompt.name if config.initial_prompt else "") or config.task_app_id or "",
    )


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
    settings = settings_of(config.gepa, config.termination_config.target_reward, capped=limits != Limits())
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


def limits_of(config: PromptLearningConfig) -> Limits:
    """Of two caps on the same thing the tighter one holds."""
    gepa, end = config.gepa, config.termination_config
    return Limits(
        rollouts=_tighter(gepa.rollout.budget, end.max_rollouts),
        steps=end.max_trials,
        tokens=end.max_total_tokens,
        rollout_tokens=end.max_policy_tokens,
        proposal_tokens=end.max_proposer_tokens,
        cost_usd=_tighter(gepa.token.max_spend_usd, end.max_cost_usd),
        seconds=_tighter(end.max_seconds, end.max_time_seconds),
    )


def _tighter(one: Any, other: Any) -> Any:
    return min((cap for cap in (one, other) if cap is not None), default=None)


def queue_of(config: PromptLearningConfig) -> QueueSettings:
    return QueueSettings(
        concurrency=config.gepa.rollout.max_concurrent,
        deadline=config.container.timeout_seconds + GRACE_SECONDS,
        retry=RetryPolicy(attempts=config.container.attempts),
        breaker=config.container.breaker_seconds,
    )


def prices_of(config: PromptLearningConfig, proposer_model: str) -> Prices:
    """What is reserved before a call: as given, else from the price table, else unknown; tokens as given."""
    rollout, policy, tokens = config.container.rollout_estimated_cost_usd, config.policy, None
    if rollout is None and policy:
        usage = Usage(ASSUMED_PROMPT_TOKENS, policy.max_completion_tokens)
        rollout = cost(policy_model(config), usage)
    if policy and "max_completion_tokens" in policy.model_fields_set:
        tokens = ASSUMED_PROMPT_TOKENS + policy.max_completion_tokens
    roles = {"policy": "rollout", "proposer": "proposal"}
    allowed = frozenset(roles[name] for name in config.termination_config.allow_unpriced)
    price = _proposal_price(config, proposer_model)
    return Prices(rollout, price, allowed, rollout_tokens=tokens, answer_tokens=_answer_tokens(config.gepa))


def _answer_tokens(gepa: GEPAConfig) -> int | None:
    if gepa.proposer_type == "operators":
        return 0
    given = "proposer_output_tokens" in gepa.model_fields_set
    return OUTPUT_TOKENS[gepa.proposer_output_tokens] if given else None


def proposer_price(config: PromptLearningConfig) -> Price | None:
    """The proposer's price as the document gives it; None leaves it to the price table."""
    proposer = config.proposer
    if proposer.prompt_usd_per_million is None or proposer.completion_usd_per_million is None:
        return None
    return Price(proposer.prompt_usd_per_million, proposer.completion_usd_per_million)


def _proposal_price(config: PromptLearningConfig, model: str) -> float | None:
    """The most a proposal can cost: a full context and the longest answer."""
    if config.gepa.proposer_type == "operators":
        return 0.0
    effort = EFFORTS[config.gepa.proposer_effort]
    most = Usage(effort.context, OUTPUT_TOKENS[config.gepa.proposer_output_tokens])
    given = proposer_price(config)
    return given.of(most) if given else cost(model or config.proposer.model or effort.model, most)


# -- splits ---------------------------------------------------------------------------------------


async def _splits(config: PromptLearningConfig, client: ContainerClient) -> Splits:
    if config.task_pools is not None:
        beside = config.gepa.evaluation.model_fields_set - {"noise_replicates", "validation_top_k"}
        if beside:
            raise Misconfigured(
                f"gepa.evaluation.{min(beside)}",
                "task_pools names the examples already; give one of the two",
            )
        return await _pools(config, client)
    return seed_splits(config.gepa)


def seed_splits(gepa: GEPAConfig) -> Splits:
    """Seeds dealt into splits as the job document says.

    `archive.pareto_set_size` of the training seeds, drawn by the run's seed, serve the frontier and
    the rest (at least 3) the proposer; without a size `feedback_fraction` deals them; with fewer seeds
    than the size all serve both.
    """
    evaluation = gepa.evaluation
    train = _either(evaluation.train_seeds, evaluation.seeds, "evaluation.train_seeds", "evaluation.seeds")
    select = _either(
        evaluation.validation_seeds,
        evaluation.val_seeds,
        "evaluation.validation_seeds",
        "evaluation.val_seeds",
    )
    if not train:
        raise Misconfigured("gepa.evaluation.seeds", "give the training seeds, as in {start = 0, end = 50}")
    size = gepa.archive.pareto_set_size
    if size is None:
        size = len(train) - max(LEAST_FEEDBACK, round(gepa.archive.feedback_fraction * len(train)))
    if size > len(train) or size <= 0:
        pareto, reflect = list(train), list(train)
    else:
        size = min(size, len(train) - LEAST_FEEDBACK) if len(train) > LEAST_FEEDBACK else len(train)
        pareto, reflect = deal(train, size, seed=gepa.rng_seed or 0, purpose="pareto")
    shared = set(pareto) == set(reflect) or not reflect
    return Splits(
        reflect=_seeds(pareto if shared else reflect, Split.PARETO if shared else Split.REFLECT),
        pareto=_seeds(pareto, Split.PARETO),
        select=_seeds(select or [], Split.SELECT),
        test=_seeds(evaluation.test_pool or [], Split.TEST),
    )


def _either(one: list[int] | None, other: list[int] | None, first: str, second: str) -> list[int] | None:
    if one is not None and other is not None and one != other:
        raise Misconfigured(f"gepa.{first}", f"differs from gepa.{second}; give one of the two")
    return one if one is not None else other


def _seeds(seeds: Sequence[int], split: Split) -> tuple[Example, ...]:
    return tuple(Example(str(seed), split, {"seed": seed}) for seed in seeds)


async def _pools(config: PromptLearningConfig, client: ContainerClient) -> Splits:
    """Task ids of a container with a task set; the rows travel with the rollouts."""
    pools = config.task_pools
    assert pools is not None
    reflection = pools.minibatch or pools.reflection
    strangers = sorted(set(reflection) - set(pools.reflection))
    if strangers:
        raise Misconfigured(
            "task_pools.minibatch", f"not in task_pools.reflection: {', '.join(strangers[:5])}"
        )
    shared = set(reflection) == set(pools.pareto)
    train, select, test = await asyncio.gather(
        _rows(client, pools.split, list(dict.fromkeys([*reflection, *pools.pareto]))),
        _rows(client, pools.heldout_split, pools.heldout),
        _rows(client, pools.test_split, pools.test),
    )
    home = Split.PARETO if shared else Split.REFLECT
    return Splits(
        reflect=tuple(_row(i, home, train[i]) for i in reflection),
        pareto=tuple(_row(i, Split.PARETO, train[i]) for i in pools.pareto),
        select=tuple(_row(i, Split.SELECT, select[i]) for i in pools.heldout),
        test=tuple(_row(i, Split.TEST, test[i]) for i in pools.test),
    )


async def _rows(client: ContainerClient, split: str, ids: Sequence[str]) -> dict[str, dict[str, JsonValue]]:
    return dict(zip(ids, await client.tasks(split, ids), strict=True)) if ids else {}


def _row(task_id: str, split: Split, row: Mapping[str, JsonValue]) -> Example:
    data: dict[str, JsonValue] = {"task": dict(row), "task_id": task_id}
    if isinstance(row.get("seed"), int):
        data["seed"] = row["seed"]
    return Example(task_id, split, data)
