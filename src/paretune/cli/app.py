"""The commands."""

from __future__ import annotations

import asyncio
import dataclasses
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from paretune.cli import config, verifiers
from paretune.cli.console import as_json, one_line, say
from paretune.cli.jobs import jobs
from paretune.cli.options import (
    JobFile,
    Json,
    JsonLines,
    MaxCost,
    MaxPolicyTokens,
    MaxProposerTokens,
    MaxSeconds,
    MaxTokens,
    MaxVerifierTokens,
    RunId,
    StorePath,
    TaskUrl,
)
from paretune.core.address import CONSOLE_PORT, DEFAULT_HOST, DEFAULT_PORT

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Optimize prompts and other text against a task that returns a reward.",
)
events = typer.Typer(no_args_is_help=True, help="The decision log of a run.")
container = typer.Typer(no_args_is_help=True, help="Task containers: check one, serve one.")
model = typer.Typer(no_args_is_help=True, help="The embedded model.")
keys = typer.Typer(no_args_is_help=True, help="Keys for those who may ask the server.")
app.add_typer(events, name="events")
app.add_typer(container, name="container")
app.add_typer(model, name="model")
app.add_typer(jobs, name="jobs")
app.add_typer(keys, name="keys")
app.add_typer(config.app, name="config")
app.add_typer(verifiers.app, name="verifiers")


