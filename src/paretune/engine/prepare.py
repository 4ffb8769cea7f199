"""From a job document and a live task container to a job that can run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from paretune.algorithms.mipro import MiproSettings
from paretune.algorithms.settings import GepaSettings
from paretune.config import PromptLearningConfig, refuse_not_available
from paretune.config.environment import reference, refuse_references
from paretune.container.client import ContainerClient
from paretune.container.messages import refuse_credentials
from paretune.core.canonical import digest
from paretune.core.errors import AttemptFailed, RunFailed
from paretune.core.example import Splits
from paretune.core.rollout import Identity
from paretune.engine.adaptive import adapted
from paretune.engine.demonstrations import Shown, shown, stages_with_demonstrations
from paretune.engine.handed_on import env_config, env_name
from paretune.engine.job import Job
from paretune.engine.resolve.gepa import fitted_settings
from paretune.engine.resolve.limits import limits_of, prices_of, queue_of
from paretune.engine.resolve.mipro import mipro_of, reference_rows, trial_settings
from paretune.engine.resolve.prompt import messages_of, seed_of, surface_of
from paretune.engine.resolve.splits import splits_of
from paretune.engine.section import section_of
from paretune.engine.tiers import hi_model, hi_policy, with_proxy
from paretune.evaluate.executors import ContainerExecutor, Executor
from paretune.evaluate.verifier.executor import Pays
from paretune.llm.prices import cost


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job, and who runs its rollouts."""

    job: Job
    executor: Executor | Pays


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
        splits = await splits_of(config, client)
        rows = await reference_rows(config, client)
    except AttemptFailed as error:
        raise RunFailed("the task container does not answer as it should", str(error)) from error
    seed, fields = seed_of(config, program), (program or {}).get("seed_candidate") or {}
    plain = Shown(seed, surface_of(config, seed), messages_of(config))
    whole = shown(plain, stages_with_demonstrations(config), fields)
    policy = hi_policy(config)
    refuse_credentials("policy", policy)
    refuse_credentials("env_config", env_config(config))
    refuse_references("env_config", env_config(config))
    refuse_references("policy.config", config.policy.config if config.policy else {})
    identity = Identity(
        task=config.task_app_id or info.task_id or config.task_app_url,
        evaluator=info.version + fresh,
        policy=digest([policy, env_config(config), env_name(config)], 16),
    )
    mipro = mipro_of(config, whole.seed, splits, whole.surface, rows)
    job = Job(
        name=config.task_app_id or info.task_id or section_of(config).env_name,
        seed=whole.seed,
        splits=splits,
        identity=identity,
        settings=search_of(config, splits, mipro),
        mipro=mipro,
        algorithm=config.algorithm,
        surface=whole.surface,
        limits=limits_of(config),
        queue=queue_of(config),
        tolerance=config.container.rollout_failure_rate_tolerance,
        noise_replicates=0 if config.algorithm == "mipro" else config.gepa.evaluation.noise_replicates,
        prices=prices_of(config, proposer_model),
        document=public_document(config),
    )
    # A container with a program of its own gets its fields, or messages; no field it does not know.
    executor = ContainerExecutor(
        client,
        messages=whole.messages,
        hosts=whole.surface.hosts,
        policy=policy,
        env_name=env_name(config),
        env_config=env_config(config),
        as_candidate=not fields or set(seed.components) <= set(fields),
        price=partial(cost, hi_model(config)),
    )
    return Prepared(*with_proxy(config, job, executor))


def search_of(config: PromptLearningConfig, splits: Splits, mipro: MiproSettings | None) -> GepaSettings:
    """The search's settings, or what MIPRO's has in common with them. Raises Misconfigured."""
    if mipro is not None and config.algorithm == "mipro":
        return trial_settings(config, mipro, splits)
    return adapted(fitted_settings(config, splits), config.gepa, splits)


def public_document(config: PromptLearningConfig) -> dict[str, Any]:
    """The document as it may be stored: what was written in it, keys by reference only."""
    document = config.to_dict()
    inner = document["prompt_learning"]
    for section in (inner, inner.get("mipro") or {}):
        if "task_app_api_key" in section:
            section["task_app_api_key"] = reference(section["task_app_api_key"])
    return document
