"""Two jobs at once never have more rollouts out than the server allows, and both get on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from support.paced_task import PacedTask
from support.served import named_job, serving, until


@pytest.mark.timeout(240)
def test_all_jobs_together_stay_under_the_servers_number(
    task: PacedTask, model: Mapping[str, str], tmp_path: Path
) -> None:
    task.pace = 0.1
    with serving(tmp_path, "--rollouts", "4", **model) as server:
        jobs = [server.submit(named_job(task.url, name, max_concurrent=20)) for name in ("one", "two")]
        until(lambda: all((server.job(job)["rollouts_completed"] or 0) >= 5 for job in jobs), "both to work")
        assert {server.job(job)["state"] for job in jobs} == {"running"}
        for job in jobs:
            server.until(job, "succeeded")
    assert task.most == 4
