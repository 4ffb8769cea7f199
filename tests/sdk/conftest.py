"""A fake server, a clock that jumps, and every method played both ways."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from paretune.sdk import Connection
from support.far_server import FarServer, far_server
from support.twins import API_KEY, TASK_KEY, FakeTime, Twin


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Iterator[FarServer]:
    """With the environment of a script that was written for it."""
    with far_server() as server:
        for name in ("PARETUNE_URL", "BACKEND_BASE_URL", "TASK_APP_URL", "ENVIRONMENT_API_KEY_ALIASES"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("SYNTH_BACKEND_URL", server.url)
        monkeypatch.setenv("SYNTH_API_KEY", API_KEY)
        monkeypatch.setenv("ENVIRONMENT_API_KEY", TASK_KEY)
        yield server


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def connection(time: FakeTime) -> Connection:
    return Connection(now=lambda: time.now, sleep=time.sleep, sleep_async=time.sleep_async)


@pytest.fixture(params=["", "_async"], ids=["blocking", "asyncio"])
def play(request: pytest.FixtureRequest) -> Twin:
    return Twin(request.param)


@pytest.fixture
def file(far: FarServer, tmp_path: Path) -> Path:
    """The seed's example, shortened, with the fake as its task app."""
    path = tmp_path / "job.toml"
    path.write_text(
        f"""
[prompt_learning]
algorithm = "gepa"
task_app_url = "{far.task_url}"
task_app_api_key = "$ENVIRONMENT_API_KEY"

[prompt_learning.gepa.rollout]
budget = 100
max_concurrent = 20
""",
        "utf-8",
    )
    return path
