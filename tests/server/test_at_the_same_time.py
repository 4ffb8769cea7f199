"""Wishes that cross each other, and what must not leave a job running for ever."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from paretune.engine.workspace import Workspace
from paretune.server.app import Settings, opened
from paretune.server.service import Conflict, Service
from paretune.server.teller import Bells, Teller
from paretune.server.workers import Workers
from paretune.store import Run, SqlJobs, StoredJob, Wish
from paretune.store.jobs import JobState

ID = "pl_0123456789abcdef"


def stored(state: JobState, wish: Wish = "") -> StoredJob:
    document = {"prompt_learning": {"algorithm": "gepa"}}
    at = "2026-01-01T00:00:00.000+00:00"
    return StoredJob(ID, "x", at, document, {}, "run_1", "gepa", state, wish=wish)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(str(tmp_path / "s.sqlite"), new=True) as made:
        yield made


@pytest.fixture
def service(workspace: Workspace) -> Iterator[Service]:
    """Nobody works behind it."""
    with opened(workspace, Settings()) as (_, made):
        yield made


def test_who_pauses_takes_no_cancel_back(service: Service) -> None:
    service.jobs.create(stored("running", wish="cancel"))
    with pytest.raises(Conflict, match="being cancelled"):
        asyncio.run(service.pause(ID))
    assert service.jobs.job(ID).wish == "cancel"


def test_the_run_of_a_cancelled_job_is_cancelled_whoever_cancels_it(service: Service) -> None:
    service.workspace.store.create_run(Run("run_1", "x", "2026-01-01", {}))
    service.jobs.create(stored("running", wish="cancel"), secrets={"KEY": "sealed"})
    asyncio.run(service.teller.ended(service.jobs.job(ID), "cancelled", "its process was killed"))
    assert service.jobs.job(ID).state == service.workspace.store.run("run_1").status == "cancelled"
    assert service.jobs.secrets(ID) == {}


def test_a_bell_is_kept_for_as_long_as_somebody_waits() -> None:
    bells = Bells()
    first, second = bells.bell("a"), bells.bell("a")
    assert first is second
    bells.ring("a")
    assert first.is_set()
    other = bells.bell("b")
    del other
    gc.collect()
    assert not bells._rung


class _Broken:
    def of(self, job: StoredJob) -> Mapping[str, str]:
        raise ZeroDivisionError


def test_a_mistake_of_the_server_ends_the_job_rather_than_leaving_it(workspace: Workspace) -> None:
    async def serve(jobs: SqlJobs) -> None:
        teller, over = Teller(jobs, workspace), asyncio.Event()

        async def ended(job: StoredJob, status: str, detail: str) -> None:
            await teller.ended(job, status, detail)
            over.set()

        running = asyncio.create_task(Workers(jobs, workspace, _Broken(), ended).run())
        async with asyncio.timeout(10):
            await over.wait()
        running.cancel()
        await teller.close()

    with closing(SqlJobs(workspace.address)) as jobs:
        jobs.create(stored("running"))
        asyncio.run(serve(jobs))
        assert (jobs.job(ID).state, jobs.job(ID).detail) == (
            "failed",
            "a mistake of the server (ZeroDivisionError); its log says more",
        )
