"""Driving one run from the command line: start, resume, lock, signals, telling, evidence."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from paretune.cli.live import LiveView
from paretune.cli.machine import Lines
from paretune.cli.panel import watched
from paretune.cli.progress import Plain
from paretune.config import PromptLearningConfig, refuse_not_available
from paretune.core.errors import Misconfigured
from paretune.engine.caps import Caps, capped, keep
from paretune.engine.job import Job
from paretune.engine.judging import judge_of, registered_in, with_verifier
from paretune.engine.launch import launched, new_run, refuse_other_job
from paretune.engine.prepare import Prepared
from paretune.engine.run import Runner
from paretune.engine.workspace import Workspace
from paretune.propose.base import Proposer
from paretune.store import Run, Store, new_run_id, open_verifiers
from paretune.views.evidence import write_packet
from paretune.views.run_view import RunView, read


def read_job(file: Path, task_url: str | None) -> PromptLearningConfig:
    """A document that can run, with another address for its container where one is given.

    Raises Misconfigured, or NotAvailable for what is not built.
    """
    config = PromptLearningConfig.from_path(file)
    refuse_not_available(config)
    return with_url(config, task_url)


def with_url(config: PromptLearningConfig, task_url: str | None) -> PromptLearningConfig:
    """The document with another address for its container."""
    if not task_url:
        return config
    if not task_url.startswith(("http://", "https://")):
        raise Misconfigured("--task-url", "must start with http:// or https://")
    return config.model_copy(update={"task_app_url": task_url.rstrip("/")})


async def start(config: PromptLearningConfig, workspace: Workspace, *, fresh: bool, json: bool) -> RunView:
    """A new run of this document."""
    run_id = new_run_id()
    config = registered(config, workspace)
    async with launched(config, os.environ, fresh=run_id if fresh else "") as launch:
        source = {"kind": "document", "fresh": fresh}
        workspace.store.create_run(new_run(run_id, launch.ready.job, launch.proposer, source=source))
        return await drive(workspace, run_id, launch.ready, launch.proposer, json=json)


def registered(config: PromptLearningConfig, workspace: Workspace) -> PromptLearningConfig:
    """The document with the verifier that it names, if that is registered in the store. Raises
    Misconfigured."""
    if (judge := judge_of(config)) is None or not judge.synth_verifier_id:
        return config
    with closing(open_verifiers(workspace.address)) as verifiers:
        return with_verifier(config, registered_in(verifiers))


async def go_on(run: Run, workspace: Workspace, task_url: str | None, caps: Caps, *, json: bool) -> RunView:
    """An earlier run, from where its record stands. Raises Misconfigured if the task is not the same or lives
    in a program of the user, or a cap is below what is spent."""
    if run.job["source"]["kind"] == "library":
        raise Misconfigured(
            "the task",
            f"that of {run.id} is a function of your program: call it again with the same run_dir",
        )
    config = with_url(PromptLearningConfig.from_mapping(run.job["document"]), task_url)
    fresh = run.id if run.job["source"].get("fresh") else ""
    async with launched(config, os.environ, fresh=fresh) as launch:
        refuse_other_job(run, launch.ready.job, launch.proposer)
        ready = replace(launch.ready, job=capped(launch.ready.job, run, workspace.store, caps))
        return await drive(workspace, run.id, ready, launch.proposer, json=json)


async def drive(
    workspace: Workspace, run_id: str, ready: Prepared, proposer: Proposer, *, json: bool = False
) -> RunView:
    """Carry the run to its end or its rest, then write the evidence packet. Errors pass through.

    Meanwhile it is told of, with `json` also how it ended.
    """
    store, folder = workspace.store, workspace.run_folder(run_id)
    rare_collections()
    with workspace.exclusive(run_id):
        keep(store, run_id, ready.job)
        telling = _telling(store, run_id, ready.job, json=json)
        runner = Runner(store, run_id, ready.job, ready.executor, proposer, watch=telling.watch)
        with _interruptible(runner.stop, telling.note):
            try:
                async with telling:
                    await runner.run()
            finally:
                view = telling.view or read(store, run_id)
                write_packet(view, folder)
                telling.end(view)
    return view


def _telling(store: Store, run_id: str, job: Job, *, json: bool) -> LiveView | Lines | Plain:
    """Lines for programs, a view where lines can move, else lines for people."""
    if json:
        return Lines(store, run_id)
    return LiveView(store, run_id, job) if watched() else Plain()


def rare_collections() -> None:
    """For a process that does nothing else: a rollout leaves no cycles behind, and looking for some among all
    that is kept takes a tenth of the time."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@contextmanager
def _interruptible(stop: asyncio.Event, note: Callable[[str], None]) -> Iterator[None]:
    """The first signal lets the run come to rest; the second ends the process as it would."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)

    def rest() -> None:
        note("coming to rest; once more to stop at once")
        stop.set()
        for number in signals:
            loop.remove_signal_handler(number)

    for number in signals:
        loop.add_signal_handler(number, rest)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
