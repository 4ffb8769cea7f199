"""What the engine costs: overhead over HTTP, growth with candidates, memory, wall clock of a whole search.

    python benchmarks/speed.py [--repeat N] [small client scale memory]
    python benchmarks/speed.py [--repeat N] [--landscape rules] [--ours default] wall

Each part prints medians, with the ratio to what it is measured against in the same run, and keeps every run
in `benchmarks/results/speed.json`, beside what other parts left there. `scale` and `wall` need gepa
(`pip install gepa==0.1.4`); `wall` runs only when named. `small` and `client` ask a container in a process of
its own. All of ours but `wall` is on disk.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import wall
from benchmarks.speed_client import IN_FLIGHT, SEED, ask, bodies, examples
from benchmarks.speed_task import START, Stamped, gepa_seconds, reward
from paretune.algorithms.settings import GepaSettings, Pipeline
from paretune.cli.session import rare_collections
from paretune.container.client import ContainerClient
from paretune.core import events
from paretune.core.budget import Limits
from paretune.core.candidate import Candidate
from paretune.core.example import Split, Splits
from paretune.core.rollout import Answer, Identity
from paretune.engine.job import Job
from paretune.engine.run import Runner
from paretune.evaluate.evaluator import QueueSettings
from paretune.evaluate.executors import ContainerExecutor, Executor, FunctionExecutor
from paretune.propose.base import Packet, Proposal, Proposer
from paretune.store import Run, SqlStore, new_run_id

Figures = dict[str, float]
ROOT = Path(__file__).resolve().parents[1]


@dataclass(slots=True)
class Appender:
    """A proposer that takes no time: one more line, in the proposal of that number a better one."""

    identity: str = "appender"
    better: int = 0
    count: int = 0

    async def propose(self, packet: Packet) -> Proposal:
        self.count += 1
        text, line = (
            packet.parent.components["text"],
            "A better line" if self.count == self.better else "Line",
        )
        return Proposal({"text": f"{text}\n{line} {self.count}."})


@dataclass(frozen=True, slots=True)
class Cost:
    """One run: seconds of wall clock and of our CPU, bytes on disk, rollouts, and candidates in the pool."""

    wall: float
    cpu: float
    disk: int
    rollouts: int
    members: int


def carry(job: Job, executor: Executor, proposer: Proposer | None = None) -> Cost:
    """Run this job on a fresh store on disk."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "workspace.sqlite"
        store, run_id = SqlStore(place), new_run_id()
        record = {**job.record(), "proposer": "appender", "source": {}}
        store.create_run(Run(run_id, "speed", "2025-01-01T00:00:00Z", record))
        began, cpu = time.perf_counter(), time.process_time()
        asyncio.run(_carried(store, run_id, job, executor, proposer or Appender()))
        cost = time.perf_counter() - began, time.process_time() - cpu
        drawn = sum(key.startswith("r_") for key in store.drawn(run_id))
        log = store.decisions(run_id)
        members = sum(stored.body["kind"] == events.CandidateAdmitted.kind for stored in log)
        store.close()
        disk = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        return Cost(*cost, disk, drawn, members)


async def _carried(store: SqlStore, run_id: str, job: Job, executor: Executor, proposer: Proposer) -> None:
    async with contextlib.AsyncExitStack() as stack:
        if isinstance(executor, ContainerExecutor):
            await stack.enter_async_context(executor.client)
        await Runner(store, run_id, job, executor, proposer).run()


def job_of(
    splits: Splits,
    settings: GepaSettings,
    budget: int | None,
    concurrency: int,
    seed: Candidate = SEED,
    **more: Any,
) -> Job:
    return Job(
        "speed",
        seed,
        splits,
        Identity("speed", "1", "none"),
        settings=settings,
        limits=Limits(rollouts=budget, **more),
        queue=QueueSettings(concurrency=concurrency),
    )


@contextlib.contextmanager
def container(pause: float) -> Iterator[str]:
    """The address of a container whose rollouts take so many seconds."""
    with _module("speed_container", str(pause)) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()


@contextlib.contextmanager
def _module(name: str, argument: str) -> Iterator[subprocess.Popen[str]]:
    """This benchmark's module as a process, killed at the end."""
    command = [sys.executable, "-m", f"benchmarks.{name}", argument]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def seen(url: str) -> dict[str, float]:
    """What the container saw since it was asked last."""
    request = urllib.request.Request(f"{url}/seen", method="DELETE")
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, float] = json.load(answer)
        return found


