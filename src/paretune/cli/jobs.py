"""From a job document to a run: the parts that `run`, `resume` and `forecast` share."""

from __future__ import annotations

import datetime
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from paretune.cli.caps import Caps, capped
from paretune.cli.session import Workspace, drive
from paretune.config import PromptLearningConfig, refuse_not_available
from paretune.config.environment import resolve_key
from paretune.container.client import ContainerClient, Timeouts
from paretune.core.errors import Misconfigured
from paretune.engine.job import Job
from paretune.engine.prepare import prepare, proposer_price
from paretune.llm.chat import ChatModel
from paretune.llm.efforts import ProposerFile, resolve
from paretune.propose.base import Proposer
from paretune.propose.operators import OperatorProposer
from paretune.propose.packet_text import PromptLimits
from paretune.propose.reflect import ReflectiveProposer
from paretune.store import Run, new_run_id
from paretune.views.run_view import RunView

CHARACTERS_A_TOKEN = 4


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
    given = ProposerFile(config.proposer.base_url, config.proposer.model, config.proposer.api_key_env)
    endpoint = resolve(gepa.proposer_effort, gepa.proposer_output_tokens, file=given, environment=environment)
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
    gepa = config.gepa
    if gepa.proposer_type == "operators":
        return ""
    given = ProposerFile(config.proposer.base_url, config.proposer.model, config.proposer.api_key_env)
    return resolve(
        gepa.proposer_effort, gepa.proposer_output_tokens, file=given, environment=environment
    ).model


def read_job(file: Path, task_url: str | None) -> PromptLearningConfig:
    """A document that can run, with another address for its container where one is given.

    Raises Misconfigured, or NotAvailable for what is not built.
    """
    config = PromptLearningConfig.from_path(file)
    refuse_not_available(config)
    return with_url(config, task_url)


def with_url(config: PromptLearningConfig, task_url: str | None) -> PromptLearningConfig:
    """The document with another address for its container."""
    if not task_url:
        return config
    if not task_url.startswith(("http://", "https://")):
        raise Misconfigured("--task-url", "must start with http:// or https://")
    return config.model_copy(update={"task_app_url": task_url.rstrip("/")})


async def start(config: PromptLearningConfig, workspace: Workspace, *, fresh: bool, quiet: bool) -> RunView:
    """A new run of this document."""
    run_id = new_run_id()
    async with proposing(config, os.environ) as proposer, container(config, os.environ) as client:
        model = proposer_model(config, os.environ)
        ready = await prepare(config, client, fresh=run_id if fresh else "", proposer_model=model)
        source = {"kind": "document", "fresh": fresh}
        workspace.store.create_run(new_run(run_id, ready.job, proposer, source=source))
        return await drive(workspace, run_id, ready, proposer, quiet=quiet)


async def go_on(run: Run, workspace: Workspace, task_url: str | None, caps: Caps, *, quiet: bool) -> RunView:
    """An earlier run, from where its record stands. Raises Misconfigured if the task is not the same, or a
    cap below what is spent."""
    config = with_url(PromptLearningConfig.from_mapping(run.job["document"]), task_url)
    fresh = run.id if run.job["source"].get("fresh") else ""
    async with proposing(config, os.environ) as proposer, container(config, os.environ) as client:
        model = proposer_model(config, os.environ)
        ready = await prepare(config, client, fresh=fresh, proposer_model=model)
        refuse_other_job(run, ready.job, proposer)
        ready = replace(ready, job=capped(ready.job, run, workspace.store, caps))
        return await drive(workspace, run.id, ready, proposer, quiet=quiet)


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
