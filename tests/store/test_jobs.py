"""What is kept of a server's jobs, in a file and in a database."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from paretune.core.errors import Misconfigured
from paretune.store import (
    JobEvent,
    JobFilter,
    Run,
    SqlJobs,
    SqlStore,
    Store,
    StoredJob,
    StoredKey,
    StoredSystem,
    StoreError,
    UnknownJob,
    UnknownKey,
    UnknownSystem,
    export_run,
    new_job_id,
    open_jobs,
)
from paretune.store.sql_jobs import EVENTS, LAST_SEQ, NEWEST_FIRST, OLDER, THE_JOB

ODD = "\x00 \ud800 ' OR 1=1"


@pytest.fixture
def jobs(place: Path | str) -> Iterator[SqlJobs]:
    made = SqlJobs(place)
    yield made
    made.close()


def job(number: int, **fields: Any) -> StoredJob:
    given = {"kind": "gepa_offline", "system": {"id": "sys_1", "name": "mail"}}
    document = {"prompt_learning": {"algorithm": "gepa", "seeds": [1, 2]}}
    created_at = f"2026-01-02T03:04:{number:02}.000+00:00"
    made = StoredJob(
        f"pl_{number:016x}", f"job {number}", created_at, document, given, f"run_{number}", "gepa"
    )
    return replace(made, **fields)


def event(message: str, **data: Any) -> JobEvent:
    return JobEvent(0, "2026-01-02T03:04:05.678+00:00", "prompt.learning.progress", message, data)


def listed(jobs: SqlJobs, size: int = 100, **filter: str) -> list[str]:
    names: list[str] = []
    cursor = ""
    while True:
        found, cursor = jobs.page(JobFilter(**filter), size, cursor)
        names += [each.name for each in found]
        if not cursor:
            return names


def test_a_job_comes_back_as_it_was_submitted(jobs: SqlJobs) -> None:
    whole = job(
        1,
        state="running",
        detail="why",
        wish="pause",
        started_at="a",
        ended_at="b",
        updated_at="c",
        parent="pl_0",
        standing={"best_score": 0.1 + 0.2, "generation": None},
        told=7,
    )
    jobs.create(whole)
    assert jobs.job(whole.id) == whole
    with pytest.raises(StoreError, match="exists already"):
        jobs.create(job(1))
    assert jobs.job(whole.id) == whole


def test_what_is_not_there_is_unknown(jobs: SqlJobs) -> None:
    for id in ("pl_0", "", ODD):
        for ask in (jobs.job, jobs.events, jobs.last_seq, jobs.change):
            with pytest.raises(UnknownJob, match="no job"):
                ask(id)
        with pytest.raises(UnknownJob):
            jobs.append(id, [event("lost")])
        with pytest.raises(UnknownKey, match="no key"):
            jobs.revoke_key(id)


def test_the_job_of_a_run_is_found(jobs: SqlJobs) -> None:
    jobs.create(job(1))
    jobs.create(job(2))
    found = jobs.of_run("run_2")
    assert found is not None
    assert found.id == job(2).id
    assert jobs.of_run("run_3") is None
    assert jobs.of_run(ODD) is None


def test_jobs_are_listed_without_their_documents(jobs: SqlJobs) -> None:
    jobs.create(job(2, state="failed", detail="no key"))
    jobs.create(job(1))
    first, second = jobs.headings()
    assert (first.id, first.run_id, first.state) == (job(1).id, "run_1", "queued")
    assert second == (job(2).id, "job 2", job(2).created_at, "run_2", "failed", "no key")


def test_text_that_no_database_takes_is_mended_where_people_read_it_and_kept_in_json(jobs: SqlJobs) -> None:
    jobs.create(job(1, name=ODD, document={"text": ODD}))
    jobs.append(job(1).id, [event(ODD, text=ODD)])
    (told,) = jobs.events(job(1).id)
    assert jobs.job(job(1).id).name == told.message == "\ufffd \ufffd ' OR 1=1"
    assert jobs.job(job(1).id).document["text"] == told.data["text"] == ODD


def test_pages_are_newest_first_and_jobs_that_are_added_move_nothing(jobs: SqlJobs) -> None:
    same_time = job(0).created_at
    for number in range(5):
        jobs.create(job(number, created_at=same_time))
    first, cursor = jobs.page(JobFilter(), 2)
    jobs.create(job(9))
    second, cursor = jobs.page(JobFilter(), 2, cursor)
    last, end = jobs.page(JobFilter(), 2, cursor)

    assert [each.name for each in first + second + last] == [f"job {n}" for n in (4, 3, 2, 1, 0)]
    assert end == ""
    assert listed(jobs, size=1) == listed(jobs) == [f"job {n}" for n in (9, 4, 3, 2, 1, 0)]
    assert jobs.page(JobFilter(), 6)[1] == ""


def test_a_page_lists_what_the_filter_asks_for(jobs: SqlJobs) -> None:
    jobs.create(job(1))
    jobs.create(job(2, state="running", given={"kind": "mipro", "system": {"name": "mail"}}))
    jobs.create(job(3, given={"system": "none", "kind": 3}))

    named = partial(listed, jobs)
    assert named(state="queued") == ["job 3", "job 1"]
    assert named(kind="gepa_offline") == ["job 1"]
    assert named(system_id="sys_1") == ["job 1"]
    assert named(system_name="mail") == ["job 2", "job 1"]
    assert named(system_name="mail", state="running") == ["job 2"]
    assert named(created_after="2026-01-02T03:04:01Z") == ["job 3", "job 2"]
    assert named(created_before="2026-01-02 05:04:02+02:00") == ["job 1"]
    assert named(created_before="2026-01-03") == ["job 3", "job 2", "job 1"]
    assert named(state=ODD) == []


@pytest.mark.parametrize(
    "cursor", ["x", "é", "====", "eA==", ODD, "MjAyNi0wMS0wMg==", "/w==", "_w==", "A" * 5000]
)
def test_a_cursor_that_no_page_gave_is_refused(jobs: SqlJobs, cursor: str) -> None:
    with pytest.raises(Misconfigured, match="cursor: "):
        jobs.page(JobFilter(), 10, cursor)


@pytest.mark.parametrize("time", ["yesterday", "0001-01-01T00:00:00+10:00", ODD, "1767323045"])
def test_a_time_that_is_none_is_refused(jobs: SqlJobs, time: str) -> None:
    with pytest.raises(Misconfigured, match="created_after: "):
        jobs.page(JobFilter(created_after=time), 10)


def test_a_change_is_made_only_in_the_states_it_is_for(jobs: SqlJobs) -> None:
    jobs.create(job(1))
    changed = jobs.change(job(1).id, only={"queued", "paused"}, state="running", standing={"phase": "start"})
    assert changed
    assert changed == jobs.job(job(1).id)
    assert changed == job(1, state="running", standing={"phase": "start"}, updated_at=changed.updated_at)
    assert changed.updated_at > "2026"

    assert jobs.change(job(1).id, only=["queued"], state="failed", detail="late") is None
    assert jobs.job(job(1).id) == changed
    asked = jobs.change(job(1).id, wish="cancel")
    assert asked
    assert (asked.state, asked.wish) == ("running", "cancel")
    with pytest.raises(TypeError, match="document"):
        jobs.change(job(1).id, document={})  # type: ignore[call-arg]


def test_of_those_who_claim_a_job_at_once_one_wins(jobs: SqlJobs, place: Path | str) -> None:
    others = [SqlJobs(place) for _ in range(3)]
    for number in range(5):
        jobs.create(job(number))
        start = threading.Barrier(4)

        def claim(place: SqlJobs, id: str = job(number).id, start: threading.Barrier = start) -> bool:
            start.wait(10)
            return place.change(id, only={"queued"}, state="running") is not None

        with ThreadPoolExecutor(4) as threads:
            assert sum(threads.map(claim, [jobs, *others])) == 1
    for other in others:
        other.close()


def test_jobs_in_a_state_come_oldest_first(jobs: SqlJobs) -> None:
    for number, state in ((3, "queued"), (1, "running"), (2, "queued"), (4, "failed")):
        jobs.create(job(number, state=state))
    assert [each.name for each in jobs.in_state("queued", "running")] == ["job 1", "job 2", "job 3"]
    assert jobs.in_state() == []


def test_events_count_from_one_in_each_job(jobs: SqlJobs) -> None:
    jobs.create(job(1))
    jobs.create(job(2))
    assert (jobs.last_seq(job(1).id), jobs.events(job(1).id)) == (0, [])
    assert jobs.append(job(1).id, [event("a", score=1.5), replace(event("b"), seq=40, level="error")]) == 2
    assert jobs.append(job(2).id, [event("x")]) == 1
    assert jobs.append(job(1).id, [event("c")]) == 3

    first, second, third = jobs.events(job(1).id)
    assert first == replace(event("a", score=1.5), seq=1)
    assert (second.seq, second.message, second.level, third.message) == (2, "b", "error", "c")
    assert jobs.events(job(1).id, since=2) == [third]
    assert jobs.events(job(1).id, since=-1, limit=1) == [first]
    assert jobs.events(job(1).id, since=2**80, limit=2**80) == []
    assert (jobs.last_seq(job(1).id), jobs.last_seq(job(2).id)) == (3, 1)


def test_what_is_told_and_how_the_job_stands_change_together_or_not_at_all(jobs: SqlJobs) -> None:
    jobs.create(job(1))
    assert jobs.append(job(1).id, [event("a")], told=4, standing={"best_score": 0.5}) == 1
    before = jobs.job(job(1).id)
    assert (before.told, before.standing) == (4, {"best_score": 0.5})
    with pytest.raises(StoreError, match="not JSON"):
        jobs.append(job(1).id, [event("b"), event("c", score=float("nan"))], told=5, standing={})
    assert jobs.job(job(1).id) == before
    assert jobs.append(job(1).id, []) == 1
    assert jobs.job(job(1).id).told == 4


def test_several_writers_leave_no_gap(jobs: SqlJobs, place: Path | str) -> None:
    jobs.create(job(1))
    others = [SqlJobs(place) for _ in range(2)]

    def write(place: SqlJobs) -> list[int]:
        return [place.append(job(1).id, [event("x"), event("y")]) for _ in range(10)]

    with ThreadPoolExecutor(6) as threads:
        ends = [seq for found in threads.map(write, [jobs, *others] * 2) for seq in found]
    assert sorted(ends) == list(range(2, 121, 2))
    assert [each.seq for each in jobs.events(job(1).id)] == list(range(1, 121))
    for other in others:
        other.close()


def test_secrets_belong_to_their_owner_and_can_be_forgotten(jobs: SqlJobs) -> None:
    jobs.keep_secret("", "KEY", "sealed 1")
    jobs.keep_secret("pl_1", "KEY", "sealed 2")
    jobs.keep_secret("pl_1", "OTHER", "sealed 3")
    jobs.keep_secret("pl_1", "KEY", "sealed 4")
    assert jobs.secrets("pl_1") == {"KEY": "sealed 4", "OTHER": "sealed 3"}
    jobs.create(job(1), secrets={"KEY": "sealed 5"})
    assert jobs.secrets(job(1).id) == {"KEY": "sealed 5"}
    jobs.append(job(1).id, [], state="failed")
    assert jobs.secrets(job(1).id) == {"KEY": "sealed 5"}
    jobs.append(job(1).id, [], forget_secrets=True, state="cancelled")
    assert [jobs.secrets(owner) for owner in (job(1).id, "")] == [{}, {"KEY": "sealed 1"}]
    assert jobs.secrets("pl_1") == {"KEY": "sealed 4", "OTHER": "sealed 3"}


def test_a_job_that_cannot_be_kept_leaves_nothing(jobs: SqlJobs) -> None:
    """Its row, its first events and its secrets are there together or not at all."""
    jobs.create(job(1), [event("created")], {"KEY": "sealed"})
    assert [told.seq for told in jobs.events(job(1).id)] == [1]
    with pytest.raises(StoreError, match="exists already"):
        jobs.create(job(1), [event("again")], {"OTHER": "sealed"})
    with pytest.raises(StoreError, match="not JSON"):
        jobs.create(job(2), [event("unkept", data=object())], {"KEY": "sealed"})
    with pytest.raises(UnknownJob):
        jobs.job(job(2).id)
    assert (jobs.secrets(job(2).id), jobs.secrets(job(1).id)) == ({}, {"KEY": "sealed"})
    assert jobs.last_seq(job(1).id) == 1


def test_keys_are_kept_when_they_are_revoked(jobs: SqlJobs) -> None:
    first, second = (StoredKey(f"key_{n}", "ci", f"digest {n}", "submit", f"2026-01-0{n}") for n in (1, 2))
    jobs.add_key(second)
    jobs.add_key(first)
    with pytest.raises(StoreError, match="exists already"):
        jobs.add_key(replace(first, id="key_3"))
    revoked = jobs.revoke_key("key_1")
    assert revoked == replace(first, revoked_at=revoked.revoked_at)
    assert jobs.revoke_key("key_1") == revoked
    assert jobs.keys() == [revoked, second]


@pytest.mark.parametrize("jobs_first", [True, False])
def test_jobs_and_runs_share_a_place_whichever_was_there_first(
    jobs_first: bool, place: Path | str, tmp_path: Path, fill: Callable[[Store, str], Run]
) -> None:
    first = (SqlJobs if jobs_first else SqlStore)(place)
    jobs, store = SqlJobs(place), SqlStore(place)
    first.close()
    jobs.create(job(1))
    run = fill(store, "run_1")
    assert (jobs.job(job(1).id), store.run("run_1")) == (job(1), run)

    export_run(store, "run_1", tmp_path / "packet")
    with sqlite3.connect(tmp_path / "packet" / "workspace.sqlite") as file:
        tables = {name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    file.close()
    assert tables == {"meta", "runs", "facts", "draws", "decisions", "attempts"}
    elsewhere = open_jobs(tmp_path / "packet")
    assert elsewhere.page(JobFilter(), 10) == ([], "")
    for each in (jobs, store, elsewhere):
        each.close()


def test_who_reads_does_not_wait_for_who_writes(tmp_path: Path) -> None:
    path = tmp_path / "workspace.sqlite"
    jobs = SqlJobs(path, patience=0.0)
    jobs.create(job(1))
    jobs.append(job(1).id, [event("a")])
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE jobs SET name = 'unseen'")

    assert jobs.job(job(1).id).name == "job 1"
    assert listed(jobs) == ["job 1"]
    assert jobs.last_seq(job(1).id) == 1
    with pytest.raises(StoreError, match="locked by another process"):
        jobs.change(job(1).id, state="running")
    writer.close()
    jobs.close()


@pytest.mark.parametrize(
    "statement",
    [
        f"{THE_JOB} WHERE id = ?",
        f"{THE_JOB} WHERE {OLDER}{NEWEST_FIRST} LIMIT ?",
        f"{THE_JOB} WHERE state IN (?) ORDER BY created_at, id",
        EVENTS,
        LAST_SEQ,
    ],
)
def test_nothing_that_is_often_asked_looks_through_a_table(tmp_path: Path, statement: str) -> None:
    SqlJobs(tmp_path / "workspace.sqlite").close()
    with sqlite3.connect(tmp_path / "workspace.sqlite") as file:
        values = [1] * statement.count("?")
        plan = [row[-1] for row in file.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    file.close()
    assert plan
    assert not [step for step in plan if "SCAN" in step or "TEMP B-TREE" in step]


def test_a_place_of_another_program_or_a_newer_one_is_refused(tmp_path: Path) -> None:
    other, newer = tmp_path / "other.sqlite", tmp_path / "newer.sqlite"
    for path, statement in (
        (other, "CREATE TABLE jobs (id)"),
        (newer, "UPDATE job_meta SET schema_version = 99"),
    ):
        if path == newer:
            SqlJobs(path).close()
        with sqlite3.connect(path) as file:
            file.execute(statement)
        file.close()
    for kind in (SqlJobs, SqlStore):
        with pytest.raises(StoreError, match=r"other\.sqlite: not a store"):
            kind(other)
    with pytest.raises(StoreError, match=r"newer\.sqlite: written by a newer paretune"):
        SqlJobs(newer)
    with pytest.raises(StoreError, match="not kept in memory"):
        open_jobs(":memory:")


def test_ids_of_jobs_have_the_form_that_clients_know() -> None:
    ids = {new_job_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(id.startswith("pl_") and len(bytes.fromhex(id[3:])) == 8 for id in ids)


def test_systems_are_found_again_by_name_and_changed(jobs: SqlJobs) -> None:
    first = StoredSystem("sys_1", "one", "gepa", {"a": 1}, "2026-01-01T00:00:00.000+00:00")
    later = replace(first, id="sys_2", created_at="2026-01-02T00:00:00.000+00:00")
    assert jobs.keep_system(first) == first
    assert jobs.keep_system(later, reuse=True) == first
    assert jobs.keep_system(later) == later
    with pytest.raises(StoreError):
        jobs.keep_system(later)
    assert jobs.systems() == [later, first]
    changed = jobs.change_system(replace(first, metadata={"b": [2]}))
    assert jobs.system("sys_1") == changed
    with pytest.raises(UnknownSystem):
        jobs.system("sys_3")
    with pytest.raises(UnknownSystem):
        jobs.change_system(replace(first, id="sys_3"))