def _over_http(url: str) -> ContainerExecutor:
    return ContainerExecutor(ContainerClient(url))


def _bare(url: str, count: int) -> tuple[float, float]:
    """Seconds of wall clock and of our CPU that so many requests take without anything around them."""
    requests = bodies(url, count)
    cpu = time.process_time()
    asyncio.run(ask(url, requests))
    return seen(url)["seconds"], time.process_time() - cpu


def _ceiling(url: str) -> Figures:
    """What the container serves at most: to several bare clients, each a process, and by its own CPU time.

    On few cores the clients take the container's time, and one of them alone may get more out of it.
    """
    count = max(2, min(4, (os.cpu_count() or 1) - 1))
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(_module("speed_client", url))
        time.sleep(2.0)
        seen(url)
        time.sleep(1.5)
        told = seen(url)
    return {
        f"container_per_second_to_{count}_clients": told["rollouts"] / told["seconds"],
        "container_per_second_of_its_cpu": told["rollouts"] / told["cpu"],
    }


# -- parts ------------------------------------------------------------------------------------------


def small() -> Figures:
    """96 rollouts of 50 ms, 10 in flight: 16 pareto, minibatch 8, two generations of two.

    `sync`: the seed on 16 pareto and, in two minibatches, on all 16 reflect examples; four children of it on
    a minibatch each, of which the last passes and is evaluated in full; then seed and best on 8 test ones.
    `async`: known failures join the minibatches of two lanes, which takes what is no test split here; the
    first child passes and is the head of the others.
    """
    plain = Splits(examples(Split.REFLECT, 16), examples(Split.PARETO, 16, 100))
    tested = replace(plain, test=examples(Split.TEST, 8, 200))
    settings = GepaSettings(
        minibatch_size=8, initial_size=1, generations=2, children_per_generation=2, crossover_rate=0.0
    )
    found: Figures = {}
    with container(0.05) as url:
        for name, lanes, splits, better in (("sync", 0, tested, 4), ("async", 2, plain, 1)):
            job = job_of(splits, replace(settings, pipeline=Pipeline(lanes=lanes, panel=0)), 96, 10)
            carry(job, _over_http(url), Appender(better=better))
            told = seen(url)
            assert told["rollouts"] == 96, f"{name}: {told['rollouts']} rollouts"
            found[f"{name}_seconds"] = told["seconds"]
    found["floor_seconds"] = 96 * 0.05 / 10
    return found


def client() -> Figures:
    """2,000 rollouts of 50 ms and 5,000 instant ones, 32 in flight, between two runs of the bare client."""
    found: Figures = {}
    for name, pause, count in (("50ms", 0.05, 2_000), ("instant", 0.0, 5_000)):
        splits = Splits(examples(Split.REFLECT, 1, count), examples(Split.PARETO, count))
        job = job_of(splits, GepaSettings.classic(), None, IN_FLIGHT, steps=0)
        with container(pause) as url:
            before = _bare(url, count)
            cost = carry(job, _over_http(url))
            ours = seen(url)["seconds"]
            after = _bare(url, count)
            if not pause:
                found |= _ceiling(url)
        bare, bare_cpu = (statistics.mean(pair) for pair in zip(before, after, strict=True))
        found |= {
            f"{name}_bare_per_second": count / bare,
            f"{name}_ours_per_second": count / ours,
            f"{name}_ours_share_of_bare": bare / ours,
            f"{name}_time_ratio": ours / bare,
            f"{name}_bare_cpu_ms_per_request": 1000 * bare_cpu / count,
            f"{name}_our_cpu_ms_beyond_the_client": 1000 * (cost.cpu - bare_cpu) / cost.rollouts,
            f"{name}_disk_kb_per_rollout": cost.disk / cost.rollouts / 1024,
        }
    return found


async def _instant(components: Mapping[str, str], data: Mapping[str, Any]) -> Answer:
    return Answer(reward(components, data))


