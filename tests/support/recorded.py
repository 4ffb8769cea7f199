"""Runs recorded in process, and the jobs that they belong to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cache
from typing import Any

from paretune.server.wire.projection import Projection
from paretune.store import Run, StoredDecision
from paretune.store.jobs import JobEvent, StoredJob
from paretune.views.run_view import RunView, read
from support.runs import CASES, carry

DOCUMENT = {"prompt_learning": {"algorithm": "gepa", "initial_prompt": {"id": "tickets", "name": "Tickets"}}}


def job_of(run_id: str = "", **changes: Any) -> StoredJob:
    given = {"metadata": {"team": "blue"}, "system": {"id": "sys_1", "name": "tickets"}}
    fields: dict[str, Any] = {"document": DOCUMENT, "given": given, "run_id": run_id, "algorithm": "gepa"}
    created = "2026-01-02T03:04:05.678+00:00"
    return StoredJob("pl_0123456789abcdef", "tickets", created, **{**fields, **changes})


@dataclass(frozen=True)
class Recorded:
    """A run at its end."""

    run: Run
    log: tuple[StoredDecision, ...]
    view: RunView
    job: StoredJob

    def told(self) -> tuple[Projection, list[JobEvent]]:
        """Told from beginning to end."""
        fold = Projection(self.job, self.run.job)
        events = fold.begin()
        for stored in self.log:
            events += fold.after(stored)
        return fold, events + fold.ended("succeeded", "", self.view)


@cache
def record(name: str) -> Recorded:
    done = asyncio.run(carry(CASES[name](3)))
    run = done.store.run(done.run_id)
    view = read(done.store, done.run_id)
    job = job_of(done.run_id, algorithm=run.job.get("algorithm", "gepa"))
    return Recorded(run, tuple(done.store.decisions(done.run_id)), view, job)
