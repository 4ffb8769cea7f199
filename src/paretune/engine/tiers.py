"""Two policies of one job: its own (HI) and a cheap one (LO), by `proxy_models`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from paretune.algorithms.settings import Proxy, ProxyRule
from paretune.config import PromptLearningConfig
from paretune.config.proxy import ProxyModelsConfig
from paretune.core.canonical import JsonValue, digest
from paretune.core.errors import Misconfigured
from paretune.core.rollout import Usage
from paretune.engine.handed_on import env_config, env_name, policy_model, public_policy, usual
from paretune.engine.job import Job, Prices
from paretune.engine.resolve.prompt import stages_of
from paretune.evaluate.executors import ContainerExecutor
from paretune.evaluate.purse import Tier
from paretune.llm.prices import cost

Policy = dict[str, JsonValue]


def proxy_models(config: PromptLearningConfig) -> ProxyModelsConfig | None:
    """The document's own, or those of its algorithm; raises Misconfigured where GEPA's and MIPRO's differ."""
    sections = [getattr(config, algorithm) for algorithm in config.algorithm.split("+")]
    found = [config.proxy_models, *(section and section.proxy_models for section in sections)]
    given = [models for models in found if models is not None]
    if any(models != given[0] for models in given):
        raise Misconfigured("mipro.proxy_models", "differs from gepa.proxy_models; give one of the two")
    return given[0] if given else None


def hi_policy(config: PromptLearningConfig) -> Policy:
    """The job's own policy. Raises Misconfigured where `proxy_models` names another, or each stage has its
    own."""
    policy, models = public_policy(config), proxy_models(config)
    if models is None:
        return policy
    if len(stages_of(config)) > 1:
        raise Misconfigured("proxy_models", "names one model for the policy, and each stage has its own")
    named = {
        "provider": models.hi_provider,
        "model": models.hi_model,
        "inference_url": models.hi_inference_url,
    }
    for name, value in named.items():
        if value is not None and policy.setdefault(name, value) != value:
            raise Misconfigured(f"proxy_models.hi_{name}", f"differs from policy.{name}; give one of the two")
    return policy


def hi_model(config: PromptLearningConfig) -> str:
    """The model of the job's own policy; empty where the container decides."""
    models = proxy_models(config)
    return policy_model(config) or (models.hi_model if models else "")


def lo_policy(config: PromptLearningConfig, models: ProxyModelsConfig) -> Policy:
    """As the job's own but for the model and where it is served."""
    policy = {k: v for k, v in hi_policy(config).items() if k not in ("inference_url", "base_url")}
    policy |= {"provider": models.lo_provider, "model": models.lo_model}
    return policy | ({"inference_url": models.lo_inference_url} if models.lo_inference_url else {})


def with_proxy(
    config: PromptLearningConfig, job: Job, executor: ContainerExecutor
) -> tuple[Job, ContainerExecutor]:
    """Job and executor with the cheap policy that the document names; as they are where it names none.

    Raises Misconfigured if both policies are the same.
    """
    models = proxy_models(config)
    if models is None:
        return job, executor
    policy = lo_policy(config, models)
    if policy == executor.policy:
        raise Misconfigured("proxy_models.lo_model", "is the job's own policy; give a cheaper one")
    price: Callable[[Usage], float | None] = partial(cost, models.lo_model)
    usd = models.lo_estimated_cost_usd
    usd = price(usual(config)) if usd is None else usd
    prices = replace(job.prices, proxy=usd)
    lo = replace(job.identity, policy=digest([policy, env_config(config), env_name(config)], 16))
    settings = replace(job.settings, proxy=_settings(models, prices))
    screened = replace(job, settings=settings, prices=prices, lo=lo)
    return screened, replace(executor, lo=(policy, price))


def _settings(models: ProxyModelsConfig, prices: Prices) -> Proxy:
    return Proxy(
        rule=ProxyRule(models.rule),
        n_min_hi=models.n_min_hi,
        r2_thresh=models.r2_thresh,
        r2_stop=models.r2_stop,
        sigma_max=models.sigma_max,
        sigma_stop=models.sigma_stop,
        verify_every=models.verify_every,
        patience_usd=models.proxy_patience_usd,
        lo_usd=prices.proxy,
        hi_usd=prices.rollout,
    )


def cheap_tier(job: Job) -> Tier | None:
    """Whose rollouts the evaluator books under a role of their own."""
    if job.lo is None:
        return None
    return Tier(job.lo, "proxy", lambda: job.prices.proxy or 0.0, job.prices.rollout_tokens)
