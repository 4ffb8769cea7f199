"""Stores of every kind, and a run that has one of everything."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from paretune.store import (
    AttemptBegun,
    AttemptEnded,
    Draw,
    Fact,
    MemoryStore,
    Run,
    SqlStore,
    StatusSet,
    Store,
    StoredDecision,
    chain,
)
from support.postgres import postgres_server

POSTGRES = "PARETUNE_TEST_POSTGRES"


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.database)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "postgres":
        place: str | Path = request.getfixturevalue("postgres_url")
    else:
        place = tmp_path / "workspace.sqlite"
    # No patience: the writers of one process wait for each other, whatever the database makes of it.
    made = MemoryStore() if request.param == "memory" else SqlStore(place, patience=0.0)
    yield made
    made.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.database)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where a store can be made that several open."""
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres_url")
        return url
    return tmp_path / "workspace.sqlite"


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The server that the environment names, or else one that is there while the tests run."""
    with nullcontext(os.environ[POSTGRES]) if os.environ.get(POSTGRES) else postgres_server() as url:
        yield url


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """A schema of its own."""
    import psycopg

    schema = f"test_{secrets.token_hex(4)}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        yield f"{postgres}{'&' if '?' in postgres else '?'}options=-csearch_path%3D{schema}"
        connection.execute(f"DROP SCHEMA {schema} CASCADE")


@pytest.fixture
def fill() -> Callable[[Store, str], Run]:
    """Adds a run with facts of its own and of others, decisions, and attempts that ended in every way."""
    return _fill


def _fill(store: Store, run_id: str) -> Run:
    store.create_run(
        Run(run_id, "sort mail", "2025-01-01T00:00:00Z", {"seed": 3, "model": "m\u00e9\U0001f600"})
    )
    body = {"kind": "run_started", "version": 1, "means": {"c_1": 0.1 + 0.2}, "none": None}
    first = chain(run_id, "start", body)
    store.commit(
        run_id,
        [
            Fact(
                f"r_{run_id}", "rollout", {"reward": 1 / 3, "output": "\ud800 \x00"}, "", run_id, 0.25, "t1"
            ),
            Fact(f"f_{run_id}", "failure", {"failure": "timeout", "after": 1}, run_id, run_id, 2.0, "t2"),
            Draw(f"r_{run_id}"),
            Draw(f"f_{run_id}"),
            StoredDecision(0, "start", body, first, 0.5, "t3"),
            StoredDecision(1, "step/1", {"b": [1, 2.5]}, chain(first, "step/1", {"b": [1, 2.5]}), 1.5, "t4"),
            *(AttemptBegun(f"a_{n}", f"r_{run_id}", "rollout", n, 0.01 * n, "t5") for n in range(4)),
            AttemptEnded("a_2", "lost", at="t6"),
            AttemptEnded("a_0", "failed", "rate_limited", "slow down", seconds=0.1, at="t7"),
            AttemptEnded("a_3", "done", "", "", 10, 20, 0.004, 0.2, "t8"),
            StatusSet("running", "step 1"),
        ],
    )
    store.wish(run_id, "pause")
    return store.run(run_id)
