"""The server dies, its workers die: jobs go on, nothing is paid twice, readers see each event once."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.paced_task import PacedTask
from support.programs import KEY, command_line
from support.served import Server, named_job, serving, until

pytestmark = pytest.mark.timeout(240)


class Reader(threading.Thread):
    """Streams a job to its end, through as many connections as it takes."""

    def __init__(self, server: Server, job_id: str) -> None:
        super().__init__(daemon=True)
        self.server, self.job_id = server, job_id
        self.events: list[dict[str, Any]] = []
        self.connections = 0
        self.start()

    @property
    def last(self) -> int:
        return self.events[-1]["seq"] if self.events else 0

    def over(self) -> bool:
        return bool(self.events) and self.events[-1]["type"].endswith(".job.completed")

    def run(self) -> None:
        while not self.over():
            self.connections += 1
            try:
                for event in self.server.stream(self.job_id, since=self.last):
                    self.events.append(event)
            except httpx.TransportError:
                until(lambda: self.connections, "a moment")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_that_dies_in_the_middle_of_two_jobs(
    how: signal.Signals, task: PacedTask, model: Mapping[str, str], tmp_path: Path
) -> None:
    with serving(tmp_path, **model) as server:
        jobs = [server.submit(named_job(task.url, name)) for name in ("one", "two")]
        readers = [Reader(server, job) for job in jobs]
        for job in jobs:
            server.at_step(job, 1)
        workers = server.workers()
        server.end(how)
        if how is signal.SIGTERM:
            assert not set(workers) & _alive()
        asked = task.total
        server.start()
        ended = [server.until(job) for job in jobs]
        assert [job["state"] for job in ended] == ["succeeded", "succeeded"]
        assert task.total > asked
        assert task.repeated == []
        for job, reader in zip(jobs, readers, strict=True):
            reader.join(20)
            assert not reader.is_alive()
            assert reader.connections > 1
            assert [event["seq"] for event in reader.events] == list(range(1, reader.last + 1))
            assert reader.events == server.events(job)
        with server.kept() as (workspace, store):
            for job in jobs:
                run = store.job(job).run_id
                drawn = [key for key in workspace.store.drawn(run) if key.startswith("r_")]
                assert len(drawn) == server.job(job)["rollouts_completed"]
        assert "Traceback" not in server.said()


def _alive() -> set[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,stat="], capture_output=True, text=True, check=True)
    rows = [line.split() for line in listed.stdout.splitlines()]
    return {int(pid) for pid, state in rows if not state.startswith("Z")}


def test_a_worker_that_dies_is_followed_by_another(
    task: PacedTask, model: Mapping[str, str], tmp_path: Path
) -> None:
    with serving(tmp_path, "--jobs", "1", **model) as server:
        job = server.submit(named_job(task.url, "one"))
        server.at_step(job, 1)
        (worker,) = server.workers()
        os.kill(worker, signal.SIGKILL)
        until(lambda: server.workers() and server.workers() != [worker], "another worker")
        assert server.until(job)["state"] == "succeeded"
        # What was out when it died may be asked again; what was answered may not.
        assert len(task.repeated) <= 4


def test_a_worker_that_dies_three_times_has_failed(
    task: PacedTask, model: Mapping[str, str], tmp_path: Path
) -> None:
    task.pace = 0.1
    with serving(tmp_path, "--jobs", "1", **model) as server:
        job, next_one = server.submit(named_job(task.url, "one")), server.submit(named_job(task.url, "two"))
        seen = list[int]()
        for _ in range(3):
            (worker,) = until(lambda: set(server.workers()) - set(seen), "a worker")
            seen.append(worker)
            os.kill(worker, signal.SIGKILL)
        failed = server.until(job, "failed")
        assert "3 times" in failed["error"]
        task.pace = 0.0
        assert server.until(next_one)["state"] == "succeeded"
        server.ask("POST", f"/api/jobs/{job}/resume")
        assert server.until(job, "succeeded")["error"] is None


def test_a_server_that_lost_its_key_says_so(task: PacedTask, tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        document = named_job(task.url, "sealed")
        document["prompt_learning"]["task_app_api_key"] = KEY
        job = server.submit(document, auto_start=False)
        server.end()
        (server.store.parent / "server.key").unlink()
        server.start()
        server.ask("POST", f"/api/jobs/{job}/resume")
        assert "not sealed for this server" in server.until(job, "failed")["error"]


def test_a_second_server_on_the_store_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        command, environment = command_line("serve", "--port", "0", "--store", str(server.store))
        second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
        assert second.returncode == 2
        assert "another server" in second.stderr
        assert server.get("/health")["status"] == "ok"
