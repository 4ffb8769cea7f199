"""A model that plays a script, and a task that takes its time, for servers in processes of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.chat_server import chat_server
from support.foreign_jobs import reflective
from support.paced_task import PacedTask, paced_task
from support.programs import KEY

MODEL_KEY = "sk-canary-of-the-proposer"


@pytest.fixture(scope="module")
def model() -> Iterator[dict[str, str]]:
    """The variables that tell a server where the proposer's model is."""
    with chat_server(reflective, key=MODEL_KEY) as url:
        yield {"PARETUNE_PROPOSER_BASE_URL": url, "PARETUNE_PROPOSER_API_KEY": MODEL_KEY}


@pytest.fixture
def task() -> Iterator[PacedTask]:
    """A rollout takes 20 ms."""
    with paced_task(0.02, key=KEY) as served:
        yield served
