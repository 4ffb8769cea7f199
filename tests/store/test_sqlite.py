"""The file: durable, shared by processes, private, and plain about what is wrong with it."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from paretune.store import Run, SqlStore, StoreError, UnknownRun, chain
from paretune.store.databases import SqliteFile
from paretune.store.schema import SCHEMA_VERSION

WRITER = """
import sys
from paretune.store import Draw, Fact, Run, SqlStore, StoreError, StoredDecision, chain

path, run, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = SqlStore(path)
store.create_run(Run(run, "", "", {}))
link = run
for n in range(count):
    body = {"n": n, "text": "x" * 500}
    link = chain(link, f"step/{n}", body)
    facts = [Fact(f"{who}/{n}", "rollout", body, paid_by=run) for who in (run, "shared")]
    draws = [Draw(fact.key) for fact in facts]
    try:
        store.commit(run, [*facts, *draws, StoredDecision(n, f"step/{n}", body, link)])
    except StoreError as error:
        print(error, flush=True)
        break
    print(n, flush=True)
"""


def start(*arguments: object, program: str = WRITER) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def check_whole(path: Path, run: str, at_least: int) -> None:
    """All that was acknowledged is there, and no group in parts."""
    store = SqlStore(path)
    log = store.decisions(run)
    assert len(log) >= at_least
    link = run
    for seq, decision in enumerate(log):
        link = chain(link, decision.key, decision.body)
        assert (decision.seq, decision.chain) == (seq, link)
    keys = {f"{who}/{n}" for who in (run, "shared") for n in range(len(log))}
    assert set(store.drawn(run)) == keys
    assert store.facts(sorted(keys)).keys() == keys
    store.close()


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "workspace.sqlite"
    with start(path, "run_1", 1_000_000) as writer:
        assert writer.stdout
        said = [writer.stdout.readline() for _ in range(200)]
        writer.kill()
        said += writer.stdout.readlines()

    whole_lines = [line for line in said if line.endswith("\n")]
    check_whole(path, "run_1", at_least=len(whole_lines))


def test_processes_make_and_share_one_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "workspace.sqlite"
    writers = [start(path, f"run_{n}", 60) for n in range(3)]
    said = [writer.communicate()[0].split() for writer in writers]

    assert said == [[str(n) for n in range(60)]] * 3
    for n in range(3):
        check_whole(path, f"run_{n}", at_least=60)


OPENER = """
import sys
from paretune.store import SqlStore

print("ready", flush=True)
for name in sys.stdin:
    SqlStore(name.strip()).close()
    print("made", flush=True)
"""


def test_processes_that_make_the_same_file_at_once_all_succeed(tmp_path: Path) -> None:
    openers = [start(program=OPENER) for _ in range(4)]
    answers = [answer for opener in openers if (answer := opener.stdout)]
    hands = [hand for opener in openers if (hand := opener.stdin)]
    assert [answer.readline() for answer in answers] == ["ready\n"] * 4
    for n in range(30):
        for hand in hands:
            print(tmp_path / f"{n}.sqlite", file=hand, flush=True)
        assert [answer.readline() for answer in answers] == ["made\n"] * 4
    for opener in openers:
        opener.communicate()


def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "workspace.sqlite"
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))\n"
    with start(path, "run_1", 10_000, program=limit + WRITER) as writer:
        assert writer.stdout
        *acknowledged, error = writer.stdout.read().splitlines()

    assert str(path) in error
    assert "disk" in error
    assert "resume" in error
    assert len(acknowledged) > 10
    check_whole(path, "run_1", at_least=len(acknowledged))


def test_every_commit_is_flushed_and_the_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "workspace.sqlite"
    store = SqlStore(path)
    store.create_run(Run("run_1", "", "", {}))

    assert {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == dict.fromkeys(
        ["workspace.sqlite", "workspace.sqlite-wal", "workspace.sqlite-shm"], 0o600
    )
    connection = SqliteFile(path).connect()
    pragmas = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    asked = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas]
    assert asked == ["wal", 2, 1, 30_000]
    connection.close()
    store.close()
    assert os.listdir(tmp_path) == ["workspace.sqlite"]
    with pytest.raises(StoreError, match="closed"):
        store.runs()


def test_a_locked_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "workspace.sqlite"
    store = SqlStore(path, patience=0.05)
    store.create_run(Run("run_1", "", "", {}))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    assert store.run("run_1").wish == ""
    with pytest.raises(StoreError, match=r"workspace\.sqlite: locked by another process"):
        store.wish("run_1", "pause")
    other.close()
    store.wish("run_1", "pause")
    store.close()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but longer than the header of one would be " * 9)
    before = path.read_bytes()

    with pytest.raises(StoreError, match=r"notes\.txt: not a store, or damaged"):
        SqlStore(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "table", ["CREATE TABLE users (id)", "CREATE VIEW meta AS SELECT 1 AS schema_version"]
)
def test_the_database_of_another_program_is_refused_and_left_alone(tmp_path: Path, table: str) -> None:
    path = tmp_path / "other.sqlite"
    connection = sqlite3.connect(path)
    connection.execute(table)
    connection.commit()

    with pytest.raises(StoreError, match=r"other\.sqlite: not a store"):
        SqlStore(path)
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (1,)
    connection.close()


def test_a_store_that_brings_code_of_its_own_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "workspace.sqlite"
    SqlStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM facts; END")
    connection.commit()
    connection.close()

    with pytest.raises(StoreError, match="not a store: it has a view or trigger 't'"):
        SqlStore(path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "workspace.sqlite"
    store = SqlStore(path)
    for n in range(50):
        store.create_run(Run(f"run_{n}", "x" * 1000, "", {}))
    store.close()
    pages = path.read_bytes()
    path.write_bytes(pages[:4096] + b"\xff" * (len(pages) - 4096))

    with pytest.raises(StoreError, match=r"workspace\.sqlite: damaged; restore it"):
        SqlStore(path).runs()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "workspace.sqlite"
    SqlStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET schema_version = ?", (SCHEMA_VERSION + 1,))
    connection.close()

    with pytest.raises(StoreError, match=r"workspace\.sqlite: written by a newer paretune .*upgrade"):
        SqlStore(path)


def test_a_store_can_be_read_where_nothing_may_be_written(tmp_path: Path) -> None:
    path = tmp_path / "workspace.sqlite"
    store = SqlStore(path)
    store.create_run(Run("run_1", "", "", {}))
    store.close()

    reader = SqlStore(path, read_only=True)
    assert reader.run("run_1").id == "run_1"
    with pytest.raises(StoreError, match="opened for reading only"):
        reader.wish("run_1", "pause")
    with pytest.raises(UnknownRun):
        reader.run("run_2")
    assert os.listdir(tmp_path) == ["workspace.sqlite"]
    reader.close()


def test_a_place_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file/workspace\.sqlite"):
        SqlStore(tmp_path / "file" / "workspace.sqlite")
    with pytest.raises(StoreError, match="PostgreSQL"):
        SqlStore("mysql://somewhere")
