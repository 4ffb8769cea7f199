"""Driving paretune on a landscape, in this process, with the pieces that the library itself is made of.

Another mode is another entry of `MODES`. The engine is told what an evaluator returns (score, answer, query,
feedback, objectives) and nothing else of the world.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.result import Incumbent, Result, Texts
from paretune.algorithms.settings import GepaSettings, Pipeline, Rungs, Staleness
from paretune.config import GEPAConfig
from paretune.core import events
from paretune.core.budget import Limits
from paretune.core.candidate import Candidate
from paretune.core.example import Example, Split, Splits
from paretune.core.rollout import Answer, Identity, Usage
from paretune.engine.job import Job
from paretune.engine.resolve.gepa import settings_of
from paretune.engine.run import Live, Runner, Watch
from paretune.evaluate.evaluator import QueueSettings
from paretune.evaluate.executors import FunctionExecutor
from paretune.llm.chat import Completion
from paretune.propose.reflect import ReflectiveProposer
from paretune.store import MemoryStore, Run, new_run_id


def _async(lanes: int, **pipeline: Any) -> GepaSettings:
    """Lanes on one head; everything else as in `classic`, with a minibatch of 8."""
    classic = GepaSettings.classic(minibatch_size=8)
    return replace(classic, pipeline=Pipeline(lanes=lanes, **pipeline))


# What a job document gets that names a budget and 32 rollouts at once, and says not a word about the search.
DEFAULT = settings_of(GEPAConfig.model_validate({"rollout": {"max_concurrent": 32}}), None, capped=True)

MODES: dict[str, GepaSettings] = {
    "classic": GepaSettings.classic(),
    "classic8": GepaSettings.classic(minibatch_size=8),
    "classic16": GepaSettings.classic(minibatch_size=16),
    "classic8-rungs": replace(GepaSettings.classic(minibatch_size=8), rungs=Rungs()),
    "default": DEFAULT,
    "population": GepaSettings(),
    **{f"async{lanes}": _async(lanes) for lanes in (1, 2, 4, 8)},
    "async1-16": replace(_async(1), minibatch_size=16),
    "guards": _async(4, guards=16),
    "accept": _async(4, staleness=Staleness.ACCEPT),
    "drop": _async(4, staleness=Staleness.DROP),
    "no-panel": _async(4, panel=0),
    "validate-all": _async(4, validate_every=1, validation_share=1.0),
    "no-plateau": _async(4, plateau=1_000_000),
}


def run(
    world: Any,
    reflection_lm: Callable[[Any], str],
    settings: GepaSettings,
    *,
    budget: int,
    concurrency: int = 8,
    sleep: bool = False,
    seed: int = 0,
    told: Callable[[events.Decision], None] = lambda decision: None,
) -> Result:
    """One run; with `sleep` rollouts and reflections take their time, in threads. Decisions are `told`."""
    # Some threads beside the rollouts', so that a reflection never waits for one.
    with ThreadPoolExecutor(concurrency + 16) as threads:
        side = _Evaluator(world, threads if sleep else None)
        job = Job(
            "landscape",
            Candidate(world.seed_candidate()),
            side.splits(),
            Identity("landscape", "1", str(world.seed)),
            settings=replace(settings, seed=seed),
            limits=Limits(rollouts=budget),
            queue=QueueSettings(concurrency=concurrency),
        )
        proposer = ReflectiveProposer(_Chat(reflection_lm, threads if sleep else None))
        store, run_id = MemoryStore(), new_run_id()
        store.create_run(
            Run(run_id, "landscape", "", {**job.record(), "proposer": proposer.identity, "source": {}})
        )
        progress = _Progress(side)

        def decided(made: events.Decision) -> None:
            progress.decided(made)
            told(made)

        watch = Watch(decided, progress.live.append)
        runner = Runner(store, run_id, job, FunctionExecutor(side.score), proposer, watch)
        if not sleep:
            runner.clock = lambda: 0.0  # a hiccup of the machine is no latency of the world
        best = asyncio.run(runner.run())
        wall = progress.seconds()
    progress.reached(best.components)
    drawn = len(progress.live[0].ledger.drawn)
    means = tuple(progress.means)
    return Result(dict(best.components), tuple(progress.curve), side.calls, drawn, wall, means)


class _Evaluator:
    """The far side: rollouts of the world, counted."""

    def __init__(self, world: Any, threads: ThreadPoolExecutor | None) -> None:
        self._world = world
        self._threads = threads
        self._examples = {example.id: example for example in (*world.train, *world.val)}
        self.calls = 0

    def splits(self) -> Splits:
        return Splits(
            tuple(Example(e.id, Split.REFLECT, {"id": e.id}) for e in self._world.train),
            tuple(Example(e.id, Split.PARETO, {"id": e.id}) for e in self._world.val),
        )

    async def score(self, components: Texts, data: Mapping[str, Any]) -> Answer:
        example = self._examples[data["id"]]
        self.calls += 1
        rollout = await _called(
            self._threads, self._world.rollout, dict(components), example, bool(self._threads)
        )
        return Answer(
            rollout.score,
            objectives=dict(rollout.objectives),
            input=example.query,
            output=rollout.answer,
            feedback=rollout.feedback,
        )


@dataclass(frozen=True, slots=True)
class _Chat:
    """The reflection model as a chat model."""

    lm: Callable[[Any], str]
    threads: ThreadPoolExecutor | None
    identity: str = "landscape"

    async def complete(self, messages: Sequence[Mapping[str, str]]) -> Completion:
        text = await _called(self.threads, self.lm, [dict(message) for message in messages])
        return Completion(text, "stop", Usage())


async def _called(threads: ThreadPoolExecutor | None, function: Callable[..., Any], *arguments: Any) -> Any:
    """In a thread if there are any, where a call may sleep; else right here."""
    if threads is None:
        return function(*arguments)
    return await asyncio.get_running_loop().run_in_executor(threads, function, *arguments)


@dataclass(slots=True)
class _Progress:
    """Who was the incumbent when, and every full evaluation, from the decisions of the run."""

    side: _Evaluator
    began: float = field(default_factory=time.perf_counter)
    live: list[Live] = field(default_factory=list)
    curve: list[Incumbent] = field(default_factory=list)
    means: list[tuple[Texts, float]] = field(default_factory=list)

    def seconds(self) -> float:
        return time.perf_counter() - self.began

    def decided(self, decision: events.Decision) -> None:
        if isinstance(decision, events.CandidateAdmitted):
            if not decision.pool:  # else an estimate
                self.means.append((decision.components, decision.mean))
            if decision.best:
                self.reached(decision.components)

    def reached(self, components: Texts) -> None:
        if not self.curve or self.curve[-1].texts != components:
            self.curve.append(Incumbent(self.side.calls, self.seconds(), dict(components)))