def _version(wanted: bool) -> None:
    if wanted:
        say(f"paretune {metadata.version('paretune')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Optimize prompts and other text against a task that returns a reward."""


@app.command()
def demo(
    task: Annotated[str, typer.Option(help="money, order or date")] = "money",
    seed: Annotated[int, typer.Option(help="Seed of the run and of the drawn examples")] = 0,
    budget: Annotated[int | None, typer.Option(help="Rollouts, all splits together")] = None,
    proposer: Annotated[
        str, typer.Option(help="operators, reflect or none (the control: no proposals)")
    ] = "operators",
    shuffle_rewards: Annotated[bool, typer.Option(help="The other control: rewards without meaning")] = False,
    algorithm: Annotated[str, typer.Option(help="gepa, mipro or gepa+mipro")] = "gepa",
    store: StorePath = None,
    json: JsonLines = False,
) -> None:
    """GEPA improves the prompt of a small model that runs on this machine."""
    from paretune.cli.demo import DemoOptions, run_demo

    options = DemoOptions(task, seed, budget, proposer, shuffle_rewards, algorithm)
    run_demo(options, store, json=json)


@app.command()
def run(
    file: JobFile,
    task_url: TaskUrl = None,
    store: StorePath = None,
    fresh: Annotated[bool, typer.Option(help="Use no results of earlier runs")] = False,
    json: JsonLines = False,
) -> None:
    """Run a job document here, in this process."""
    from paretune.cli.session import read_job, start
    from paretune.cli.show import show
    from paretune.engine.workspace import Workspace

    job = read_job(file, task_url)
    with Workspace.open(store, new=True) as workspace:
        view = asyncio.run(start(job, workspace, fresh=fresh, json=json))
    if not json:
        show(view)


@app.command()
def resume(
    run_id: RunId = "last",
    task_url: TaskUrl = None,
    max_cost_usd: MaxCost = None,
    max_total_tokens: MaxTokens = None,
    max_policy_tokens: MaxPolicyTokens = None,
    max_proposer_tokens: MaxProposerTokens = None,
    max_verifier_tokens: MaxVerifierTokens = None,
    max_seconds: MaxSeconds = None,
    store: StorePath = None,
    json: JsonLines = False,
) -> None:
    """Carry on a run that was paused, killed or failed; under larger caps where they are given."""
    from paretune.cli.machine import tell_result
    from paretune.cli.runs import find
    from paretune.cli.session import go_on
    from paretune.cli.show import show
    from paretune.engine.caps import Caps
    from paretune.engine.workspace import Workspace
    from paretune.views.run_view import read

    tokens = (max_total_tokens, max_policy_tokens, max_proposer_tokens, max_verifier_tokens)
    caps = Caps(max_cost_usd, *tokens, max_seconds)
    with Workspace.open(store) as workspace:
        found = find(workspace.store, run_id)
        if found.status in ("succeeded", "cancelled"):
            caps.refuse_for(found)
            view = read(workspace.store, found.id)
            if json:
                tell_result(view)
        elif found.job["source"]["kind"] == "demo":
            from paretune.cli.demo import resume_demo

            view = resume_demo(found, workspace, caps, json=json)
        else:
            view = asyncio.run(go_on(found, workspace, task_url, caps, json=json))
    if not json:
        show(view)


@app.command("show")
def show_run(run_id: RunId = "last", store: StorePath = None, json: Json = False) -> None:
    """Candidates, diff, lift with intervals, coverage, cost, and what each key did."""
    from paretune.cli.runs import find
    from paretune.cli.show import as_data, show
    from paretune.engine.workspace import Workspace
    from paretune.views.run_view import read

    with Workspace.open(store) as workspace:
        view = read(workspace.store, find(workspace.store, run_id).id)
    as_json(as_data(view)) if json else show(view)


@app.command("runs")
def list_runs(store: StorePath = None, json: Json = False) -> None:
    """All runs of a store, newest first."""
    from paretune.engine.wishes import state
    from paretune.engine.workspace import Workspace

    with Workspace.open(store) as workspace:
        rows = [(run, state(workspace, run)) for run in workspace.store.runs()]
    if json:
        as_json([{"id": r.id, "name": r.name, "status": s, "created_at": r.created_at} for r, s in rows])
    for run, status in [] if json else rows:
        detail = one_line(f"{run.name}  {run.status_detail}", 120)
        say(f"{run.id}  {run.created_at[:19]}  {status:<11} {detail}")


@app.command()
def train(
    path: Annotated[Path | None, typer.Argument(help="Job document (TOML)")] = None,
    config: Annotated[list[Path] | None, typer.Option("--config", help="The same, as an option")] = None,
    type_: Annotated[str, typer.Option("--type", help="auto, prompt_learning, prompt")] = "auto",
    backend: Annotated[str | None, typer.Option(help="Address of the server")] = None,
    task_url: TaskUrl = None,
    model: Annotated[str | None, typer.Option(help="Over the file's policy.model")] = None,
    rollout_budget: Annotated[int | None, typer.Option(min=1, help="Over the file's")] = None,
    proposer_effort: Annotated[str | None, typer.Option(help="Over the file's")] = None,
    env_file: Annotated[
        list[Path] | None, typer.Option("--env-file", "--env", help="NAME=VALUE lines")
    ] = None,
    poll: Annotated[bool, typer.Option("--poll/--no-poll", help="Follow the job to its end")] = True,
    poll_timeout: Annotated[float, typer.Option(min=0, help="Seconds")] = 3600.0,
    poll_interval: Annotated[float, typer.Option(min=0.1, help="Seconds")] = 5.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the document, submit nothing")] = False,
    json: JsonLines = False,
) -> None:
    """Submit a job document to a server and follow it."""
    from paretune.cli import train as training

    file = training.chosen(path, config, type_)
    options = training.TrainOptions(
        file,
        backend,
        task_url,
        model,
        rollout_budget,
        proposer_effort,
        tuple(env_file or ()),
        poll,
        poll_timeout,
        poll_interval,
        dry_run,
    )
    training.train(options, json=json)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Others than this machine need a key")] = DEFAULT_HOST,
    port: Annotated[int, typer.Option(min=0, max=65535)] = DEFAULT_PORT,
    jobs: Annotated[int, typer.Option(help="Jobs at work at once", min=1)] = 4,
    rollouts: Annotated[int, typer.Option(help="Rollouts in flight, all jobs together", min=1)] = 128,
    waiting: Annotated[int, typer.Option(help="Jobs that may wait for their turn", min=1)] = 1000,
    streams: Annotated[int, typer.Option(help="Event streams that may be open", min=1)] = 500,
    pass_: Annotated[list[str] | None, typer.Option("--pass", help="A variable that jobs may name")] = None,
    allow_host: Annotated[list[str] | None, typer.Option(help="A name the server is asked by")] = None,
    store: StorePath = None,
) -> None:
    """Take jobs over HTTP and run them, each in a process of its own."""
    from paretune.cli.serve import serve_jobs
    from paretune.server.app import Settings

    hosts, passed = tuple(allow_host or ()), tuple(pass_ or ())
    serve_jobs(store, Settings(host, port, jobs, rollouts, waiting, streams, hosts, passed))


@app.command()
def console(
    place: Annotated[str | None, typer.Argument(help="A store, or the folder of a run")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535)] = CONSOLE_PORT,
) -> None:
    """Show runs in a browser: live ones and finished ones."""
    from paretune.cli.browse import console as browse

    browse(place, port)


@app.command()
def report(
    run_id: Annotated[
        str, typer.Argument(help="Run id, its beginning, `last`, or the folder of a run")
    ] = "last",
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write")] = Path("report.html"),
    store: StorePath = None,
) -> None:
    """A run's pages in one file that opens in any browser, without a server."""
    from paretune.cli.browse import report as write

    write(run_id, output, store)


