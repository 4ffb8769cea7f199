"""Other people's programs, run as they are."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FOREIGN = Path(__file__).parents[1] / "foreign"
KEY = "test-key-of-a-container"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running(program: str) -> Iterator[str]:
    """Serve a program of tests/foreign with a key; gives its address."""
    path = FOREIGN / program
    runner = "node" if path.suffix == ".js" else sys.executable
    port = free_port()
    environment = {**os.environ, "ENVIRONMENT_API_KEY": KEY}
    command = [runner, str(path), str(port)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == b"ready"
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def counted(url: str) -> dict[str, Any]:
    """How often the program was asked for a rollout: `{"total": n, "by_id": {...}}`."""
    with urllib.request.urlopen(f"{url}/count", timeout=10) as answer:
        found: dict[str, Any] = json.loads(answer.read())
        return found


def command_line(*arguments: str, **variables: str) -> tuple[list[str], dict[str, str]]:
    """The command, and the environment it is run in."""
    command = [sys.executable, "-c", "from paretune.cli import main; main()", *arguments]
    return command, {**os.environ, "ENVIRONMENT_API_KEY": KEY, **variables}


def json_lines(output: str) -> list[dict[str, Any]]:
    """The lines of `--json` of a command that works on a run or a job; the result is the last one."""
    return [json.loads(line) for line in output.splitlines()]


def paretune(
    *arguments: str, cwd: Path, timeout: float = 100, **variables: str
) -> subprocess.CompletedProcess[str]:
    """The command line, in a process of its own."""
    command, environment = command_line(*arguments, **variables)
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout)
