"""`paretune run` with a verifier out of the store."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from paretune.config.rubrics import VerifierDocument
from paretune.engine.judging import graph_of
from support.judges import judge_server
from support.paced_task import paced_task
from support.programs import KEY, json_lines, paretune

pytestmark = pytest.mark.timeout(150)

RUBRIC = """
[rubric]
goal = "Code words are told as the house wants them."

[[rubric.outcome]]
id = "loud"
description = "In upper case."
"""
JOB = """
[prompt_learning]
algorithm = "gepa"
task_app_url = "{task}"

[prompt_learning.verifier]
enabled = true
reward_source = "fused"
weight_outcome = 1.0
backend_base = "{model}"
backend_model = "a-judge"
synth_verifier_id = "house"
repeat_share = 0.5

[prompt_learning.gepa]
proposer_type = "operators"

[prompt_learning.gepa.rollout]
budget = 120

[prompt_learning.gepa.evaluation]
seeds = {{start = 0, end = 40}}
"""


def loud(judged: Mapping[str, Any], criterion: str) -> float:
    return float(judged["output"].isupper())


def test_a_verifier_of_the_store_judges_a_run(tmp_path: Path) -> None:
    document = VerifierDocument.from_mapping(tomllib.loads(RUBRIC))
    (judge,) = graph_of(document).judges
    assert judge.rubric is not None
    (tmp_path / "rubric.toml").write_text(RUBRIC)
    with paced_task(key=KEY) as task, judge_server(judge.rubric, loud) as (model, asked):
        (tmp_path / "job.toml").write_text(JOB.format(task=task.url, model=model))
        nobody = paretune("run", "job.toml", cwd=tmp_path)
        assert nobody.returncode == 2
        assert "no verifier 'house' is registered here" in nobody.stderr
        assert paretune("verifiers", "add", "rubric.toml", "--name", "house", cwd=tmp_path).returncode == 0
        cast = paretune("forecast", "job.toml", cwd=tmp_path)
        assert "tokens of the verifier: unknown" in cast.stdout, cast.stderr
        done = paretune("run", "job.toml", "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        paid = len(asked)
        again = paretune("run", "job.toml", "--json", cwd=tmp_path)
        assert again.returncode == 0, again.stderr
        assert len(asked) == paid
    found = json_lines(done.stdout)[-1]
    (part,) = found["verdicts"]["parts"]
    assert part["name"] == "outcome"
    assert part["noise"]["deviation"] == 0.0
    assert found["verdicts"]["verifier"] == "house@1"
    assert found["usage"]["by_role"]["verdict"]["calls"] == paid > 0
    shown = paretune("show", cwd=tmp_path).stdout
    assert "verdicts beside the environment's reward (reward_source fused)" in shown
