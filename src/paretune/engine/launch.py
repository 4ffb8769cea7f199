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
from paretune.engine.judging import judging
from paretune.engine.prepare import Prepared, prepare
from paretune.engine.proposing import proposer_model, proposing
from paretune.propose.base import Proposer
from paretune.store import Run


@dataclass(frozen=True, slots=True)
class Launch:
    """What a run needs beside its record."""

    ready: Prepared
    proposer: Proposer


@asynccontextmanager
async def launched(
    config: PromptLearningConfig, environment: Mapping[str, str], *, fresh: str = ""
) -> AsyncIterator[Launch]:
    """Proposer, container and verifier of the document, and its job. `fresh` keeps results of other runs out.

    Keys come from the environment. Raises Misconfigured, NotAvailable, or RunFailed when the container does
    not answer.
    """
    async with proposing(config, environment) as proposer, container(config, environment) as client:
        model = proposer_model(config, environment)
        ready = await prepare(config, client, fresh=fresh, proposer_model=model)
        async with judging(config, environment, client) as judges:
            yield Launch(judges.judged(ready) if judges else ready, proposer)


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


def refuse_other_job(run: Run, job: Job, proposer: Proposer) -> None:
    """A record is continued by the job and the proposer that it was made by, or not at all."""
    if proposer.identity != run.job["proposer"]:
        raise Misconfigured(
            "the proposer", f"{run.id} began with {run.job['proposer']}, now it would be {proposer.identity}"
        )
    if job.digest != run.job["digest"]:
        raise Misconfigured(
            "the task container",
            f"it is not the one that {run.id} began with (its task, version or verifier differs); start a "
            "new run",
        )


def new_run(run_id: str, job: Job, proposer: Proposer, *, source: Mapping[str, Any]) -> Run:
    """The store's row of a run that begins now."""
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    return Run(
        run_id, job.name, created, {**job.record(), "proposer": proposer.identity, "source": dict(source)}
    )
