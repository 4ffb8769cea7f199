"""A run against a container that answers badly: never a 0; it goes on, or stops and names the cause."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from container.far_side import Respond
from container.test_bad_answers import FAST, KEY, ROWS
from paretune.algorithms.settings import GepaSettings
from paretune.container.client import ContainerClient
from paretune.core.budget import Limits
from paretune.core.candidate import Candidate
from paretune.core.errors import FailureKind, RunFailed
from paretune.core.example import Example, Split, Splits
from paretune.core.retry import RetryPolicy
from paretune.core.rollout import Identity
from paretune.engine.job import Job
from paretune.engine.run import Runner
from paretune.evaluate.evaluator import QueueSettings
from paretune.evaluate.executors import ContainerExecutor
from paretune.propose.none import NoProposer
from paretune.store import MemoryStore, Run
from paretune.views.run_view import RunView, read

JOB = Job(
    name="bad answers",
    seed=Candidate({"prompt": "Hi"}),
    splits=Splits(
        tuple(Example(str(s), Split.REFLECT, {"seed": s}) for s in range(10, 16)),
        tuple(Example(str(s), Split.PARETO, {"seed": s}) for s in range(10)),
    ),
    identity=Identity("task", "1", "policy"),
    settings=GepaSettings(minibatch_size=3, initial_size=1),
    limits=Limits(steps=1),
    queue=QueueSettings(concurrency=4, deadline=5.0, retry=RetryPolicy(attempts=2, base=0.001)),
)

ONCE = {FailureKind.UNAUTHORISED}
"""Failures after which no rollout can succeed: the run stops at the first."""


@asynccontextmanager
async def container(respond: Respond, bad: set[int]) -> AsyncIterator[str]:
    """Answers 0.5 for every seed but the bad ones, which get what `respond` sends."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.split("content-length:")[1].split("\r\n")[0])
            asked = json.loads(await reader.readexactly(length))
            if asked["env"]["seed"] in bad:
                await respond(writer, asked["rollout_id"])
            else:
                body = json.dumps({"rollout_id": asked["rollout_id"], "reward": 0.5})
                head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close"
                writer.write(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def view_of(respond: Respond, bad: set[int]) -> tuple[RunView, RunFailed | None]:
    store, proposer = MemoryStore(), NoProposer()
    store.create_run(
        Run("run_1", JOB.name, "", {**JOB.record(), "proposer": proposer.identity, "source": {}})
    )
    async with container(respond, bad) as url, ContainerClient(url, KEY, timeouts=FAST) as client:
        failure = None
        try:
            await Runner(store, "run_1", JOB, ContainerExecutor(client), proposer).run()
        except RunFailed as error:
            failure = error
    return read(store, "run_1"), failure


@pytest.mark.parametrize(("respond", "kind"), [row[1:3] for row in ROWS], ids=[row[0] for row in ROWS])
async def test_one_bad_answer_is_a_gap_and_not_a_zero(respond: Respond, kind: FailureKind) -> None:
    view, failure = await view_of(respond, {3})
    if kind in ONCE:
        assert failure is not None
        assert view.run.status == "failed"
        return
    assert failure is None
    assert view.seed.mean == 0.5
    assert [(f.example, f.kind) for f in view.failures] == [("3", kind)]
    assert "3" not in view.rewards(view.seed.id, "pareto")


@pytest.mark.parametrize(("respond", "kind"), [row[1:3] for row in ROWS], ids=[row[0] for row in ROWS])
async def test_only_bad_answers_stop_the_run_with_the_cause(respond: Respond, kind: FailureKind) -> None:
    view, failure = await view_of(respond, set(range(100)))
    assert failure is not None
    assert kind.value in str(failure) or kind in ONCE
    assert view.run.status == "failed"
    assert str(failure) == view.run.status_detail
    assert not view.rollouts
