"""Runs that the project makes for its console, once a session; and a browser, once a module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from support.browser import chromium
from support.chat_server import chat_server
from support.foreign_jobs import reflective
from support.hostile import hostile_job, hostile_model, hostile_task
from support.paced_task import PacedTask, paced_task
from support.programs import KEY
from support.served import Server, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@dataclass(frozen=True)
class Hostile:
    """A server with one finished run, whose every text tries to be more than text."""

    server: Server
    job_id: str

    @property
    def run_id(self) -> str:
        with self.server.kept() as (_, jobs):
            return jobs.job(self.job_id).run_id


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    folder = tmp_path_factory.mktemp("hostile")
    with (
        hostile_task() as task,
        chat_server(hostile_model) as model,
        serving(folder, PARETUNE_PROPOSER_BASE_URL=model) as server,
    ):
        job_id = server.submit(hostile_job(task))
        server.until(job_id, "succeeded")
        yield Hostile(server, job_id)


@contextmanager
def _paced(factory: pytest.TempPathFactory, *arguments: str) -> Iterator[tuple[Server, PacedTask]]:
    with (
        paced_task(0.03, key=KEY) as task,
        chat_server(reflective) as model,
        serving(factory.mktemp("paced"), *arguments, PARETUNE_PROPOSER_BASE_URL=model) as server,
    ):
        yield server, task


@pytest.fixture(scope="session")
def paced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, PacedTask]]:
    """A server, one job at a time, and a task whose rollouts take 30 ms."""
    with _paced(tmp_path_factory, "--jobs", "1") as served:
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started