def scale(accepted: int = 200, validation: int = 500) -> Figures:
    """In process, instant evaluator: CPU for 200 accepted candidates with 500 validation examples each.

    gepa has run_dir and cache. Beside it lanes (`async`), five times as many steps: few heads are validated.
    """
    splits = Splits(examples(Split.REFLECT, 30, 1_000), examples(Split.PARETO, validation))
    settings, seed = GepaSettings.classic(), Candidate({"text": START})
    asked, asked_async = Stamped(), Stamped()
    job = job_of(splits, settings, None, IN_FLIGHT, seed, steps=accepted)
    ours = carry(job, FunctionExecutor(_instant), asked)
    assert ours.members == accepted + 1, f"{ours.members} candidates"
    cpu = ours.cpu - sum(asked.yard)
    found = {"ours_cpu_seconds": cpu, "ours_rollouts": float(ours.rollouts), **asked.growth(10)}
    lanes = replace(settings, pipeline=Pipeline(lanes=8))
    steps = 5 * accepted
    beside = carry(
        job_of(splits, lanes, None, IN_FLIGHT, seed, steps=steps), FunctionExecutor(_instant), asked_async
    )
    found |= {
        "async_cpu_seconds": beside.cpu - sum(asked_async.yard),
        "async_rollouts": float(beside.rollouts),
        **{f"async_{name}": value for name, value in asked_async.growth(steps // 20).items()},
    }
    if find_spec("gepa"):
        theirs = gepa_seconds(accepted, validation)
        found |= {"gepa_cpu_seconds": theirs, "gepa_to_ours": theirs / cpu}
    return found


def memory(rollouts: int = 100_000) -> Figures:
    """Resident memory over 100,000 rollouts, in process, a kilobyte of feedback each: quarter by quarter."""
    done, marks = 0, list[float]()

    async def score(components: Mapping[str, str], data: Mapping[str, Any]) -> Answer:
        nonlocal done
        done += 1
        if done % (rollouts // 4) == 0:
            marks.append(_resident() / 1024)
        return Answer(reward(components, data), input=f"Question {data['seed']}", feedback=f"{done:<1000}")

    splits = Splits(examples(Split.REFLECT, 50, 1_000), examples(Split.PARETO, 500))
    rest = 1_000  # no step begins that does not fit
    job = job_of(splits, GepaSettings.classic(), rollouts + rest, IN_FLIGHT, Candidate({"text": START}))
    carry(job, FunctionExecutor(score), Stamped())
    return {
        **{f"megabytes_after_quarter_{number}": mark for number, mark in enumerate(marks, 1)},
        "growth_of_the_last_quarter": marks[3] / marks[2] - 1,
    }


def _resident() -> int:
    """Resident kilobytes of this process."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


PARTS = {"small": small, "client": client, "scale": scale, "memory": memory}


def _measured(name: str, repeat: int) -> dict[str, Any]:
    """The part so many times, each in a process of its own, printed; every run and the medians."""
    runs = []
    for _ in range(repeat):
        with ProcessPoolExecutor(1, get_context("spawn"), rare_collections) as process:
            runs.append(process.submit(PARTS[name]).result())
    medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    print(f"{name}: {(PARTS[name].__doc__ or '').splitlines()[0]} Median of {repeat}.")
    for key, value in medians.items():
        print(f"  {key.replace('_', ' '):45} {value:10.3f}")
    return {"medians": medians, "runs": runs}


def _walls(landscape: str, modes: str, worlds: int) -> dict[str, Any]:
    """The part `wall` on so many worlds."""
    timed: list[wall.Timed] = []
    for seed in range(worlds):
        for run in wall.Course(landscape, seed).runs(filter(None, modes.split(","))):
            timed.append(run)
            told = f"world {seed}, {run.name}, {run.in_flight} in flight"
            print(f"{told}: {run.wall:.1f} s, validation {run.validation:.3f}", file=sys.stderr)
    rows = wall.medians(timed)
    print(f"wall: {Path(landscape).stem}, rollouts that sleep. Medians of {worlds} worlds.\n")
    print(wall.table(rows))
    return {"landscape": landscape, "medians": rows, "runs": [asdict(run) for run in timed]}


def main() -> None:
    rare_collections()  # as the command line does, here and in the processes of the parts
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", help=", ".join([*PARTS, "wall"]))
    parser.add_argument("--repeat", type=int, help="3, for `wall` 5")
    parser.add_argument("--landscape", default="rules", help="of `wall`: a name, or a Python file")
    parser.add_argument("--ours", default="default", help="of `wall`: modes of benchmarks/ours.py")
    asked = parser.parse_args()
    kept = ROOT / "benchmarks" / "results" / "speed.json"
    results: dict[str, Any] = json.loads(kept.read_text()) if kept.is_file() else {}
    for name in asked.parts or PARTS:
        if name == "wall":
            results[name] = _walls(asked.landscape, asked.ours, asked.repeat or 5)
        else:
            results[name] = _measured(name, asked.repeat or 3)
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
