"""A job through the server is the run that `paretune run` makes of the same file."""

from __future__ import annotations

import json
import re
import tomllib
import zlib
from pathlib import Path
from typing import Any

import pytest

from paretune.engine.verify import replay_record
from paretune.engine.workspace import Workspace
from support.chat_server import chat_server
from support.foreign_jobs import reflective
from support.paced_task import paced_task
from support.programs import KEY, json_lines, paretune
from support.runs import canonical, first_difference, plain_result
from support.served import serving

FILE = """
[prompt_learning]
algorithm = "gepa"
task_app_url = "%s"
task_app_api_key = "$ENVIRONMENT_API_KEY"

[prompt_learning.gepa.rollout]
budget = 900
minibatch_size = 4
max_concurrent = 8

[prompt_learning.gepa.evaluation]
seeds = {start = 0, end = 30}
validation_seeds = {start = 40, end = 48}
test_pool = {start = 60, end = 68}

[prompt_learning.gepa.pipeline]
mode = "sync"

[prompt_learning.gepa.population]
initial_size = 3
num_generations = 20
children_per_generation = 2
patience_generations = 0
"""


def restless(prompt: str) -> str:
    """Some of what the feedback asks for, and something new each time: a search that repeats itself, or has
    nothing left to mend, is ended."""
    known = re.sub(r"The prompt must say: give the item number[^.]*\.", "", prompt)
    note = f" Note {zlib.crc32(prompt.encode())}.\n```"
    return re.sub(r"\n```$", note, reflective(known), flags=re.MULTILINE)


@pytest.mark.timeout(240)
def test_twenty_generations_through_the_server_equal_those_of_the_command_line(tmp_path: Path) -> None:
    with paced_task(key=KEY) as task, chat_server(restless) as url:
        (tmp_path / "job.toml").write_text(FILE % task.url)
        done = paretune(
            "run", "job.toml", "--store", "own.sqlite", "--json", cwd=tmp_path, PARETUNE_PROPOSER_BASE_URL=url
        )
        assert done.returncode == 0, done.stderr
        asked = task.total
        with serving(tmp_path / "served", PARETUNE_PROPOSER_BASE_URL=url) as server:
            job = server.submit(tomllib.loads(FILE % task.url))
            told = server.until(job, "succeeded")
            with server.kept() as (workspace, jobs):
                run_id = jobs.job(job).run_id
                through = canonical(workspace.store, run_id), plain_result(workspace.store, run_id)
                replay_record(workspace.store, run_id)
        assert task.total == 2 * asked
    with Workspace.open(str(tmp_path / "own.sqlite")) as own:
        (run,) = own.store.runs()
        alone = canonical(own.store, run.id), plain_result(own.store, run.id)
    assert first_difference(_plain(alone), _plain(through)) == ""
    generations = {body["generation"] for _, body in alone[0]["decisions"] if body["kind"] == "step_started"}
    assert max(generations) == 20
    assert told["best_train_score"] == json_lines(done.stdout)[-1]["result"]["best"]["mean"]


def _plain(record: Any) -> Any:
    return json.loads(json.dumps(record))
