"""`paretune serve` in a process of its own, and a client that asks it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from paretune.engine.workspace import Workspace
from paretune.store.sql_jobs import SqlJobs
from support.foreign_jobs import SEEDS_JOB
from support.programs import command_line, free_port

ONLINE, POLICY = "/api/prompt-learning/online/jobs", "/api/policy-optimization/online/jobs"
OFFLINE = "/api/v1/offline/jobs"
ANY = "/api/jobs"
OVER = ("succeeded", "failed", "cancelled")
PATIENCE = 90.0


def job_document(text: str, task_url: str, **gepa: Any) -> dict[str, Any]:
    """The TOML text as a document for the task at this address; `gepa` sections are laid over it."""
    document = tomllib.loads(text)
    inner = document["prompt_learning"]
    inner["task_app_url"] = task_url
    for section, values in gepa.items():
        inner["gepa"].setdefault(section, {}).update(values)
    return document


def named_job(task_url: str, name: str, **rollout: Any) -> dict[str, Any]:
    """A job on seeds that shares no result with one of another name."""
    made = job_document(SEEDS_JOB, task_url, rollout={"budget": 160, "max_concurrent": 4, **rollout})
    text = f"You look up code words ({name}). Answer with one word."
    messages = [{"role": "system", "pattern": text, "order": 0}]
    made["prompt_learning"]["initial_prompt"] = {"id": name, "name": name, "messages": messages}
    return made


def until(met: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """What `met` gives as soon as that is true."""
    began = time.monotonic()
    while time.monotonic() - began < patience:
        if found := met():
            return found
        time.sleep(0.03)
    raise AssertionError(f"waited {patience:.0f} s in vain for {what}")


@dataclass
class Server:
    """A folder that is served, by one process after another at one port."""

    folder: Path
    arguments: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def store(self) -> Path:
        return self.folder / "kept" / "jobs.sqlite"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        place = ("--port", str(self.port), "--store", str(self.store))
        command, environment = command_line("serve", *place, *self.arguments, **self.variables)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.store.parent.mkdir(exist_ok=True)
        with (self.folder / "stderr").open("ab") as said:
            self.process = subprocess.Popen(command, cwd=self.folder, env=environment, stderr=said)
        until(self._answers, "the server to answer")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.said()
        try:
            return httpx.get(f"{self.url}/health").is_success
        except httpx.TransportError:
            return False

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code."""
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(timeout=PATIENCE)

    def said(self) -> str:
        return (self.folder / "stderr").read_text(errors="replace")

    def workers(self) -> list[int]:
        """Process ids of those that work on jobs: they are forked from a process of the server's."""
        assert self.process is not None
        return [worker for child in _children(self.process.pid) for worker in _children(child)]

    # -- asking -------------------------------------------------------------------------------------

    def ask(self, method: str, path: str, status: int | None = None, **more: Any) -> Any:
        """The answer's JSON. `status` is what must come, any success without it."""
        answer = httpx.request(method, f"{self.url}{path}", timeout=30, **more)
        right = answer.is_success if status is None else answer.status_code == status
        assert right, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json()

    def get(self, path: str, **query: Any) -> Any:
        return self.ask("GET", path, params=query)

    def submit(self, document: dict[str, Any], path: str = OFFLINE, **more: Any) -> str:
        name = "config" if "offline" in path else "config_body"
        job_id: str = self.ask("POST", path, 201, json={name: document, **more})["job_id"]
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"{ANY}/{job_id}")
        return found

    def events(self, job_id: str, **query: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(f"{ANY}/{job_id}/events", **query)["events"]
        return found

    def until(self, job_id: str, *states: str) -> dict[str, Any]:
        """The job, once it is in one of these states (or at its end)."""
        wanted = states or OVER

        def there() -> dict[str, Any] | None:
            job = self.job(job_id)
            assert not (job["state"] in OVER and job["state"] not in wanted), job
            return job if job["state"] in wanted else None

        job: dict[str, Any] = until(there, f"{job_id} to be {wanted}")
        return job

    def at_step(self, job_id: str, step: int) -> dict[str, Any]:
        """The job, once it works at this step."""
        job: dict[str, Any] = until(
            lambda: (job := self.job(job_id)) and (job["iteration"] or -1) >= step and job, f"step {step}"
        )
        return job

    def stream(self, job_id: str, *, since: int = 0, last_event_id: str = "") -> Iterator[dict[str, Any]]:
        """Events as they come, to the end of the stream."""
        path = f"{self.url}{ANY}/{job_id}/events/stream"
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        with httpx.stream("GET", path, params={"since_seq": since}, headers=headers, timeout=30) as answer:
            assert answer.status_code == 200
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

    # -- a second reading ---------------------------------------------------------------------------

    @contextmanager
    def kept(self) -> Iterator[tuple[Workspace, SqlJobs]]:
        """The store, opened once more."""
        with Workspace.open(str(self.store), new=True) as workspace:
            jobs = SqlJobs(workspace.address)
            try:
                yield workspace, jobs
            finally:
                jobs.close()


@contextmanager
def serving(folder: Path, *arguments: str, **variables: str) -> Iterator[Server]:
    """A server that works; killed at the end if it still does."""
    server = Server(folder, arguments, variables)
    try:
        server.start()
        yield server
    finally:
        process = server.process
        if process is not None and process.poll() is None:
            orphans = server.workers()
            process.kill()
            process.wait()
            for pid in orphans:
                _kill(pid)


@contextmanager
def console(store: Path) -> Iterator[str]:
    """`paretune console` over this store, in a process of its own; its address."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    command, environment = command_line("console", str(store), "--port", str(port))
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:

        def answers() -> bool:
            assert process.poll() is None
            try:
                return httpx.get(f"{url}/").is_success
            except httpx.TransportError:
                return False

        try:
            until(answers, "the console to answer")
            yield url
        finally:
            process.kill()


def _children(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    pairs = [line.split() for line in listed.stdout.splitlines()]
    return [int(child) for child, parent in pairs if int(parent) == pid]


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
