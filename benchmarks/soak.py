"""A job server under load: its memory over time, the time of a status call, and whether readers delay jobs.

    PYTHONPATH=$PWD/src:$PWD/tests python benchmarks/soak.py --seconds 600 --jobs 200 --readers 50

A server, a task and a model of our own on this machine. So many jobs wait all the time; readers follow event
streams, a fifth of them stops reading after the first bytes. Then jobs are timed without any reader.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import itertools
import multiprocessing
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx

from support.chat_server import chat_server
from support.foreign_jobs import reflective
from support.paced_task import paced_task
from support.programs import KEY
from support.served import ANY, OFFLINE, Server, named_job, serving

STATUS_EVERY = 0.05
PACE = 0.05
WITHOUT = 60.0


@dataclass
class Load:
    """What was measured: seconds of status calls and of jobs, memory in MiB with its time."""

    server: Server
    calls: list[float] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)
    read: int = 0
    more: asyncio.Event = field(default_factory=asyncio.Event)
    """Set for a moment when other jobs were submitted."""
    began: float = field(default_factory=time.monotonic)

    @property
    def now(self) -> float:
        return time.monotonic() - self.began


def ask_for_status(url: str, asked: int, other: Connection) -> None:
    """One status call after the other, each of another one of the newest `asked` jobs: a process of its own,
    which is told of jobs and tells how long each call took (s)."""
    job_ids: list[str] = other.recv()
    with httpx.Client(base_url=url, timeout=60) as client:
        for turn in itertools.count():
            while other.poll():
                job_ids += other.recv()
            began = time.perf_counter()
            answer = client.get(f"{ANY}/{job_ids[-1 - turn % min(asked, len(job_ids))]}")
            other.send(time.perf_counter() - began)
            assert answer.status_code == 200, answer.text
            time.sleep(STATUS_EVERY)


@contextmanager
def asking(url: str, job_ids: Sequence[str]) -> Iterator[Connection]:
    """Status calls go on meanwhile."""
    context = multiprocessing.get_context("spawn")
    mine, other = context.Pipe()
    process = context.Process(target=ask_for_status, args=(url, 2 * len(job_ids), other), daemon=True)
    process.start()
    mine.send(list(job_ids))
    try:
        yield mine
    finally:
        process.kill()
        process.join()


def taken(told: Connection) -> list[float]:
    found = []
    while told.poll():
        found.append(told.recv())
    return found


async def read_streams(load: Load, job_ids: Sequence[str], first: int, stops: bool) -> None:
    """One stream after the other, of jobs that may come yet; who `stops` holds its first one open."""
    for place in itertools.count(first):
        while place >= len(job_ids):
            await load.more.wait()
        job_id = job_ids[place]
        reader, writer = await asyncio.open_connection("127.0.0.1", load.server.port)
        writer.write(f"GET {ANY}/{job_id}/events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        try:
            if stops:
                await reader.read(100)
                await asyncio.Event().wait()
            while data := await reader.read(65536):
                load.read += data.count(b"\nevent: ")
                if data.endswith(b"0\r\n\r\n"):
                    break
        finally:
            writer.close()


async def watch_memory(load: Load) -> None:
    while True:
        process = load.server.process
        assert process is not None
        said = await asyncio.to_thread(
            subprocess.run, ["ps", "-o", "rss=", "-p", str(process.pid)], capture_output=True, text=True
        )
        load.memory.append((load.now, int(said.stdout) / 1024))
        await asyncio.sleep(5)


async def submit(client: httpx.AsyncClient, task: str, name: str, count: int) -> list[str]:
    made = []
    for number in range(count):
        document = named_job(task, f"{name} {number}", budget=120)
        document["prompt_learning"]["gepa"]["evaluation"] = {"seeds": {"start": 0, "end": 30}}
        answer = await client.post(OFFLINE, json={"config": document})
        assert answer.status_code == 201, answer.text
        made.append(answer.json()["job_id"])
    return made


async def keep_waiting(
    load: Load, client: httpx.AsyncClient, task: str, job_ids: list[str], jobs: int, told: Connection
) -> None:
    """Others come for those that were started."""
    for turn in itertools.count():
        await asyncio.sleep(5)
        load.calls += taken(told)  # a full pipe would stop those calls
        waiting = len(await in_state(client, "queued"))
        more = await submit(client, task, f"later {turn}", jobs - waiting)
        told.send(more)
        job_ids += more
        load.more.set()
        load.more.clear()


async def in_state(client: httpx.AsyncClient, state: str) -> list[dict[str, Any]]:
    found = list[dict[str, Any]]()
    asked: dict[str, str] = {"state": state, "limit": "1000"}
    while True:
        page = (await client.get(ANY, params=asked)).json()
        found += page["items"]
        if not page["next_cursor"]:
            return found
        asked["cursor"] = page["next_cursor"]


async def under_load(options: argparse.Namespace, load: Load, task: str) -> None:
    limits = httpx.Limits(max_connections=10)
    async with httpx.AsyncClient(base_url=load.server.url, timeout=60, limits=limits) as client:
        began = time.perf_counter()
        job_ids = await submit(client, task, "read", options.jobs)
        print(f"{options.jobs} jobs submitted in {time.perf_counter() - began:.1f} s")
        watching = asyncio.create_task(watch_memory(load))
        stopped = options.readers // 5
        readers = [
            asyncio.create_task(read_streams(load, job_ids, n % options.working, n < stopped))
            for n in range(options.readers)
        ]
        with asking(load.server.url, job_ids) as told:
            feeding = asyncio.create_task(keep_waiting(load, client, task, job_ids, options.jobs, told))
            await asyncio.sleep(options.seconds)
            load.calls += taken(told)
            await figures(load, client, "with readers")
            for one in readers:
                one.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
            before = load.now
            taken(told)
            load.calls = []
            await asyncio.sleep(min(WITHOUT, options.seconds / 2))
            load.calls += taken(told)
            await figures(load, client, "without readers", before)
            for background in (watching, feeding):
                background.cancel()
            await asyncio.gather(watching, feeding, return_exceptions=True)


async def figures(load: Load, client: httpx.AsyncClient, when: str, since: float = 0.0) -> None:
    done = await in_state(client, "succeeded")
    failed = [item["error"] for item in await in_state(client, "failed")]
    started = time.time() - (load.now - since)
    seconds = [_at(i["finished_at"]) - _at(i["started_at"]) for i in done if _at(i["started_at"]) > started]
    calls = sorted(load.calls)
    p50, p90, p99, most = (1000 * calls[int((len(calls) - 1) * share)] for share in (0.5, 0.9, 0.99, 1))
    print(f"\n{when}: {len(calls)} status calls, {load.read} events read, {len(done)} jobs done")
    print("  failed: " + (failed[0] if failed else "none"))
    print(f"  status call, ms: p50 {p50:.1f}, p90 {p90:.1f}, p99 {p99:.1f}, most {most:.1f}")
    if seconds:
        print(f"  a job, s: median {statistics.median(seconds):.1f} of {len(seconds)}")
    print(
        "  memory, MiB: "
        + "  ".join(f"{at:.0f} s {used:.0f}" for at, used in load.memory[:: max(1, len(load.memory) // 12)])
    )


def _at(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="with readers; then a minute without")
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--working", type=int, default=8)
    parser.add_argument("--readers", type=int, default=50)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        paced_task(PACE, key=KEY) as task,
        chat_server(reflective) as model,
        serving(Path(folder), "--jobs", str(options.working), PARETUNE_PROPOSER_BASE_URL=model) as server,
    ):
        asyncio.run(under_load(options, Load(server), task.url))
        print(server.said())


if __name__ == "__main__":
    main()
