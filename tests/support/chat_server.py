"""An OpenAI-compatible endpoint on loopback that plays a script: it stands for the far side of the wire."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Script = Callable[[str], str]
"""The whole prompt as text -> the answer."""


@contextmanager
def chat_server(script: Script, *, key: str = "") -> Iterator[str]:
    """Serve the script; gives the base URL, ending in /v1. With a `key`, requests without it are refused."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if key and self.headers.get("Authorization") != f"Bearer {key}":
                self._send(401, {"error": {"message": "wrong key"}})
                return
            prompt = "\n\n".join(message["content"] for message in body["messages"])
            message = {"role": "assistant", "content": script(prompt)}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            usage = {"prompt_tokens": len(prompt) // 4, "completion_tokens": 20, "total_tokens": 0}
            answer = {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"]}
            self._send(200, {**answer, "choices": [choice], "usage": usage})

        def _send(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
