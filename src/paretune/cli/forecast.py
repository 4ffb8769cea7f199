"""`paretune forecast`."""

from __future__ import annotations

import os
from pathlib import Path

from paretune.cli.console import say
from paretune.cli.session import read_job, registered
from paretune.cli.words import count, duration, money
from paretune.engine.forecast import Forecast, forecast, history
from paretune.engine.job import Job
from paretune.engine.judging import judge_of, judging
from paretune.engine.launch import container
from paretune.engine.outlook import CAPS
from paretune.engine.prepare import prepare
from paretune.engine.workspace import DEFAULT_STORE, Workspace


async def job_of(file: Path, task_url: str | None, store: str | None = None) -> Job:
    """The file's job, resolved against its live container, and the store where it names a verifier."""
    config = read_job(file, task_url)
    if (judge := judge_of(config)) and judge.synth_verifier_id:
        with Workspace.open(store) as workspace:
            config = registered(config, workspace)
    async with container(config, os.environ) as client:
        model = config.proposer.model or os.environ.get("PARETUNE_PROPOSER_MODEL", "")
        ready = await prepare(config, client, proposer_model=model)
        async with judging(config, os.environ, client, asks=False) as judges:
            return (judges.judged(ready) if judges else ready).job


def forecast_of(job: Job, store: str | None) -> Forecast:
    """By earlier runs, if there is a store; one that was named must be there."""
    if store is None and not DEFAULT_STORE.exists():
        return forecast(job)
    with Workspace.open(store) as workspace:
        return forecast(job, history(workspace.store, job))


def render(cast: Forecast) -> None:
    budget = "no cap" if cast.budget is None else f"{cast.budget} rollouts"
    say(f"budget: {budget}", "bold")
    say(f"  {cast.initial} for the initial prompt, {cast.closing} kept for the end of the run")
    why = CAPS[cast.ends_by]
    if cast.trials:
        say(f"  {cast.gate} for a trial, up to {cast.full} more to evaluate its combination in full")
        say(f"  so {cast.fewest} trials with full evaluations, {cast.most} without any ({why})")
    else:
        say(
            f"  up to {cast.gate} for a proposal's gate, {cast.full} more to evaluate one that passes in full"
        )
        say(f"  so {cast.fewest} proposals if every one passes, {cast.most} if none does ({why})")
    say("at most about", "bold")
    say(f"  calls: {cast.rollouts} rollouts, {cast.proposals} proposals")
    names = {"rollout": "policy", "proposal": "proposer", "verdict": "verifier"}
    for role, tokens in cast.tokens.items():
        say(f"  tokens of the {names[role]}: " + ("unknown" if tokens is None else count(tokens)))
    say("  money: " + ("unknown" if cast.usd is None else money(cast.usd)))
    say("  time: " + ("unknown" if cast.seconds is None else duration(cast.seconds)))
    say(f"  {cast.basis}")
    for line in cast.warnings:
        say(f"  warning: {line}", "yellow")
    for line in cast.notes:
        say(f"  note: {line}")
