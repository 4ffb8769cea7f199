"""A PostgreSQL store: claims of runs, its use from the command line, and passwords that are not told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from paretune.core.errors import ParetuneError
from paretune.engine.lock import Busy
from paretune.engine.workspace import Workspace
from paretune.store import Run, SqlStore, StatusSet, Store
from support.programs import paretune

SECRET = "s3cret-canary"


@pytest.mark.database
def test_a_run_is_worked_on_by_one_process_wherever_its_folder_is(postgres_url: str, tmp_path: Path) -> None:
    here, there = (Workspace(SqlStore(postgres_url), tmp_path / name, postgres_url) for name in "ab")
    with here, there:
        with here.exclusive("run_1"):
            assert there.at_work("run_1")
            assert not there.at_work("run_2")
            with pytest.raises(Busy, match="another process is working on run_1"), there.exclusive("run_1"):
                pass
        assert not there.at_work("run_1")
        with there.exclusive("run_1"):
            assert here.at_work("run_1")


@pytest.mark.database
def test_the_command_line_takes_an_address_and_never_tells_its_password(
    postgres_url: str, fill: Callable[[Store, str], Run], tmp_path: Path
) -> None:
    address = postgres_url.replace("postgres@", f"postgres:{SECRET}@")
    assert SECRET in address
    store = SqlStore(address)
    fill(store, "run_1")
    told = []

    def called(*arguments: str, to: str = address, code: int = 0) -> str:
        done = paretune(*arguments, "--store", to, cwd=tmp_path)
        assert done.returncode == code, done.stderr
        told.append(done.stdout + done.stderr)
        return done.stdout

    assert [run["status"] for run in json.loads(called("runs", "--json"))] == ["interrupted"]
    with store.claim("run_1"):
        assert "asked run_1 to pause" in called("pause", "run_1")
    assert store.run("run_1").wish == "pause"
    store.commit("run_1", [StatusSet("succeeded")])
    called("pause", "run_1", code=2)
    called("runs", to=address.replace("/postgres?", "/nothing?"), code=1)
    store.close()
    assert not [words for words in told if SECRET in words]


@pytest.mark.parametrize(
    "address",
    [
        f"mysql://u:{SECRET}@host/db",
        f"postgresql:/u:{SECRET}@host/db",
        f"postgresql://u:x@host:{SECRET}/db",
        f"postgresql://u@127.0.0.1:1/db?password={SECRET}",
        f"postgresql://u:{SECRET}@127.0.0.1:1/db",
        f"postgresql+none://u:{SECRET}@127.0.0.1/db",
    ],
)
def test_an_address_that_is_of_no_use_is_an_error_without_its_password(address: str) -> None:
    with pytest.raises(ParetuneError, match=r"postgres|PostgreSQL") as caught:
        Workspace.open(address)
    assert SECRET not in str(caught.value)
