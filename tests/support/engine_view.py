"""What the engine gets of a job document: everything that its keys come to, without running a search."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from paretune.config import PromptLearningConfig
from paretune.container.client import ContainerInfo
from paretune.container.messages import build_request
from paretune.core.rollout import RolloutRequest
from paretune.engine import judging, launch, proposing
from paretune.evaluate.executors import ContainerExecutor, Dispatch
from paretune.evaluate.verifier.executor import Judged
from paretune.llm.chat import ChatModel
from paretune.server.service import name_of

SPLITS = {"train": range(200), "validation": range(300, 310), "test": range(400, 410)}


class QuietContainer:
    """Answers what is asked before the first rollout: a program of two fields and three splits of tasks."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.settings = {"url": url, **settings}

    async def __aenter__(self) -> QuietContainer:
        return self

    async def __aexit__(self, *error: object) -> None:
        return

    async def info(self) -> ContainerInfo:
        return ContainerInfo("quiet", "1")

    async def program(self) -> Mapping[str, Any]:
        return {"seed_candidate": {"a": "Think.", "b": "Answer."}}

    async def taskset(self) -> Mapping[str, Any]:
        ids = {split: [f"{split}-{seed}" for seed in seeds] for split, seeds in SPLITS.items()}
        return {
            "splits": {split: len(seeds) for split, seeds in SPLITS.items()},
            "metadata": {"task_ids": ids},
        }

    async def task_info(self, seeds: Sequence[int] = ()) -> list[Any]:
        return [{"task_metadata": {"seed": seed}} for seed in seeds]

    async def tasks(self, split: str, ids: Sequence[str]) -> list[dict[str, Any]]:
        return [{"id": one, "split": split, "seed": int(one.rpartition("-")[2])} for one in ids]


def engine_view(
    data: Mapping[str, Any], environment: Mapping[str, str], patch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Part of the engine -> what it got, as text. Raises Misconfigured for a document that is refused."""
    config = PromptLearningConfig.from_mapping(data)
    asked: list[Any] = []
    clients: list[QuietContainer] = []

    class Chat(ChatModel):
        def __init__(self, *given: Any, **settings: Any) -> None:
            asked.append((given, settings))
            super().__init__(*given, **settings)

    def client(url: str, **settings: Any) -> QuietContainer:
        clients.append(QuietContainer(url, **settings))
        return clients[-1]

    async def view() -> dict[str, str]:
        async with launch.launched(config, environment) as launched:
            job, executor = launched.ready.job, launched.ready.executor
            parts: dict[str, Any] = {
                f.name: getattr(job, f.name) for f in dataclasses.fields(job) if f.name != "document"
            }
            if isinstance(executor, Judged):
                who = executor.verifier
                parts["verifier"] = (
                    who.identity,
                    who.concurrency,
                    who.retry,
                    who.usd,
                    who.tokens,
                    who.repeat,
                )
                parts["verifier name"], parts["fusion"] = who.name, executor.fusion
                executor = executor.inner
            assert isinstance(executor, ContainerExecutor)
            dispatch = Dispatch(RolloutRequest(job.seed, job.splits.pareto[0]), "key", "run")
            parts["request"] = build_request(executor.call(dispatch))
            parts["proposer"] = launched.proposer.identity
            parts["clients"] = [one.settings for one in clients]
            parts["name_of"] = name_of(config)
            return {name: repr(part) for name, part in parts.items()} | {"models": repr(asked)}

    with patch.context() as patched:
        patched.setattr(proposing, "ChatModel", Chat)
        patched.setattr(judging, "ChatModel", Chat)
        patched.setattr(launch, "ContainerClient", client)
        return asyncio.run(view())
