"""Runs that the project makes for its console, once a session; and a browser, once a module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from support.browser import chromium
from support.chat_server import chat_server
from support.foreign_jobs import reflective
from support.hostile import HostileRun, hostile_run
from support.paced_task import PacedTask, paced_task
from support.programs import KEY
from support.served import Server, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileRun]:
    with hostile_run(tmp_path_factory.mktemp("hostile")) as run:
        yield run


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
