"""A fake of the job server's wire, on loopback: it plays scripts, runs no job, keeps what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

PREFIXES = (
    "/api/prompt-learning/online/jobs",
    "/api/policy-optimization/online/jobs",
    "/api/v1/offline/jobs",
    "/api/v2/offline/jobs",
)
TASK = "/task"
"""The fake is its own task app, under this path."""


def event(seq: int, kind: str = "prompt.learning.progress", **data: Any) -> dict[str, Any]:
    return {"seq": seq, "type": kind, "message": f"number {seq}", "created_at": f"t{seq}", "data": data}


def events(count: int) -> list[dict[str, Any]]:
    """A whole log; its last two are the two families' last ones."""
    last = ["prompt.learning.gepa.complete", "learning.policy.gepa.job.completed"]
    kinds = ["prompt.learning.progress"] * (count - 2) + last
    return [event(place + 1, kind) for place, kind in enumerate(kinds)]


@dataclass
class FarJob:
    """A job that is told and not run.

    `statuses`: one for each time it is asked for, the last one for ever. `streams`: how many events each
    connection brings before it breaks; None brings all there are; after the last entry, None.
    """

    id: str
    body: dict[str, Any] = field(default_factory=dict)
    statuses: list[str] = field(default_factory=lambda: ["succeeded"])
    told: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    streams: list[int | None] = field(default_factory=list)
    candidates: list[dict[str, Any]] = field(default_factory=list)

    def next_status(self) -> dict[str, Any]:
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return {"job_id": self.id, "status": status, "algorithm": "gepa", **self.told}


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """An answer that comes instead of the real one. Status 0: the connection is closed without a word."""

    status: int
    text: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class FarServer:
    """`faults`: path suffix -> the next answers there. `new_told`: what is told of submitted jobs besides.

    With a `key`, requests to the API without it get a 401.
    """

    url: str = ""
    key: str = ""
    jobs: dict[str, FarJob] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    new_told: dict[str, Any] = field(default_factory=dict)

    @property
    def task_url(self) -> str:
        return self.url + TASK

    def add(self, job: FarJob) -> FarJob:
        self.jobs[job.id] = job
        return job

    def asked(self, method: str, suffix: str) -> list[Call]:
        return [call for call in self.calls if call.method == method and call.path.endswith(suffix)]

    def fault(self, path: str) -> Fault | None:
        for suffix, answers in self.faults.items():
            if path.endswith(suffix) and answers:
                return answers.pop(0)
        return None

    def answer(self, call: Call) -> tuple[int, Any]:
        """Status and JSON of everything but streams."""
        if call.path.startswith(TASK):
            known = call.path.removeprefix(TASK) in ("/health", "/task_info")
            return (200, {"healthy": True}) if known else (404, {"detail": "no such route"})
        if self.key and call.headers.get("x-api-key") != self.key:
            return 401, {"detail": f"unknown key {call.headers.get('x-api-key')}"}
        if call.path.endswith("/workflow-state"):
            job = self.jobs.get(call.path.split("/")[3])
            state = {"job_id": job.id, "workflow_state": {"status": job.statuses[0]}} if job else {}
            return (200, {**state, "error": None}) if job else (404, {"detail": "no such job"})
        prefix = next((prefix for prefix in PREFIXES if call.path.startswith(prefix)), None)
        if prefix is None:
            return 404, {"detail": "no such route"}
        parts = call.path.removeprefix(prefix).strip("/").split("/")
        return self._jobs(call) if parts == [""] else self._job(call, *parts)

    def _jobs(self, call: Call) -> tuple[int, Any]:
        if call.method == "GET":
            return 200, {"jobs": [{"job_id": job.id} for job in self.jobs.values()], "next_cursor": None}
        job = self.add(FarJob(f"pl_{len(self.jobs):016x}", call.body, told=self.new_told))
        return 201, {"job_id": job.id, "status": "queued", "system": {"id": "sys_1", "name": "s"}}

    def _job(self, call: Call, job_id: str, *rest: str) -> tuple[int, Any]:
        job = self.jobs.get(job_id)
        if job is None:
            return 404, {"detail": f"no job {job_id}"}
        if call.method == "PATCH":
            job.statuses = [call.body["state"]]
            return 200, job.next_status()
        match rest:
            case ():
                return 200, job.next_status()
            case ("events",):
                since, limit = int(call.query["since_seq"]), int(call.query["limit"])
                return 200, {"events": [event for event in job.events if event["seq"] > since][:limit]}
            case ("artifacts",):
                return 200, {"artifacts": [{"kind": "prompt"}]}
            case ("candidates",):
                return 200, {"items": job.candidates, "next_cursor": None, "job_id": job.id}
            case ("cancel",):
                job.statuses = ["cancelled"]
                return 200, {"job_id": job.id, "status": "succeeded", "message": call.body.get("reason", "")}
        return 404, {"detail": "no such route"}


@contextmanager
def far_server() -> Iterator[FarServer]:
    far = FarServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            call = Call(
                self.command,
                parts.path,
                dict(parse_qsl(parts.query)),
                {key.lower(): value for key, value in self.headers.items()},
                json.loads(self.rfile.read(length)) if length else {},
            )
            far.calls.append(call)
            if fault := far.fault(parts.path):
                if fault.status:
                    self._send(fault.status, fault.text.encode(), fault.headers)
                return
            if parts.path.endswith("/events/stream") and call.path.split("/")[-3] in far.jobs:
                self._stream(call)
                return
            status, answer = far.answer(call)
            self._send(status, json.dumps(answer).encode(), {"Content-Type": "application/json"})

        do_POST = do_PATCH = do_GET  # noqa: N815

        def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _stream(self, call: Call) -> None:
            job = far.jobs[call.path.split("/")[-3]]
            count = job.streams.pop(0) if job.streams else None
            since = int(call.query.get("since_seq", 0))
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            self.end_headers()
            self.wfile.write(b": hello\n\n")
            for event in [event for event in job.events if event["seq"] > since][:count]:
                data = json.dumps(event, ensure_ascii=False)
                lines = f"id: {event['seq']}\nevent: {event['type']}\ndata: {data}\n\n"
                self.wfile.write(lines.encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    far.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield far
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
