"""Everything that a client meets, on loopback: task containers, a scripted model, a server with keys."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support.chat_server import chat_server
from support.foreign_jobs import reflective
from support.programs import counted, free_port

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
FAST = ROOT / "tests" / "foreign" / "good_http_server.py"
SLOW = HERE / "slow_container.py"
SECONDS = "0.15"
"""What a rollout of the slow container takes."""

AT_WORK, WAITING = "2", "3"
"""Jobs that the server works on at once, and those that may wait."""

CONTAINER_KEY = "what-the-container-wants"
COMMAND = (sys.executable, "-c", "from paretune.cli import main; main()")


@dataclass
class World:
    """`containers` are addresses by name, `tokens` keys of the server by scope. `store` is the file that it
    writes, `log` what it said."""

    folder: Path
    url: str = ""
    containers: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        return self.folder / "store" / "workspace.sqlite"

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text()

    def tally(self) -> dict[str, int]:
        """Rollout id -> how often it was asked of any container, by their own count."""
        return {id: n for url in self.containers.values() for id, n in counted(url)["by_id"].items()}


@contextmanager
def world(folder: Path, *, server_knows_key: bool) -> Iterator[World]:
    """A fresh one. With `server_knows_key` the server has the container's key in its environment, else it
    must get it from clients."""
    made = World(folder)
    folder.mkdir(parents=True)
    key = {"ENVIRONMENT_API_KEY": CONTAINER_KEY}
    with ExitStack() as open_things:
        for name, program in (("fast", (FAST,)), ("slow", (SLOW,))):
            port = str(free_port())
            arguments = (str(program[0]), port, *([SECONDS] if name == "slow" else []))
            open_things.enter_context(_program((sys.executable, *arguments), {**_plain(), **key}))
            made.containers[name] = f"http://127.0.0.1:{port}"
        model = open_things.enter_context(chat_server(reflective))
        made.tokens = {scope: _key(made, scope) for scope in ("read", "submit", "admin")}
        variables = {"PARETUNE_PROPOSER_BASE_URL": model, "PARETUNE_PROPOSER_API_KEY": "x"}
        variables |= key if server_knows_key else {}
        made.url = open_things.enter_context(_server(made, {**_plain(), **variables}))
        yield made


def _plain() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "ENVIRONMENT_API_KEY"}


def _key(made: World, scope: str) -> str:
    command = (*COMMAND, "keys", "create", "--name", scope, "--scope", scope, "--store", str(made.store))
    made.store.parent.mkdir(exist_ok=True)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def _program(command: tuple[str, ...], environment: dict[str, str]) -> Iterator[None]:
    """A container, from when it says that it is ready."""
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == b"ready"
            yield
        finally:
            process.kill()


@contextmanager
def _server(made: World, environment: dict[str, str]) -> Iterator[str]:
    """`paretune serve`; interrupted at the end, as a person would."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    most = ("--jobs", AT_WORK, "--waiting", WAITING)
    command = (*COMMAND, "serve", "--port", str(port), "--store", str(made.store), *most)
    with (made.folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=made.folder)
        try:
            _wait_for(made, url, process)
            yield url
        finally:
            process.terminate()
            process.wait(60)


def _wait_for(made: World, url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            if process.poll() is not None:
                raise RuntimeError(f"the server did not start: {made.log}") from None
            time.sleep(0.1)
    raise RuntimeError("the server does not answer")
