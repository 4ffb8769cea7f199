"""A run of the library, from what was asked for to a result: store, job and search."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paretune.algorithms.gepa import Gepa, Ports
from paretune.algorithms.guided import Guided, Merging
from paretune.algorithms.settings import GepaSettings
from paretune.core.budget import Limits
from paretune.core.candidate import Candidate
from paretune.core.canonical import digest, stream
from paretune.core.errors import Misconfigured, RunFailed
from paretune.core.example import Split, Splits
from paretune.core.rollout import Identity
from paretune.engine.job import Job
from paretune.engine.launch import new_run, refuse_other_job
from paretune.engine.run import Live, Runner, Watch
from paretune.engine.workspace import Workspace
from paretune.evaluate.evaluator import QueueSettings
from paretune.library.adapter import GEPAAdapter, ProposalFn
from paretune.library.evaluation import AdapterExecutor, Caller, Data, Outcomes
from paretune.library.guide import LibraryGuide, Strategies
from paretune.library.proposer import LibraryProposer
from paretune.library.reflection import ReflectionLM
from paretune.library.result import GEPAResult
from paretune.library.state import FrontierType
from paretune.propose.base import Surface
from paretune.store import WORKSPACE, MemoryStore, Run, Store, new_run_id

PICKLES = ("gepa_state.bin",)
"""What a run of gepa leaves in its folder."""
ONE_BATCH = 1_000_000
"""Rollouts in flight: an adapter gets its batches whole, and says itself how many run at once."""
NO_DEADLINE = 10.0**8
"""Seconds. Code of the user ends when it ends."""


@dataclass(frozen=True, slots=True)
class Request:
    """All that a run needs, checked. `calls` caps evaluations (None: the stoppers do), `merges` the accepted
    ones. `raising`: what code of the user raises ends the run.
    """

    seed_candidate: dict[str, str]
    train: Data
    val: Data
    adapter: GEPAAdapter[Any, Any, Any]
    reflection: ReflectionLM | None
    custom: ProposalFn | None
    strategies: Strategies
    surface: Surface = field(default_factory=Surface)
    settings: GepaSettings = field(default_factory=GepaSettings.classic)
    frontier_type: FrontierType = "instance"
    merges: int = 0
    calls: int | None = None
    copies: bool = True
    raising: bool = True
    run_dir: Path | None = None
    callbacks: Sequence[Any] = ()
    track_best_outputs: bool = True

    @property
    def shared(self) -> bool:
        """Whether validation looks at the very examples that proposals are made from."""
        return self.val is self.train


async def carry_out(request: Request, call: Caller) -> GEPAResult[Any, Any]:
    """The result. Raises what code of the user raised (`raising`), Misconfigured, or RunFailed."""
    job = _job(request)
    executor = _executor(request, call)
    guide = _guide(request, job, executor)
    proposer = LibraryProposer(executor, guide, call, request.reflection, request.custom)
    with ExitStack() as stack:
        store, known = _store(request.run_dir, stack)
        run_id = _begun(store, job, proposer)
        guide.known_before = known
        runner = Runner(
            store,
            run_id,
            job,
            executor,
            proposer,
            Watch(live=lambda live: _attend(guide, proposer, live)),
            search=lambda job, ports: _search(job, ports, guide, request),
        )
        guide.begun({"seed": request.settings.seed, "perfect_score": request.settings.perfect})
        try:
            await runner.run()
        except RunFailed as failure:
            if executor.raised is not None:
                raise executor.raised from None
            if request.raising or not guide.has_seed:
                raise
            guide.tell("error", exception=failure, will_continue=False)
        guide.over()
    return GEPAResult.from_state(
        guide.state,
        run_dir=str(request.run_dir) if request.run_dir else None,
        seed=request.settings.seed,
    )


def _job(request: Request) -> Job:
    splits = _splits(request)
    if request.calls is not None and request.calls < len(splits.pareto):
        raise Misconfigured(
            "max_metric_calls",
            f"{request.calls} does not hold one evaluation of the seed candidate on all {len(splits.pareto)} "
            "validation examples; give more calls or fewer examples",
        )
    return Job(
        "optimize",
        Candidate(request.seed_candidate),
        splits,
        Identity("library", _content(request), ""),
        settings=request.settings,
        surface=request.surface,
        limits=Limits(rollouts=request.calls),
        queue=QueueSettings(concurrency=ONE_BATCH, deadline=NO_DEADLINE),
        tolerance=1.0,
    )


def _splits(request: Request) -> Splits:
    reflect, pareto = request.train.examples(), request.val.examples()
    for name, examples in (("trainset", reflect), ("valset", pareto)):
        if not examples:
            raise Misconfigured(name, "it has no examples")
    return Splits(reflect, pareto)


def _content(request: Request) -> str:
    """Names the data as far as it can be written down: results in a folder are of these examples."""
    told = []
    for data in (request.train, request.val):
        ids = list(data.loader.all_ids())
        told.append([len(ids), *(_named(one) for one in data.loader.fetch(ids[:1000]))])
    return digest(told, 16)


def _named(value: Any) -> str:
    try:
        return digest(value, 16)
    except (TypeError, ValueError, RecursionError):
        return type(value).__qualname__


def _executor(request: Request, call: Caller) -> AdapterExecutor:
    lasting = frozenset({Split.REFLECT}) if request.shared else frozenset()
    return AdapterExecutor(
        request.adapter,
        {request.train.split: request.train, request.val.split: request.val},
        call,
        Outcomes(lambda split: split in lasting or (request.track_best_outputs and split is Split.PARETO)),
        readable=request.copies,
        raising=request.raising,
    )


def _guide(request: Request, job: Job, executor: AdapterExecutor) -> LibraryGuide:
    return LibraryGuide(
        job.seed,
        request.train,
        request.val,
        request.strategies,
        executor,
        callbacks=request.callbacks,
        frontier_type=request.frontier_type,
        track_best_outputs=request.track_best_outputs,
        most_calls=request.calls,
        run_dir=str(request.run_dir) if request.run_dir else None,
    )


def _search(job: Job, ports: Ports, guide: LibraryGuide, request: Request) -> Gepa:
    return Guided(job.splits, job.surface, job.settings, ports, guide=guide, merging=Merging(request.merges))


def _attend(guide: LibraryGuide, proposer: LibraryProposer, live: Live) -> None:
    """From now on the guide knows what is spent, and whether what happens is new."""
    guide.spent = lambda: len(live.ledger.drawn)
    guide.replays = lambda: (
        live.record.replaying or (guide.known_before and not proposer.asked and not guide.executor.calls)
    )


# -- where it is kept --------------------------------------------------------------------------------------


def _store(run_dir: Path | None, stack: ExitStack) -> tuple[Store, bool]:
    """The store of the run's folder, or one in memory; and whether something is known already."""
    if run_dir is None:
        return MemoryStore(), False
    for name in PICKLES:
        if (run_dir / name).exists():
            raise Misconfigured(
                "run_dir",
                f"{run_dir} holds {name}, a pickle that gepa left: it can run any code when it is read, and "
                "lacks what an exact resume needs. Name another folder",
            )
    run_dir.mkdir(parents=True, exist_ok=True)
    workspace = stack.enter_context(Workspace.open(str(run_dir / WORKSPACE), new=True))
    return workspace.store, bool(workspace.store.runs())


def _begun(store: Store, job: Job, proposer: LibraryProposer) -> str:
    """The run of this job that is not over yet, or a new one, which finds the results of all before it."""
    for run in store.runs():
        if run.status != "succeeded" and run.job["digest"] == job.digest:
            refuse_other_job(run, job, proposer)
            return run.id
    run_id = new_run_id()
    row: Run = new_run(run_id, job, proposer, source={"kind": "library"})
    store.create_run(row)
    return run_id


# -- what strategies draw from -----------------------------------------------------------------------------


def draws(seed: int) -> Callable[[str], random.Random]:
    """A generator for each purpose, which no other draw moves."""
    return lambda purpose: stream(seed, purpose, 0)
