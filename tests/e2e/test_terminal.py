"""A run as a person sees it: the command line on a real pseudo terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len

from paretune.cli.panel import Panel, Row
from support.chat_server import chat_server
from support.foreign_jobs import SEEDS_JOB, reflective
from support.paced_task import paced_task
from support.programs import KEY, command_line

pytestmark = pytest.mark.timeout(240)
WIDTH, HEIGHT = 60, 15
PACE = 0.2
"""Seconds of a rollout: the run is not over before a key can be typed."""
STYLE = re.compile(r"\x1b\[[0-9;]*m")
ERASED = "\x1b[2K"
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def variables(tmp_path: Path) -> Iterator[dict[str, str]]:
    (tmp_path / "job.toml").write_text(SEEDS_JOB)
    with paced_task(PACE, key=KEY) as task, chat_server(reflective) as model:
        yield {"TASK_APP_URL": task.url, "PARETUNE_PROPOSER_BASE_URL": model, "TERM": "xterm"}


def on_terminal(*arguments: str, cwd: Path, interrupt: str = "", **variables: str) -> tuple[int, str]:
    """Exit code and all that was written; Ctrl-C is typed once `interrupt` was read."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    command, environment = command_line(*arguments, **variables)
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
        environment.pop(name, None)
    environment |= {name: variables[name] for name in ("NO_COLOR",) if name in variables}
    text = b""
    with subprocess.Popen(
        command, cwd=cwd, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, process_group=0
    ) as process:
        os.close(theirs)
        while True:
            try:
                read = os.read(ours, 65536)
            except OSError:  # nobody has the other end any more
                break
            text += read
            if interrupt and interrupt.encode() in text:
                os.killpg(process.pid, 2)  # what the terminal does for Ctrl-C
                interrupt = ""
    os.close(ours)
    return process.returncode, text.decode()


def paintings(text: str) -> list[list[str]]:
    """The lines of each painting of the view; what follows the last of them is not among them."""
    plain = STYLE.sub("", text[: text.rindex(ERASED)])
    found = [CONTROL.sub("", part).replace("\r", "") for part in plain.split(ERASED)]
    return [part.split("\n") for part in found if part.strip()]


def test_a_run_is_watched_and_ends_with_its_summary(variables: dict[str, str], tmp_path: Path) -> None:
    code, text = on_terminal("run", "job.toml", cwd=tmp_path, **variables)
    assert code == 0, text
    painted = paintings(text)
    last = "\n".join(painted[-1])
    for told in (
        r"succeeded",
        r"best +#\d+ c_\w+",
        r"held-out +\d\.\d+",
        r"20 of 20",
        r"\d+ of 300",
        r"\d:\d\d  finished",
    ):
        assert re.search(told, last), told
    assert max(cell_len(line) for lines in painted for line in lines) < WIDTH
    assert max(len([line for line in lines if line.strip()]) for lines in painted) < HEIGHT
    summary = STYLE.sub("", text[text.rindex(ERASED) :])
    assert "what changed in the best candidate" in summary
    assert "\x1b[?25h" in text[text.index("\x1b[?25l") :], "the cursor comes back"


def test_an_interrupted_run_leaves_its_view_and_goes_on_later(
    variables: dict[str, str], tmp_path: Path
) -> None:
    code, text = on_terminal("run", "job.toml", cwd=tmp_path, interrupt="frontier", **variables, NO_COLOR="1")
    assert code == 130, text
    end = CONTROL.sub("", text[text.rindex(ERASED) :])
    assert "paused" in end
    assert "frontier" in end
    assert "coming to rest; once more to stop at once" in text
    assert "go on with: paretune resume" in end
    assert not re.search(r"\x1b\[[0-9;]*3\dm", text), "no colour"
    code, text = on_terminal("resume", cwd=tmp_path, **{**variables, "TERM": "dumb"})
    assert code == 0
    assert "\x1b[" not in text
    assert "best: c_" in text


@pytest.mark.parametrize("width", [1, 12, 39, 60, 80, 200])
@pytest.mark.parametrize("height", [1, 2, 5, 14, 40])
def test_a_view_fits_and_what_matters_most_stays(width: int, height: int) -> None:
    rows = [
        Row("best", ["#12 c_0123456789abcdef", "0.713 (0.622 to 0.803)", "漢字" * 40], 10),
        Row("now", ["deploy rollouts\x1b[2J", "step 14"], 1),
        Row("rollouts", ["612 of 900", "8 in flight"], 8),
    ]
    feed = [f"line {number} " * 20 for number in range(30)]
    lines = Panel("title " * 30, rows, feed).fitted(width, height).plain.split("\n")
    assert len(lines) <= height
    assert max(map(cell_len, lines)) <= width
    assert "\x1b" not in "".join(lines)
    if width >= 39 and height >= 5:
        assert any("c_0123456789abcdef" in line for line in lines)
        assert height < 14 or lines[-1].startswith("line 29")