@app.command()
def pause(run_id: RunId = "last", store: StorePath = None) -> None:
    """Ask a running process to come to rest; `resume` goes on."""
    from paretune.cli.runs import wish

    wish(run_id, store, "pause")


@app.command()
def cancel(run_id: RunId = "last", store: StorePath = None) -> None:
    """Ask a running process to end the run for good."""
    from paretune.cli.runs import wish

    wish(run_id, store, "cancel")


@app.command()
def forecast(file: JobFile, task_url: TaskUrl = None, store: StorePath = None, json: Json = False) -> None:
    """What the budget buys; only the container's description is read, no rollout is paid."""
    from paretune.cli.forecast import forecast_of, job_of, render

    cast = forecast_of(asyncio.run(job_of(file, task_url, store)), store)
    as_json(dataclasses.asdict(cast)) if json else render(cast)


@app.command("export")
def export_(run_id: RunId, folder: Path, store: StorePath = None) -> None:
    """One run as a folder: its record, and the evidence packet that people can read."""
    from paretune.cli.records import export

    export(run_id, folder, store)


@app.command("study")
def study_(
    run_id: RunId = "last",
    to: Annotated[Path, typer.Option("--to", help="The file to write, SQLite")] = Path("study.db"),
    store: StorePath = None,
) -> None:
    """A MIPRO run's trials as a study of Optuna: optuna-dashboard sqlite:///FILE shows it."""
    from paretune.cli.records import study

    study(run_id, to, store)


@app.command("import")
def import_(folder: Path, store: StorePath = None) -> None:
    """Take an exported run into the store."""
    from paretune.engine.workspace import Workspace
    from paretune.store.files import import_run

    with Workspace.open(store, new=True) as workspace:
        say(f"imported {import_run(folder, workspace.store)}")


@events.command("list")
def events_list(run_id: RunId = "last", store: StorePath = None, json: Json = False) -> None:
    """Every decision in order, one a line."""
    from paretune.cli.records import print_log

    print_log(run_id, store, json=json)


@events.command("verify")
def events_verify(run_id: RunId = "last", store: StorePath = None) -> None:
    """Is the record whole and unchanged, do its sums add up, and is the packet as written?"""
    from paretune.cli.records import verify

    verify(run_id, store)


@events.command("replay")
def events_replay(run_id: RunId = "last", store: StorePath = None) -> None:
    """Make every decision again from the facts alone; nothing is asked of anybody."""
    from paretune.cli.records import replay

    replay(run_id, store)


@container.command("check")
def container_check(
    url: str,
    api_key_env: Annotated[
        str, typer.Option(help="Environment variable that holds the key")
    ] = "ENVIRONMENT_API_KEY",
    deadline: Annotated[float, typer.Option(help="Seconds for each call")] = 60.0,
    seeds: Annotated[str, typer.Option(help="Seeds to ask for, as in 0,1,2; by default the first ones")] = "",
    json: Json = False,
) -> None:
    """Run the conformance kit on a task container and explain what is wrong."""
    from paretune.cli.containers import check_container

    check_container(url, api_key_env, deadline=deadline, seeds=seeds, json=json)


@container.command("serve")
def container_serve(
    target: Annotated[str, typer.Argument(help="FILE.py:NAME or module:NAME of a Container")],
    port: int = 8001,
    host: str = "127.0.0.1",
) -> None:
    """Serve a Container that was written in Python."""
    from paretune.cli.containers import serve_container

    serve_container(target, host, port)


@model.command("serve")
def model_serve(port: int = 8080, slots: Annotated[int, typer.Option(help="Requests at once")] = 4) -> None:
    """Serve the embedded model as an OpenAI-compatible endpoint, until interrupted."""
    from paretune.cli.containers import serve_model

    serve_model(port, slots)


@keys.command("create")
def keys_create(
    name: Annotated[str, typer.Option(help="What the key is for; shown in lists")],
    scope: Annotated[
        str, typer.Option(help="read, submit (which includes read) or admin (everything)")
    ] = "submit",
    store: StorePath = None,
) -> None:
    """Make a key. Its token is printed once, alone on standard output, and kept nowhere."""
    from paretune.cli.keys import create

    create(name, scope, store)


@keys.command("list")
def keys_list(store: StorePath = None, json: Json = False) -> None:
    """All keys, oldest first, without their tokens."""
    from paretune.cli.keys import print_keys

    print_keys(store, json=json)


@keys.command("revoke")
def keys_revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `paretune keys list` shows it")],
    store: StorePath = None,
) -> None:
    """End a key for good; a server that runs follows within a second."""
    from paretune.cli.keys import revoke

    revoke(key_id, store)
