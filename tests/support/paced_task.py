"""The task of tests/foreign/good_http_server.py, in a thread: it takes its time, and counts who asks."""

from __future__ import annotations

import importlib.util
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from support.programs import FOREIGN

PATH = FOREIGN / "good_http_server.py"


@dataclass
class PacedTask:
    """`pace` seconds for each rollout; `slow`: for everything else. `key` is what requests must bring."""

    pace: float = 0.0
    slow: float = 0.0
    key: str = ""
    url: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    """How often each rollout id was."""
    keys: set[str] = field(default_factory=set)
    """Those that came with requests."""
    most: int = 0
    """Rollouts that were out at the same time."""
    _out: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, rollout_id: str) -> None:
        with self._lock:
            self.asked[rollout_id] += 1
            self._out += 1
            self.most = max(self.most, self._out)

    def end(self) -> None:
        with self._lock:
            self._out -= 1

    @property
    def total(self) -> int:
        return self.asked.total()

    @property
    def repeated(self) -> list[str]:
        return [rollout_id for rollout_id, times in self.asked.items() if times > 1]


@contextmanager
def paced_task(pace: float = 0.0, *, slow: float = 0.0, key: str = "") -> Iterator[PacedTask]:
    """The task, served on loopback."""
    task = PacedTask(pace, slow, key)
    original = _program()

    class Handler(original.Handler):  # type: ignore[name-defined, misc]
        def allowed(self) -> bool:
            given = self.headers.get("X-API-Key") or ""
            task.keys.add(given)
            return not task.key or given == task.key

        def handle_one_request(self) -> None:
            time.sleep(task.slow)
            super().handle_one_request()

        def reply(self, status: int, value: Any) -> None:
            if self.command != "POST" or "trace_correlation_id" not in value:
                super().reply(status, value)
                return
            task.begin(value["trace_correlation_id"])
            value["trace"]["metadata"] = {}  # the id of one rollout, in what a model is shown
            try:
                time.sleep(task.pace)
                super().reply(status, value)
            except OSError:
                pass  # whoever asked is gone
            finally:
                task.end()

    with _listening(Handler) as url:
        task.url = url
        yield task


@contextmanager
def garbage(status: int, body: bytes, content_type: str = "application/json") -> Iterator[str]:
    """A program that answers the same to everything."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    with _listening(Handler) as url:
        yield url


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked is gone."""


@contextmanager
def _listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _program() -> Any:
    spec = importlib.util.spec_from_file_location("good_http_server", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
