"""`paretune jobs`: the jobs of a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from paretune.cli.console import as_json, one_line, say
from paretune.cli.options import Json

jobs = typer.Typer(no_args_is_help=True, help="The jobs of a server: list them, follow them, stop them.")
Backend = Annotated[
    str | None,
    typer.Option("--backend", help="Address of the server, over the environment's"),
]
JobId = Annotated[str, typer.Argument(help="pl_...")]


def _offline(backend: str | None) -> Any:
    from paretune.sdk import SynthClient

    return SynthClient(base_url=backend).optimization.offline


def _job(job_id: str, backend: str | None) -> Any:
    return _offline(backend).get(job_id=job_id)


@jobs.command("list")
def list_jobs(
    state: Annotated[str | None, typer.Option(help="Only those in this state")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    backend: Backend = None,
    json: Json = False,
) -> None:
    """Newest first."""
    page = _offline(backend).list(state=state, limit=limit)
    if json:
        as_json(page)
        return
    for job in page["items"]:
        score = "" if job.get("best_score") is None else f"{job['best_score']:.4f}"
        say(
            f"{job['job_id']}  {job['created_at'][:19]}  {job['status']:<10} {score:<7} "
            f"{one_line(job['name'], 60)}"
        )


@jobs.command()
def show(job_id: JobId, backend: Backend = None, json: Json = False) -> None:
    """How a job stands."""
    status = _job(job_id, backend).status()
    if json:
        as_json(status)
        return
    for name, value in _told(status):
        say(f"{name.replace('_', ' '):24} {one_line(str(value), 200)}")


def _told(status: Mapping[str, Any]) -> list[tuple[str, Any]]:
    names = (
        "job_id", "name", "status", "error", "created_at", "started_at", "finished_at", "phase", "iteration",
        "generation", "rollouts_completed", "rollouts_total", "baseline_score", "best_train_score",
        "best_validation_score", "total_candidates", "total_cost_usd", "total_tokens", "eta_seconds",
    )  # fmt: skip
    return [(name, status[name]) for name in names if status.get(name) is not None]


@jobs.command()
def events(
    job_id: JobId,
    since: Annotated[int, typer.Option(help="Only those with a larger number")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 1000,
    backend: Backend = None,
    json: Json = False,
) -> None:
    """What happened, one line each."""
    found = _job(job_id, backend).events(since_seq=since, limit=limit)["events"]
    if json:
        as_json(found)
    for event in [] if json else found:
        say(
            f"{event['seq']:>5} {event['created_at'][11:19]} {event['type']:<44} "
            f"{one_line(event['message'], 100)}"
        )


@jobs.command()
def candidates(
    job_id: JobId,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    sort: Annotated[
        str | None, typer.Option(help="rank, reward, created, generation; -reward turns it")
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="With their whole texts")] = False,
    backend: Backend = None,
    json: Json = False,
) -> None:
    """Texts that were tried, by rank."""
    page = _job(job_id, backend).list_candidates_typed(limit=limit, sort=sort, include="artifact_payload")
    if json:
        as_json([candidate.raw for candidate in page.items])
    for candidate in [] if json else page.items:
        reward = "" if candidate.reward is None else f"{candidate.reward:.4f}"
        content = candidate.candidate_content or ""
        say(f"{candidate.candidate_id}  {candidate.status or '':<10} {reward:<7} {one_line(content, 90)}")
        if text:
            say(content)
            say()


@jobs.command()
def pause(job_id: JobId, backend: Backend = None) -> None:
    """Bring a job to rest; `resume` goes on."""
    say(f"{job_id} is {_job(job_id, backend).pause()['status']}")


@jobs.command()
def resume(job_id: JobId, backend: Backend = None) -> None:
    """Go on with a job that rests, or failed."""
    say(f"{job_id} is {_job(job_id, backend).resume()['status']}")


@jobs.command()
def cancel(job_id: JobId, backend: Backend = None) -> None:
    """End a job for good."""
    say(f"{job_id} is {_job(job_id, backend).cancel()['status']}")
