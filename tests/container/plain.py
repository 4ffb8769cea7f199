"""A container of the standard library, written from the older contract's text; easy to break."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "plain-container-key-1"
WORDS = ["one", "two", "three", "four", "five"]


class Plain(BaseHTTPRequestHandler):
    """Scores a prompt by its words. Subclasses break one thing each."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one piece
    key = KEY

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/health":
            return self.send(200, self.health())
        if not self.allowed():
            return self.send(401, {"detail": "unauthorised"})
        documents = {
            "/info": {
                "service": {"task": {"id": "words", "name": "Words"}, "version": "1"},
                "dataset": {"id": "words", "size": len(WORDS)},
            },
            "/task_info": {"taskset": {"id": "words"}},
        }
        if path not in documents:
            return self.other()
        return self.send(200, documents[path])

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.allowed():
            return self.send(401, {"detail": "unauthorised"})
        try:
            request = json.loads(data)
        except ValueError:
            return self.malformed()
        if self.path == "/rollout":
            return self.rollout(request)
        return self.send(404, {"detail": "not found"})

    def health(self) -> Any:
        return {"healthy": True}

    def other(self) -> None:
        self.send(404, {"detail": "not found"})

    def malformed(self) -> None:
        self.send(400, {"detail": "not JSON"})

    def rollout(self, request: dict[str, Any]) -> None:
        try:
            seed = request["env"]["seed"]
            prompt = request["policy"]["config"]["prompt_template"]
            name = request["trace_correlation_id"]
        except (KeyError, TypeError):
            return self.send(422, {"detail": "env.seed, prompt_template and trace_correlation_id are needed"})
        if not 0 <= seed < len(WORDS):
            return self.unknown(seed, name)
        return self.send(200, self.answer(name, self.score(prompt, seed)))

    def unknown(self, seed: int, name: str) -> None:
        self.send(404, {"detail": f"no seed {seed}"})

    def score(self, prompt: str, seed: int) -> Any:
        return round((len(prompt) * (seed + 1)) % 7 / 10, 3)

    def answer(self, name: str, reward: Any) -> Any:
        return {
            "trace_correlation_id": name,
            "reward_info": {"outcome_reward": reward, "details": {"feedback": "so so"}},
        }

    def allowed(self) -> bool:
        return self.headers.get("X-API-Key") == self.key

    def send(self, status: int, body: Any, kind: str = "application/json") -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        return None


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        return None


@contextmanager
def running(handler: type[Plain]) -> Iterator[str]:
    """The address of a server with this handler."""
    with QuietServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
