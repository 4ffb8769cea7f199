"""`paretune forecast`."""

from __future__ import annotations

import os
from pathlib import Path

from paretune.cli.console import say
from paretune.cli.jobs import container, with_url
from paretune.config import PromptLearningConfig
from paretune.engine.forecast import Forecast
from paretune.engine.job import Job
from paretune.engine.prepare import prepare


async def job_of(file: Path, task_url: str | None) -> Job:
    """The file's job, resolved against its live container."""
    config = with_url(PromptLearningConfig.from_path(file), task_url)
    async with container(config, os.environ) as client:
        return (await prepare(config, client)).job


def render(cast: Forecast) -> None:
    budget = "no cap" if cast.budget is None else f"{cast.budget} rollouts"
    say(f"budget: {budget}", "bold")
    say(f"  {cast.initial} for the initial prompt, {cast.closing} kept for the end of the run")
    say(f"  up to {cast.gate} for a proposal's gate, {cast.full} more to evaluate one that passes in full")
    if cast.budget is None:
        say(f"  no cap on rollouts: up to {cast.most} proposals")
    else:
        say(f"  so {cast.fewest} proposals if every one passes, {cast.most} if none does")
    if cast.fewest == 0:
        say("  the budget holds no full evaluation of a child: raise it, or use fewer seeds", "yellow")
    if cast.usd is not None:
        say(f"  at most about ${cast.usd:.2f} by the prices known")
    for line in cast.notes:
        say(f"  note: {line}")
