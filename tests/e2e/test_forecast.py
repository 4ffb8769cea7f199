"""What people are told while a run works: a terminal's progress line, and `show` from another process."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from container.plain import KEY, Plain
from container.plain import running as serving
from paretune.cli.progress import queue_words
from paretune.evaluate.queue import QueueState
from support.chat_server import chat_server
from support.foreign_jobs import EDITED
from support.programs import command_line, paretune

JOB = """
[prompt_learning]
algorithm = "gepa"
task_app_url = "http://127.0.0.1:1"

[[prompt_learning.initial_prompt.messages]]
role = "system"
pattern = "Say the word."
order = 0

[prompt_learning.gepa.rollout]
budget = 90
max_concurrent = 4
minibatch_size = 3

[prompt_learning.gepa.evaluation]
seeds = {start = 0, end = 20}

[prompt_learning.container]
breaker_seconds = 30
"""


class Strained(Plain):
    """Asks once for a pause of a second, and waits in the middle of the run until somebody looked."""

    asked = 0
    lock = threading.Lock()
    looked_at = threading.Event()

    def rollout(self, request: dict[str, object]) -> None:
        with self.lock:
            type(self).asked += 1
            number = self.asked
        if number == 3:
            self.send_response(429)
            self.send_header("Retry-After", "1")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if number == 55:
            self.looked_at.wait(timeout=30)
        super().rollout(request)

    def unknown(self, seed: int, name: str) -> None:
        answer = self.answer(name, 0.1)
        answer["reward_info"]["details"]["feedback"] = f"word {seed} is missing"
        self.send(200, answer)


def another_word(prompt: str) -> str:
    """A model that appends a word, each time another one."""
    _, _, text = next(iter(EDITED.findall(prompt)))
    return f"```system\n{text} {hashlib.sha256(prompt.encode()).hexdigest()[:8]}\n```"


@pytest.fixture
def variables() -> Iterator[dict[str, str]]:
    Strained.asked = 0
    Strained.looked_at.clear()
    with serving(Strained) as address, chat_server(another_word) as model:
        yield {"TASK_APP_URL": address, "ENVIRONMENT_API_KEY": KEY, "PARETUNE_PROPOSER_BASE_URL": model}


def test_a_terminal_and_another_process_are_told_how_a_run_goes(
    variables: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "job.toml").write_text(JOB)
    terminal = {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "200"}
    command, environment = command_line("run", "job.toml", **variables, **terminal)
    cast = None
    with (tmp_path / "screen").open("w+") as screen:
        with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=screen) as process:
            while process.poll() is None and not (cast and cast["rollouts"]):
                shown = paretune("show", "--json", cwd=tmp_path)
                cast = json.loads(shown.stdout)["forecast"] if shown.returncode == 0 else None
            Strained.looked_at.set()
        screen.seek(0)
        text = screen.read()
    assert process.returncode == 0
    for told in (
        r"no forecast yet",
        r"\d in flight",
        r"asked to wait 1 s",
        r"slowed to [23] of 4 at once",
        r" left",
    ):
        assert re.search(told, text), told
    assert "container.breaker_seconds" in text

    assert cast is not None
    assert 0 < cast["rollouts"]["low"] <= cast["rollouts"]["high"] <= 90
    assert cast["ends_by"]
    assert json.loads(paretune("show", "--json", cwd=tmp_path).stdout)["forecast"] is None

    asked = Strained.asked
    before = subprocess.run(
        command_line("forecast", "job.toml", "--json", **variables)[0],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=True,
    )
    again = json.loads(before.stdout)
    assert again["seconds"] > 0
    assert "1 earlier run of this task" in again["basis"]
    assert Strained.asked == asked


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (QueueState(8, 0, 8, 0.0, "closed", 0.0), "8 in flight"),
        (QueueState(3, 5, 4, 0.0, "closed", 0.0), "3 in flight, 5 waiting, slowed to 4 of 8 at once"),
        (QueueState(0, 5, 8, 11.2, "closed", 0.0), "0 in flight, 5 waiting, asked to wait 12 s"),
        (
            QueueState(0, 8, 8, 0.0, "open", 3.4),
            "0 in flight, 8 waiting, the task cannot be reached, next try in 4 s",
        ),
        (
            QueueState(1, 7, 8, 5.0, "probing", 0.0),
            "1 in flight, 7 waiting, the task cannot be reached, trying again",
        ),
    ],
)
def test_the_queue_in_words(state: QueueState, told: str) -> None:
    assert queue_words(state, 8) == told
