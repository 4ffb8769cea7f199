"""`make conformance`: the vendor's unmodified clients against `paretune serve`, call by call."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from conformance.reading import Reading
from conformance.world import AT_WORK, CONTAINER_KEY, WAITING, HERE, World, only_loopback, world

CLIENTS = {"0.4.1": "041", "0.6.6": "066", "0.9.11": "0911"}

SECONDS = 100
"""One client's script takes no longer."""


@dataclass(frozen=True, slots=True)
class Line:
    client: str
    call: str
    expected: Any
    got: Any

    @property
    def same(self) -> bool:
        return settled(self.expected) == settled(self.got)


def settled(value: Any) -> Any:
    """Floats to nine places: a mean may be taken in another order."""
    if isinstance(value, float):
        return round(value, 9)
    if isinstance(value, dict):
        return {key: settled(one) for key, one in value.items()}
    return [settled(one) for one in value] if isinstance(value, list | tuple) else value


def short(value: Any, most: int = 44) -> str:
    """On one line; what is long as its beginning and a digest."""
    text = json.dumps(settled(value), sort_keys=True)
    if len(text) <= most:
        return text
    return f"{text[: most - 9]}… #{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def lines(client: str, made: World, python: Path) -> Iterator[Line]:
    reading = Reading(made)
    template = (HERE / "job.toml").read_text()
    for name, container in {"job": "fast", "second": "fast", "slow": "slow"}.items():
        # Each with a prompt of its own: what one job paid for the next one would know.
        text = template.replace("CONTAINER", made.containers[container]).replace("NAME", name)
        (made.folder / f"{name}.toml").write_text(text)
    environment = variables(made)
    with (made.folder / "client.log").open("w") as log:
        process = subprocess.Popen(
            [str(python), "-m", f"conformance.client_{CLIENTS[client]}"],
            env=environment, cwd=made.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
        )
        alarm = Timer(SECONDS, process.kill)
        alarm.start()
        for said in process.stdout:
            line = json.loads(said)
            yield Line(client, line["call"], reading.fact(line["fact"], line["about"]), line["got"])
            process.stdin.write("\n")
            process.stdin.flush()
        alarm.cancel()
    yield Line(client, "the script's exit", 0, process.wait())
    yield Line(client, "rollouts asked twice", 0, reading.repeated())
    yield Line(client, "tracebacks in the server's log", 0, made.log.count("Traceback"))


def tail(log: str) -> str:
    return "\n".join([line for line in log.splitlines() if "[DEBUG]" not in line][-60:])


def variables(made: World) -> dict[str, str]:
    home = made.folder / "home"
    home.mkdir()
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
        **{name: made.url for name in ("SYNTH_BACKEND_URL", "SYNTH_RUST_BACKEND_URL_OVERRIDE", "BACKEND_BASE_URL")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--environments", type=Path, default=ROOT / ".venv-conformance")
    parser.add_argument("--client", choices=CLIENTS, action="append")
    asked = parser.parse_args()
    total, bad = 0, []
    print("loopback only" if only_loopback() else "with the network")
    with tempfile.TemporaryDirectory() as scratch:
        for client in asked.client or CLIENTS:
            with world(Path(scratch) / client, server_knows_key=client == "0.9.11") as made:
                for line in lines(client, made, asked.environments / CLIENTS[client] / "bin" / "python"):
                    total += 1
                    bad += [] if line.same else [line]
                    print(f"{line.client:7} {line.call:52.52} {short(line.expected):44} {short(line.got):44} {'same' if line.same else 'DIFFERS'}", flush=True)
                for line in bad:
                    print(line.call, "\n   expected", json.dumps(line.expected)[:1500], "\n   got", json.dumps(line.got)[:1500])
                print(tail((made.folder / "client.log").read_text()))
                print(made.log[-3000:] if bad else "")
    print(total, len(bad))
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
