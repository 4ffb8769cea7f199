"""`paretune demo`: the whole way on this machine, from a small model to a better prompt for it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

from paretune.cli import show
from paretune.cli.console import say
from paretune.cli.session import drive
from paretune.config import PromptLearningConfig
from paretune.core.errors import Misconfigured
from paretune.demo import TASKS
from paretune.demo.container import demo_container
from paretune.demo.job import as_toml, demo_document
from paretune.engine.caps import NO_CAPS, Caps, capped
from paretune.engine.launch import container, new_run, refuse_other_job
from paretune.engine.prepare import prepare
from paretune.engine.proposing import proposing
from paretune.engine.workspace import Workspace
from paretune.llm.chat import ChatModel
from paretune.llm.local import LocalModel
from paretune.propose.none import NoProposer
from paretune.store import Run, new_run_id
from paretune.views.lift import lift_table
from paretune.views.run_view import RunView

SLOTS = 4
ANSWER_TOKENS = 16


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the command line says. `shuffled`: rewards without meaning; proposer `none`: no proposals."""

    task: str
    seed: int
    budget: int | None
    proposer: str
    shuffled: bool
    algorithm: str = "gepa"

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise Misconfigured("--task", f"{self.task!r} is none of {', '.join(TASKS)}")
        if self.proposer not in ("operators", "reflect", "none"):
            raise Misconfigured("--proposer", f"{self.proposer!r} is none of operators, reflect, none")
        if self.algorithm not in ("gepa", "mipro", "gepa+mipro"):
            raise Misconfigured("--algorithm", f"{self.algorithm!r} is none of gepa, mipro, gepa+mipro")


@dataclass(frozen=True, slots=True)
class Stage:
    """A served task and the document that points at it."""

    config: PromptLearningConfig
    document: str


def run_demo(options: DemoOptions, store: str | None, *, json: bool) -> None:
    """Start model and container, run GEPA, show what came of it."""
    with Workspace.open(store, new=True) as workspace, _stage(options, json=json) as stage:
        view = asyncio.run(_run(options, stage, workspace, None, json=json))
    if not json:
        _tell(view, workspace, stage)


def resume_demo(run: Run, workspace: Workspace, caps: Caps, *, json: bool) -> RunView:
    """Carry on an interrupted demo: same model, same task, same record."""
    options = DemoOptions(**run.job["source"]["options"])
    with _stage(options, json=json) as stage:
        return asyncio.run(_run(options, stage, workspace, run, caps, json=json))


@contextmanager
def _stage(options: DemoOptions, *, json: bool) -> Iterator[Stage]:
    task = TASKS[options.task]
    if not json:
        say(f"task: {task.description}")
        say("starting the embedded model and a task container for it, both on this machine")
    with LocalModel(slots=SLOTS) as local:
        model = ChatModel(local.base_url, local.model, None, temperature=0.0, max_tokens=ANSWER_TOKENS)
        with demo_container(task, model, shuffled=options.shuffled).running() as url:
            document = demo_document(
                task,
                url,
                seed=options.seed,
                budget=options.budget,
                proposer="dspy" if options.proposer == "reflect" else "operators",
                slots=SLOTS,
                algorithm=options.algorithm,
            )
            yield Stage(PromptLearningConfig.from_mapping(document), as_toml(document))


async def _run(
    options: DemoOptions,
    stage: Stage,
    workspace: Workspace,
    earlier: Run | None,
    caps: Caps = NO_CAPS,
    *,
    json: bool,
) -> RunView:
    async with proposing(stage.config, os.environ) as named, container(stage.config, os.environ) as client:
        proposer = NoProposer() if options.proposer == "none" else named
        ready = await prepare(stage.config, client)
        if earlier is None:
            run_id = new_run_id()
            source = {"kind": "demo", "options": asdict(options)}
            workspace.store.create_run(new_run(run_id, ready.job, proposer, source=source))
        else:
            run_id = earlier.id
            refuse_other_job(earlier, ready.job, proposer)
            ready = replace(ready, job=capped(ready.job, earlier, workspace.store, caps))
        return await drive(workspace, run_id, ready, proposer, json=json)


def _tell(view: RunView, workspace: Workspace, stage: Stage) -> None:
    """What was found, how sure it is, where the evidence lies, and what to do next."""
    folder = workspace.run_folder(view.run.id)
    (folder / "job.toml").write_text(stage.document, "utf-8")
    show.winner(view)
    show.lifts(view)
    show.changed(view)
    show.costs(view)
    say()
    say(verdict(view), "bold")
    say()
    say(f"evidence: {folder}  (paretune show {view.run.id} prints all of it)")
    say(f"the job document behind this run: {folder / 'job.toml'}")
    say("your own task: write a container in ten lines (README), then: paretune run your-job.toml")


def verdict(view: RunView) -> str:
    """One sentence, no stronger than the interval allows."""
    lift = next((lift for lift in lift_table(view) if lift.role == "best" and lift.split == "test"), None)
    if view.best is not None and view.best.id == view.seed.id:
        return "no gain: the initial prompt is still the best"
    if lift is None:
        return "no figure: the held-out examples were not scored"
    difference = lift.comparison.difference
    figures = (
        f"{lift.before:.3f} -> {lift.after:.3f} on {difference.n} untouched held-out examples, "
        f"difference {show.interval(difference)}"
    )
    if lift.comparison.is_gain and not lift.missing:
        return f"a gain: {figures}"
    return f"no gain that can be told from noise: {figures}"
