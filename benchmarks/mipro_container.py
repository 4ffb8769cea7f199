"""`python -m benchmarks.mipro_container WORLD ROWS MODEL`: the task of `mipro_world` as a container.

It puts each ticket to the scripted model at this base URL and scores the answer.
"""

from __future__ import annotations

import sys
import threading

import aiohttp

from benchmarks.mipro_world import TRAIN, World
from paretune.container import Container, Prompt, Result


def container(world: int, count: int, model: str) -> Container:
    rows = {row.ticket: row for row in World(world).rows(TRAIN, count)}
    made = Container("tickets", seeds=list(rows))
    sessions: list[aiohttp.ClientSession] = []

    @made.rollout
    async def rollout(prompt: Prompt, seed: int) -> Result:
        if not sessions:
            sessions.append(aiohttp.ClientSession())
        row = rows[seed]
        body = {"model": "task", "messages": prompt.messages(text=row.text)}
        async with sessions[0].post(f"{model}/chat/completions", json=body) as response:
            said = (await response.json())["choices"][0]["message"]["content"]
        return Result(float(said == row.kind), row.text, said, row.kind)

    return made


if __name__ == "__main__":
    with container(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]).running() as url:
        print(url, flush=True)
        threading.Event().wait()
