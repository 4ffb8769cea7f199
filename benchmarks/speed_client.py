"""`python -m benchmarks.speed_client URL`: a run's requests with nothing around them, until killed."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import Iterable

import aiohttp

from paretune.container.client import ContainerClient
from paretune.container.messages import build_request
from paretune.core.candidate import Candidate
from paretune.core.example import Example, Split
from paretune.core.rollout import RolloutRequest
from paretune.evaluate.executors import ContainerExecutor, Dispatch

SEED = Candidate({"text": "Answer."})
IN_FLIGHT = 32


def examples(split: Split, count: int, first: int = 0) -> tuple[Example, ...]:
    return tuple(Example(str(n), split, {"seed": n}) for n in range(first, first + count))


def bodies(url: str, count: int) -> list[bytes]:
    """The requests for so many rollouts of `SEED`, as a run would send them."""
    executor = ContainerExecutor(ContainerClient(url))
    calls = (
        executor.call(Dispatch(RolloutRequest(SEED, example), f"r_{example.id}", "bare"))
        for example in examples(Split.PARETO, count)
    )
    return [json.dumps(build_request(call)).encode() for call in calls]


async def ask(url: str, bodies: Iterable[bytes]) -> None:
    """Send all of them, `IN_FLIGHT` at a time, and read the answers."""
    left = iter(bodies)
    headers = {"Content-Type": "application/json"}

    async def one_after_the_other(session: aiohttp.ClientSession) -> None:
        for body in left:
            async with session.post(f"{url}/rollout", data=body, headers=headers) as response:
                json.loads(await response.read())

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(one_after_the_other(session) for _ in range(IN_FLIGHT)))


if __name__ == "__main__":
    asyncio.run(ask(sys.argv[1], itertools.cycle(bodies(sys.argv[1], 1_000))))
