"""`make conformance`: the vendor's unmodified clients against `paretune serve`, call by call.

    python conformance/run.py --environments .venv-conformance [--client 0.6.6]

Prints one line a call: what the store and the containers say it must give, and what it gave. Exits with 1 if
anything differs; then the folder with the store and all logs stays. Where the system permits it, all of it
runs in a network namespace that holds nothing but `lo`.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from conformance.reading import Reading
from conformance.world import AT_WORK, CONTAINER_KEY, HERE, ROOT, WAITING, World, world

CLIENTS = {"0.4.1": "041", "0.6.6": "066", "0.9.11": "0911"}
"""Version -> its script, and the folder of its environment."""

SECONDS = 300
"""One client's script takes no longer."""

INSIDE = "CONFORMANCE_INSIDE"
WIDTHS = (7, 54, 40, 40)


@dataclass(frozen=True, slots=True)
class Line:
    client: str
    call: str
    expected: Any
    got: Any

    @property
    def same(self) -> bool:
        return bool(settled(self.expected) == settled(self.got))

    def __str__(self) -> str:
        cells = (self.client, self.call, short(self.expected), short(self.got))
        shown = (cell[:width].ljust(width) for cell, width in zip(cells, WIDTHS, strict=True))
        return "  ".join((*shown, "same" if self.same else "DIFFERS"))


def settled(value: Any) -> Any:
    """Floats to nine places: a mean may be taken in another order."""
    if isinstance(value, float):
        return round(value, 9)
    if isinstance(value, dict):
        return {key: settled(one) for key, one in value.items()}
    return [settled(one) for one in value] if isinstance(value, list | tuple) else value


def short(value: Any) -> str:
    """On one line; what is long as its beginning and a digest."""
    text = json.dumps(settled(value), sort_keys=True, ensure_ascii=False)
    if len(text) <= WIDTHS[2]:
        return text
    return f"{text[: WIDTHS[2] - 9]}… #{hashlib.sha256(text.encode()).hexdigest()[:6]}"


# -- one client -----------------------------------------------------------------------------------


def of_client(client: str, environments: Path, folder: Path) -> Iterator[Line]:
    """Its own script against a server of its own; then the others read what it made."""
    with world(folder, server_knows_key=client == "0.9.11") as made:
        reading = Reading(made)
        _write_documents(made)
        yield from _script(client, environments, made)
        oldest = reading.jobs(state="succeeded")[-1:]
        for other in CLIENTS if oldest else ():
            if other != client and (environments / CLIENTS[other]).exists():
                yield from _script(other, environments, made, *oldest)
        yield Line(client, "rollouts that a container was asked for twice", 0, reading.repeated())
    yield Line(client, "keys in the clear, in the store or the log", [], reading.in_the_clear())
    yield Line(client, "tracebacks in the server's log", 0, made.log.count("Traceback"))


def _write_documents(made: World) -> None:
    template = (HERE / "job.toml").read_text()
    for name, container in {"job": "fast", "second": "fast", "slow": "slow"}.items():
        # Each with a prompt of its own: what one job paid for, the next one would know.
        text = template.replace("CONTAINER", made.containers[container]).replace("NAME", name)
        (made.folder / f"{name}.toml").write_text(text)


def _script(client: str, environments: Path, made: World, *job: str) -> Iterator[Line]:
    """A line for each that the script says; the store is read while the client waits."""
    python = environments.absolute() / CLIENTS[client] / "bin" / "python"
    command = (str(python), "-m", f"conformance.client_{CLIENTS[client]}", *job)
    reading = Reading(made)
    with (made.folder / f"client-{client}.log").open("a") as log:
        process = subprocess.Popen(
            command,
            env=_variables(made),
            cwd=made.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        alarm = Timer(SECONDS, process.kill)
        alarm.start()
        assert process.stdin is not None
        assert process.stdout is not None
        for said in process.stdout:
            line = json.loads(said)
            expected = reading.fact(line["fact"], line["about"])
            yield Line(client, line["call"], expected, line["got"])
            process.stdin.write("\n")
            process.stdin.flush()
        alarm.cancel()
        what = "the script's exit code" + (", on the other client's job" if job else "")
        yield Line(client, what, 0, process.wait())


def _variables(made: World) -> dict[str, str]:
    """Nothing but this: no settings of the person who runs it, and a home of its own."""
    home = made.folder / "home"
    home.mkdir(exist_ok=True)
    urls = ("SYNTH_BACKEND_URL", "SYNTH_RUST_BACKEND_URL_OVERRIDE", "BACKEND_BASE_URL")
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "SYNTH_API_KEY": made.tokens["admin"],
        "SUBMIT_ONLY": made.tokens["submit"],
        "READ_ONLY": made.tokens["read"],
        "AT_WORK": AT_WORK,
        "WAITING": WAITING,
        "ENVIRONMENT_API_KEY": CONTAINER_KEY,
        "SYNTH_LOCALAPI_AUTH_PERSIST": "0",
        "OPENAI_API_KEY": "none",
        **dict.fromkeys(urls, made.url),
    }


# -- the network ----------------------------------------------------------------------------------


def go_inside() -> None:
    """Begin anew in a network namespace with nothing but `lo`; return where that is not permitted."""
    command = ("unshare", "--map-root-user", "--net")
    if os.environ.get(INSIDE) or not shutil.which("unshare"):
        return
    if subprocess.run((*command, "true"), capture_output=True).returncode == 0:
        environment = {**os.environ, INSIDE: "1"}
        os.execvpe(command[0], (*command, sys.executable, *sys.argv), environment)


def network() -> Iterator[Line]:
    """That there is no way out; says so where it cannot be shown."""
    if not os.environ.get(INSIDE):
        print("No network namespace is to be had here: that nothing leaves the machine is NOT shown.")
        return
    with socket.socket() as any_socket:  # bring `lo` up: SIOCSIFFLAGS, IFF_UP
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", b"lo", 0x1))
    yield Line("-", "network interfaces", ["lo"], [name for _, name in socket.if_nameindex()])
    try:
        socket.create_connection(("192.0.2.1", 80), 2).close()
        out = "connected"
    except OSError as error:
        out = type(error).__name__
    yield Line("-", "a connection to another machine", "OSError", out)


# -- all of it ------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--environments", type=Path, default=ROOT / ".venv-conformance")
    parser.add_argument("--client", choices=CLIENTS, action="append", help="only this one; may be repeated")
    asked = parser.parse_args()
    go_inside()
    folder = Path(tempfile.mkdtemp(prefix="conformance-"))
    total, different = 0, []
    print("  ".join(head.ljust(width) for head, width in zip(HEADS, WIDTHS, strict=True)), " verdict")
    for line in all_lines(asked.client or list(CLIENTS), asked.environments, folder):
        print(line, flush=True)
        total += 1
        different += [] if line.same else [line]
    for line in different:
        print(f"\n{line.client} {line.call}\n  expected {json.dumps(line.expected)[:2000]}")
        print(f"  got      {json.dumps(line.got)[:2000]}")
    print(f"\n{total} lines, {len(different)} differ")
    if different:
        sys.exit(f"the stores and logs stay in {folder}")
    shutil.rmtree(folder)


HEADS = ("client", "call", "expected", "got")


def all_lines(clients: list[str], environments: Path, folder: Path) -> Iterator[Line]:
    yield from network()
    for client in clients:
        yield from of_client(client, environments, folder / client)


if __name__ == "__main__":
    main()
