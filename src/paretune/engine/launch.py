"""From a job document to a run that can be carried on: container, proposer, job, and the store's row."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from paretune.config import PromptLearningConfig
from paretune.config.environment import resolve_key
from paretune.container.client import ContainerClient, Timeouts
from paretune.core.errors import Misconfigured
from paretune.engine.job import Job
from paretune.engine.prepare import Prepared, prepare, proposer_price
from paretune.llm.chat import ChatModel
from paretune.llm.efforts import ProposerFile, ProposerModel, resolve
from paretune.propose.base import Proposer
from paretune.propose.operators import OperatorProposer
from paretune.propose.packet_text import PromptLimits
from paretune.propose.reflect import ReflectiveProposer
from paretune.store import Run

CHARACTERS_A_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Launch:
    """What a run needs beside its record."""

    ready: Prepared
    proposer: Proposer


@asynccontextmanager
async def launched(
    config: PromptLearningConfig, environment: Mapping[str, str], *, fresh: str = ""
) -> AsyncIterator[Launch]:
    """Proposer and container of the document, and its job. `fresh` keeps results of other runs out.

    Keys come from the environment. Raises Misconfigured, NotAvailable, or RunFailed when the container does
    not answer.
    """
    async with proposing(config, environment) as proposer, container(config, environment) as client:
        model = proposer_model(config, environment)
        ready = await prepare(config, client, fresh=fresh, proposer_model=model)
        yield Launch(ready, proposer)


@asynccontextmanager
async def container(
    config: PromptLearningConfig, environment: Mapping[str, str]
) -> AsyncIterator[ContainerClient]:
    """The document's container, with its key from the environment."""
    key = resolve_key(
        config.task_app_api_key, "prompt_learning.task_app_api_key", environment, "ENVIRONMENT_API_KEY"
    )
    client = ContainerClient(
        config.task_app_url,
        api_key=key,
        timeouts=Timeouts(total=config.container.timeout_seconds),
        connections=config.gepa.rollout.max_concurrent,
    )
    async with client:
        yield client


@asynccontextmanager
async def proposing(config: PromptLearningConfig, environment: Mapping[str, str]) -> AsyncIterator[Proposer]:
    """The proposer that the document names. Raises Misconfigured without an endpoint or key."""
    gepa = config.gepa
    if gepa.proposer_type == "operators":
        yield OperatorProposer()
        return
    endpoint = _endpoint(config, environment)
    limits = PromptLimits(whole=CHARACTERS_A_TOKEN * endpoint.prompt_tokens)
    async with ChatModel(
        endpoint.base_url,
        endpoint.model,
        endpoint.api_key,
        timeout=config.proposer.timeout_seconds,
        temperature=config.proposer.temperature,
        max_tokens=endpoint.output_tokens,
        price=proposer_price(config),
    ) as model:
        yield ReflectiveProposer(model, metaprompt=gepa.metaprompt, limits=limits)


def proposer_model(config: PromptLearningConfig, environment: Mapping[str, str]) -> str:
    """The model that proposals will really be asked of; empty where none is."""
    return "" if config.gepa.proposer_type == "operators" else _endpoint(config, environment).model


def _endpoint(config: PromptLearningConfig, environment: Mapping[str, str]) -> ProposerModel:
    given = ProposerFile(config.proposer.base_url, config.proposer.model, config.proposer.api_key_env)
    gepa = config.gepa
    return resolve(gepa.proposer_effort, gepa.proposer_output_tokens, file=given, environment=environment)


def refuse_other_job(run: Run, job: Job, proposer: Proposer) -> None:
    """A record is continued by the job and the proposer that it was made by, or not at all."""
    if proposer.identity != run.job["proposer"]:
        raise Misconfigured(
            "the proposer", f"{run.id} began with {run.job['proposer']}, now it would be {proposer.identity}"
        )
    if job.digest != run.job["digest"]:
        raise Misconfigured(
            "the task container",
            f"it is not the one that {run.id} began with (its task or version differs); start a new run",
        )


def new_run(run_id: str, job: Job, proposer: Proposer, *, source: Mapping[str, Any]) -> Run:
    """The store's row of a run that begins now."""
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    return Run(
        run_id, job.name, created, {**job.record(), "proposer": proposer.identity, "source": dict(source)}
    )
