# ruff: noqa: E501
"""Driving paretune's MIPRO from a job document: through a container over HTTP, or in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.mipro_result import Found, Mark
from benchmarks.mipro_world import TASK, Row
from paretune.config import PromptLearningConfig
from paretune.core import events
from paretune.core.demonstrations import COMPONENT, load
from paretune.core.placement import as_messages
from paretune.core.rollout import Answer, Identity, Usage
from paretune.engine.demonstrations import Shown, shown, stages_with_demonstrations
from paretune.engine.job import Job
from paretune.engine.launch import launched
from paretune.engine.resolve.limits import limits_of, queue_of
from paretune.engine.resolve.mipro import mipro_of, trial_settings
from paretune.engine.resolve.prompt import messages_of, seed_of, surface_of
from paretune.engine.resolve.splits import known_splits
from paretune.engine.run import Live, Runner, Watch
from paretune.evaluate.executors import Executor, FunctionExecutor
from paretune.llm.chat import Completion
from paretune.propose.base import Proposer
from paretune.propose.instructions import GroundedProposer
from paretune.store import MemoryStore, Run, new_run_id

Model = Callable[[Sequence[Mapping[str, str]]], str]
TRAIN_SHARE = 0.2
"""Of the rows, for demonstrations; the others are what trials are measured on: as DSPy splits them."""


def run(
    rows: Sequence[Row],
    task: Model | str,
    writer: Model | str,
    calls: Callable[[], int],
    *,
    auto: str,
    threads: int,
    seed: int,
    budget: int | None = None,
    **mipro: Any,
) -> Found:
    """One run on these rows. Models are functions; or `task` is the container's URL and `writer` its model's base URL. `calls` counts what the task's model has been
    asked for since the run began. `budget` caps the rollouts; `mipro` are further keys of its section."""
    return asyncio.run(_run(rows, task, writer, calls, _document(rows, auto, threads, seed, budget, mipro)))


def _document(
    rows: Sequence[Row], auto: str, threads: int, seed: int, budget: int | None, mipro: Mapping[str, Any]
) -> dict[str, Any]:
    """What a user would write."""
    train = len(rows) - int(len(rows) * (1 - TRAIN_SHARE))
    tickets = [row.ticket for row in rows]
    document: dict[str, Any] = {
        "algorithm": "mipro",
        "task_app_url": "http://127.0.0.1:1",
        "initial_prompt": {
            "id": "tickets",
            "name": "tickets",
            "messages": [
                {"role": "system", "pattern": TASK, "order": 0},
                {"role": "user", "pattern": "{text}", "order": 1},
            ],
        },
        "mipro": {
            "env_name": "tickets",
            "auto": auto,
            "rng_seed": seed,
            "max_concurrent": threads,
            "bootstrap_train_seeds": tickets[:train],
            "online_pool": tickets[train:],
            **mipro,
        },
    }
    if budget is not None:
        document["termination_config"] = {"max_rollouts": budget}
    return document


async def _run(
    rows: Sequence[Row], task: Model | str, writer: Model | str, calls: Callable[[], int], document: Any
) -> Found:
    began, curve = time.perf_counter(), list[Mark]()

    def reached(components: Mapping[str, str]) -> None:
        pairs = [(one.plain, one.output) for one in load(components[COMPONENT])]
        text = "\n".join(text for name, text in components.items() if name != COMPONENT)
        curve.append(Mark(calls(), time.perf_counter() - began, text, pairs))

    def decided(decision: events.Decision) -> None:
        if isinstance(decision, events.CandidateAdmitted) and decision.best:
            reached(decision.components)

    over_http = isinstance(task, str)
    side = _over_http(rows, task, writer, document) if over_http else _here(rows, task, writer, document)  # type: ignore[arg-type]
    async with side as ready:
        job, executor, proposer = ready
        store, run_id = MemoryStore(), new_run_id()
        store.create_run(
            Run(run_id, job.name, "", {**job.record(), "proposer": proposer.identity, "source": {}})
        )
        runner = Runner(store, run_id, job, executor, proposer, Watch(decided, _ignore))
        if not over_http:
            runner.clock = lambda: 0.0
        best = await runner.run()
    reached(best.components)
    return Found(curve, calls(), time.perf_counter() - began)


def _ignore(live: Live) -> None:
    pass


@asynccontextmanager
async def _over_http(rows: Sequence[Row], url: str, writer: str, document: dict[str, Any]) -> Any:
    """`url` is the container's."""
    told = {"base_url": writer, "model": "writer", "api_key_env": "WRITER_KEY"}
    config = PromptLearningConfig.from_mapping(
        {"prompt_learning": {**document, "task_app_url": url, "proposer": told}}
    )
    async with launched(config, {"WRITER_KEY": "none"}) as launch:
        yield launch.ready.job, launch.ready.executor, launch.proposer


@asynccontextmanager
async def _here(rows: Sequence[Row], task: Model, writer: Model, document: dict[str, Any]) -> Any:
    """The same job, its rollouts and proposals by functions."""
    config = PromptLearningConfig.from_mapping({"prompt_learning": document})
    seed = seed_of(config, None)
    whole = shown(
        Shown(seed, surface_of(config, seed), messages_of(config)), stages_with_demonstrations(config), {}
    )
    splits, known = known_splits(config), {row.ticket: row for row in rows}
    mipro = mipro_of(config, whole.seed, splits, whole.surface)
    assert mipro is not None
    messages = [(message.component, message.role) for message in whole.messages]

    async def score(components: Mapping[str, str], data: Mapping[str, Any]) -> Answer:
        row = known[data["seed"]]
        turns = as_messages(messages, components, [COMPONENT])
        said = task([{"role": t.role, "content": t.text.replace("{text}", row.text)} for t in turns])
        return Answer(float(said == row.kind), input=row.text, output=said, feedback="", expected=row.kind)

    job = Job(
        "tickets",
        whole.seed,
        splits,
        Identity("tickets", "1", ""),
        settings=trial_settings(config, mipro, splits),
        mipro=mipro,
        algorithm="mipro",
        surface=whole.surface,
        limits=limits_of(config),
        queue=queue_of(config),
    )
    executor: Executor = FunctionExecutor(score)
    proposer: Proposer = GroundedProposer(_Chat(writer))
    yield job, executor, proposer


@dataclass(frozen=True, slots=True)
class _Chat:
    writer: Model
    identity: str = "scripted"

    async def complete(self, messages: Sequence[Mapping[str, str]]) -> Completion:
        return Completion(self.writer(messages), "stop", Usage())
