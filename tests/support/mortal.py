"""`python -m support.mortal STORE RUN URL CASE SEED PLAN...`: carries a run, and may kill itself on the way.

Plans: `live` (to the end), `fact N` (SIGKILL just before the N-th commit of this process that holds a
fact), `full N` (SIGKILL at the N-th result that arrives within a full evaluation, before its commit or, for
an even N, after it). Prints `ready` when the run begins.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from paretune.container.client import ContainerClient
from paretune.core.budget import Limits
from paretune.core.events import LaneResumed
from paretune.engine.job import Job
from paretune.engine.run import Runner
from paretune.evaluate.evaluator import QueueSettings
from paretune.evaluate.executors import ContainerExecutor
from paretune.store import Fact, SqlStore, StoredDecision, Write
from support.runs import CASES, Case, stands_still

BUDGET = 260


def case(name: str, seed: int) -> Case:
    """Short enough to be killed fifty times: about a second of rollouts."""
    limits, queue = Limits(rollouts=BUDGET), QueueSettings(concurrency=6)
    return replace(CASES[name](seed), limits=limits, queue=queue)


def tasks(job: Job) -> Job:
    """The same job for a container: examples travel as rows of a task set."""
    for example in job.splits.all():
        row = dict(example.data)
        object.__setattr__(example, "data", {"task": row, "task_id": example.id})
    return job


def full_evaluation_follows(body: Mapping[str, Any]) -> bool:
    """Whether this decision is the last one before a full evaluation."""
    return body["kind"] in ("run_started", "validation_started") or body.get("passed") is True


@dataclass(slots=True)
class Plan:
    """When to die. `within` is told the last decision, because only some moments count."""

    kind: str
    number: int = 0
    seen: int = 0
    inside: bool = False

    def before(self, writes: Sequence[Write]) -> bool:
        """True if the process dies now, instead of committing these."""
        facts = any(isinstance(write, Fact) for write in writes)
        rollouts = [write for write in writes if isinstance(write, Fact) and write.kind == "rollout"]
        if self.kind == "fact" and facts:
            self.seen += 1
            return self.seen == self.number
        if self.kind == "full" and self.inside and rollouts:
            self.seen += 1
            return self.seen == self.number and bool(self.number % 2)
        return False

    def after(self, writes: Sequence[Write]) -> bool:
        for write in writes:
            if isinstance(write, StoredDecision) and write.body["kind"] != LaneResumed.kind:
                self.inside = full_evaluation_follows(write.body)
        return self.kind == "full" and self.inside and self.seen == self.number


class MortalStore(SqlStore):
    """A store whose process may die around a commit."""

    def __init__(self, place: Path, run_id: str, plan: Plan) -> None:
        super().__init__(place)
        self.plan = plan
        plan.after(self.decisions(run_id))

    def commit(self, run_id: str, writes: Sequence[Write]) -> frozenset[str]:
        if self.plan.before(writes):
            os.kill(os.getpid(), signal.SIGKILL)
        others = super().commit(run_id, writes)
        if self.plan.after(writes):
            os.kill(os.getpid(), signal.SIGKILL)
        return others


async def main(place: str, run_id: str, url: str, chosen: Case, plan: Plan) -> None:
    store = MortalStore(Path(place), run_id, plan)
    async with ContainerClient(url) as client:
        job, executor = tasks(chosen.job()), ContainerExecutor(client)
        runner = Runner(store, run_id, job, executor, chosen.proposer(), clock=stands_still)
        print("ready", flush=True)
        await runner.run()
    store.close()


if __name__ == "__main__":
    _, place, run_id, url, name, seed, kind, *number = sys.argv
    plan = Plan(kind, int(number[0]) if number else 0)
    asyncio.run(main(place, run_id, url, case(name, int(seed)), plan))
