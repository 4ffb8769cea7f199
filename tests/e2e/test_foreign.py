"""Containers that strangers wrote, run unchanged: good ones are optimized, broken ones are explained."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from support.chat_server import chat_server
from support.foreign_jobs import POOLS_JOB, SEEDS_JOB, ids, reflective
from support.programs import FOREIGN, counted, json_lines, paretune, running

DOCUMENTED = Path(__file__).parents[1] / "config" / "documented.toml"

GOOD = [
    pytest.param("good_http_server.py", SEEDS_JOB, id="http.server"),
    pytest.param("good_node.js", SEEDS_JOB, id="node", marks=pytest.mark.node),
    pytest.param(
        "good_synth_containers.py",
        POOLS_JOB % (ids(0, 20), ids(20, 40), ids(70, 95)),
        id="synth-containers",
        marks=pytest.mark.vendor,
    ),
]


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("program", "job"), GOOD)
def test_a_good_container_runs_unchanged(program: str, job: str, tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text(job)
    with running(program) as url, chat_server(reflective) as model:
        done = paretune(
            "run", "job.toml", "--json", cwd=tmp_path, TASK_APP_URL=url, PARETUNE_PROPOSER_BASE_URL=model
        )
        assert done.returncode == 0, done.stderr
        asked = counted(url)
    result = json_lines(done.stdout)[-1]["result"]
    assert asked["total"] == result["rollouts"] <= 300
    test = next(lift for lift in result["lift"] if lift["split"] == "test")
    assert test["after"] > test["before"]


def test_the_documented_file_runs_as_printed_within_its_budget(tmp_path: Path) -> None:
    """Budget 100, 50 seeds, 20 initial candidates: numbers that do not fit together."""
    with running("good_http_server.py") as url, chat_server(reflective) as model:
        done = paretune(
            *("run", str(DOCUMENTED), "--json"),
            cwd=tmp_path,
            TASK_APP_URL=url,
            PARETUNE_PROPOSER_BASE_URL=model,
        )
        assert done.returncode == 0, done.stderr
        asked = counted(url)
    result = json_lines(done.stdout)[-1]["result"]
    assert asked["total"] == result["rollouts"] <= 100
    shown = paretune("show", cwd=tmp_path).stdout
    proposals = re.search(r"children_per_generation .* (\d+) proposals", shown)
    assert proposals is not None
    assert int(proposals[1]) >= 5
    for key in ("gepa.rollout.max_concurrent", "gepa.evaluation.validation_seeds", "policy.temperature"):
        assert key in shown


@pytest.mark.parametrize(
    "program", ["good_http_server.py", pytest.param("good_node.js", marks=pytest.mark.node)]
)
def test_a_good_container_passes_the_check(program: str, tmp_path: Path) -> None:
    with running(program) as url:
        done = paretune("container", "check", url, cwd=tmp_path)
    assert done.returncode == 0, done.stdout


@pytest.mark.vendor
def test_the_vendors_container_passes_the_check(tmp_path: Path) -> None:
    with running("good_synth_containers.py") as url:
        done = paretune("container", "check", url, cwd=tmp_path)
    assert done.returncode == 0, done.stdout


BROKEN: list[dict[str, Any]] = json.loads((FOREIGN / "expected.json").read_text("utf-8"))["broken"]


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: Path(case["file"]).stem)
def test_a_broken_container_is_explained(case: dict[str, Any], tmp_path: Path) -> None:
    with running(case["file"]) as url:
        done = paretune("container", "check", url, "--json", "--deadline", "5", cwd=tmp_path)
    assert done.returncode == 1, done.stdout
    failed = [found for found in json.loads(done.stdout)["findings"] if not found["ok"]]
    told = " ".join(f"{found['name']}: {found['explanation']} {found['fix']}" for found in failed).lower()
    assert any(word.lower() in told for word in case["keywords"]), told
