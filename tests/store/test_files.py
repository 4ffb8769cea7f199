"""Exports: one run, whole and alone, that any store can take in."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from paretune.store import (
    WORKSPACE,
    Draw,
    Fact,
    MemoryStore,
    Run,
    SqlStore,
    Store,
    StoreError,
    UnknownRun,
    export_run,
    import_run,
    open_store,
)

Fill = Callable[[Store, str], Run]


def everything(store: Store, run_id: str) -> list[object]:
    drawn = store.drawn(run_id)
    return [
        store.run(run_id),
        drawn,
        store.facts(drawn, run_id),
        store.decisions(run_id),
        store.attempts(run_id),
    ]


def rows(folder: Path, table: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(folder / WORKSPACE)
    try:
        return connection.execute(f"SELECT * FROM {table}").fetchall()
    finally:
        connection.close()


def change(folder: Path, statement: str) -> None:
    connection = sqlite3.connect(folder / WORKSPACE)
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_run_goes_out_and_comes_in_unchanged(store: Store, fill: Fill, tmp_path: Path) -> None:
    fill(store, "run_1")
    fill(store, "run_2")
    target = MemoryStore()
    fill(target, "run_3")

    folder = export_run(store, "run_2", tmp_path / "out" / "run_2")
    before = (folder / WORKSPACE).read_bytes()
    assert import_run(folder, target) == "run_2"

    assert everything(target, "run_2") == everything(store, "run_2")
    assert everything(target, "run_3") == everything(filled(fill, "run_3"), "run_3")
    assert os.listdir(folder) == [WORKSPACE]
    assert (folder / WORKSPACE).read_bytes() == before
    assert before[18:20] == b"\x01\x01"  # SQLite's mark of a file that needs no log beside it
    assert (folder / WORKSPACE).stat().st_mode & 0o777 == 0o600


def filled(fill: Fill, run_id: str) -> Store:
    store = MemoryStore()
    fill(store, run_id)
    return store


def test_an_export_holds_that_run_alone_and_opens_as_a_store(fill: Fill, tmp_path: Path) -> None:
    store = filled(fill, "run_1")
    fill(store, "run_2")
    store.commit("run_2", [Draw("r_run_1")])  # found in the cache: another run paid for it
    folder = export_run(store, "run_2", tmp_path)
    (folder / "report.md").write_text("for people")

    assert {row[1] for row in rows(folder, "facts")} == {"r_run_1", "r_run_2", "f_run_2"}
    tables = ("runs", "draws", "decisions", "attempts", "meta")
    assert [len(rows(folder, table)) for table in tables] == [1, 3, 2, 4, 1]
    opened = open_store(folder)
    assert everything(opened, "run_2") == everything(store, "run_2")
    opened.commit("run_2", [Draw("k")])
    opened.close()
    assert import_run(folder, MemoryStore()) == "run_2"


def test_nothing_is_overwritten(fill: Fill, tmp_path: Path) -> None:
    store = filled(fill, "run_1")
    folder = export_run(store, "run_1", tmp_path)
    with pytest.raises(StoreError, match="exists already"):
        export_run(store, "run_1", folder)
    with pytest.raises(StoreError, match="run_1 exists already"):
        import_run(folder, store)
    with pytest.raises(UnknownRun):
        export_run(store, "run_9", tmp_path / "other")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="name a folder"):
        export_run(store, "run_1", tmp_path / "file")

    assert sorted(os.listdir(tmp_path)) == ["file", WORKSPACE]


def test_symbolic_links_are_not_followed(fill: Fill, tmp_path: Path) -> None:
    store = filled(fill, "run_1")
    real = export_run(store, "run_1", tmp_path / "real")
    (tmp_path / "linked").symlink_to(real)
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / WORKSPACE).symlink_to(tmp_path / "elsewhere")

    for folder in (tmp_path / "linked", tmp_path / "inside"):
        with pytest.raises(StoreError, match="symbolic link"):
            export_run(store, "run_1", folder)
        with pytest.raises(StoreError, match="symbolic link"):
            import_run(folder, MemoryStore())
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE decisions SET body = '{}' WHERE seq = 1", "decision 1 was changed"),
        ("DELETE FROM decisions WHERE seq = 0", "decision 1 was changed"),
        ("UPDATE runs SET id = '../../home'", "run id"),
        ("UPDATE runs SET job = '{'", "damaged"),
        ("INSERT INTO runs SELECT 'run_2', name, created_at, job, status, '', '' FROM runs", "holds 2 runs"),
        ("DROP TABLE facts", "not a store"),
    ],
)
def test_an_export_that_was_tampered_with_is_refused(
    fill: Fill, tmp_path: Path, statement: str, problem: str
) -> None:
    folder = export_run(filled(fill, "run_1"), "run_1", tmp_path)
    change(folder, statement)
    target = MemoryStore()

    with pytest.raises(StoreError, match=problem):
        import_run(folder, target)
    assert target.runs() == []


def test_a_run_whose_id_is_a_path_is_not_read(fill: Fill, tmp_path: Path) -> None:
    folder = export_run(filled(fill, "run_1"), "run_1", tmp_path)
    change(folder, "UPDATE runs SET id = '../../home'")
    opened = open_store(folder)

    for read in (opened.runs, lambda: opened.run("../../home")):
        with pytest.raises(StoreError, match="run id"):
            read()
    opened.close()


def test_an_imported_run_keeps_the_results_it_decided_upon(fill: Fill, tmp_path: Path) -> None:
    source, target = filled(fill, "run_1"), filled(fill, "run_2")
    other = Fact("r_run_1", "rollout", {"reward": 0.9}, paid_by="run_2")
    target.commit("run_2", [other])

    import_run(export_run(source, "run_1", tmp_path), target)

    assert target.facts(["r_run_1"], "run_1")["r_run_1"].body == source.facts(["r_run_1"])["r_run_1"].body
    assert target.facts(["r_run_1"], "run_2") == {"r_run_1": other}


def test_an_import_that_broke_off_can_be_repeated(fill: Fill, tmp_path: Path) -> None:
    source, target = filled(fill, "run_1"), MemoryStore()
    target.create_run(source.run("run_1"))

    import_run(export_run(source, "run_1", tmp_path), target)

    assert everything(target, "run_1") == everything(source, "run_1")


def test_a_store_is_opened_by_default_by_file_by_folder_or_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for place in (None, tmp_path / "some.sqlite", ".paretune", Path(":memory:")):
        store = open_store(place)
        assert isinstance(store, MemoryStore if str(place) == ":memory:" else SqlStore)
        store.close()

    assert sorted(os.listdir(tmp_path)) == [".paretune", "some.sqlite"]
    assert os.listdir(".paretune") == [WORKSPACE]
    with pytest.raises(StoreError, match="a folder without"):
        open_store(tmp_path)
    with pytest.raises(StoreError, match="holds no"):
        import_run(tmp_path, MemoryStore())
