"""Starting, carrying and comparing runs on the synthetic task."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from paretune.algorithms.mipro import MiproSettings, Stage
from paretune.algorithms.mipro.settings import Bootstrap
from paretune.algorithms.settings import GepaSettings, Pipeline, PoolSettings, Proxy, Rungs
from paretune.core.budget import Limits
from paretune.core.candidate import Candidate
from paretune.core.demonstrations import COMPONENT, NONE
from paretune.core.example import Splits
from paretune.core.rollout import Identity
from paretune.engine.job import Job
from paretune.engine.run import Runner
from paretune.evaluate.evaluator import QueueSettings
from paretune.propose.base import Proposer, Surface
from paretune.propose.reflect import ReflectiveProposer
from paretune.store import MemoryStore, Run, Store, Write, new_run_id
from paretune.views.evidence import result
from paretune.views.run_view import read
from support.rulebook import HintProposer, Rulebook, RulebookExecutor, ScriptedModel

THREE = ("tone", "facts", "closing")
"""Component names, not in alphabetical order."""


@dataclass(frozen=True, slots=True)
class Case:
    """A job on a world, and who proposes. `make` turns a seed into one."""

    book: Rulebook
    splits: Splits
    settings: GepaSettings
    limits: Limits
    model: bool = False
    queue: QueueSettings = QueueSettings()
    lo: Identity | None = None
    mipro: MiproSettings | None = None
    algorithm: str = "mipro"

    def job(self, **changes: Any) -> Job:
        own: dict[str, Any] = {"settings": self.settings, "limits": self.limits, "queue": self.queue}
        own |= {"lo": self.lo}
        start = self.book.start()
        if self.mipro is not None:
            own |= {"mipro": self.mipro, "algorithm": self.algorithm}
            own |= {"surface": Surface(formats={COMPONENT: COMPONENT})}
            start = {**start, COMPONENT: NONE}
        return Job(
            "rulebook",
            Candidate(start),
            self.splits,
            Identity("rulebook", "1", f"{self.book.seed}/{self.book.signal}"),
            **{**own, **changes},
        )

    def proposer(self) -> HintProposer | ReflectiveProposer:
        seed = self.book.seed
        return ReflectiveProposer(ScriptedModel(seed)) if self.model else HintProposer(seed)


def classic(seed: int) -> Case:
    """The paper: one component, no selection split, no test split."""
    book = Rulebook(seed)
    settings = GepaSettings.classic(seed=seed)
    return Case(book, book.splits(), settings, Limits(rollouts=240, steps=60))


def merging(seed: int) -> Case:
    """The document's defaults, smaller: three components, generations, merges, finalists, a test."""
    book = Rulebook(seed, THREE, rules=6, most=2)
    settings = GepaSettings(
        seed=seed,
        minibatch_size=4,
        initial_size=10,
        generations=4,
        children_per_generation=8,
        mutation_rate=0.0,
        patience=0,
        archive_size=8,
    )
    splits = book.splits(reflect=16, pareto=16, select=8, test=8)
    return Case(book, splits, settings, Limits(rollouts=700), model=True)


def shared(seed: int) -> Case:
    """The frontier's examples are the ones to reflect on."""
    book = Rulebook(seed, THREE[:2])
    settings = GepaSettings(
        seed=seed, minibatch_size=4, initial_size=3, generations=8, children_per_generation=3
    )
    return Case(book, book.splits(pareto=14, test=10, shared=True), settings, Limits(rollouts=350))


def judged(seed: int) -> Case:
    """The paper's search, with a selection split and a test split, through the reflective proposer."""
    book = Rulebook(seed, THREE[:2])
    settings = GepaSettings.classic(seed=seed)
    splits = book.splits(reflect=9, pareto=12, select=10, test=12)
    return Case(book, splits, settings, Limits(rollouts=240, steps=60), model=True)


def rungs(seed: int) -> Case:
    """Full evaluations that stop early, more readily than anybody should ask for; a full archive."""
    book = Rulebook(seed, THREE[:2], rules=6, myths=8, flaky=0.3)
    settings = replace(
        GepaSettings.classic(seed=seed, minibatch_size=1), archive_size=4, rungs=Rungs(4, 0.8, 0.5)
    )
    return Case(book, book.splits(pareto=24, test=6), settings, Limits(rollouts=420, steps=60))


def lanes(seed: int) -> Case:
    """Three lanes on one head, three components, a short plateau; no end but the budget."""
    book = Rulebook(seed, THREE, rules=18, most=2, flaky=0.3)
    pipeline = Pipeline(lanes=3, validate_every=2, validation_share=0.5, panel=6, plateau=1)
    settings = replace(
        GepaSettings.classic(seed=seed, minibatch_size=4), crossover_rate=0.4, pipeline=pipeline
    )
    return Case(book, book.splits(reflect=24, pareto=16), settings, Limits(rollouts=500, steps=60))


def crowded(seed: int) -> Case:
    """Eight lanes that edit the same few lines, shared examples, finalists and a test. The patience is more
    than two steps of each lane."""
    book = Rulebook(seed, rules=6, myths=3)
    pipeline = Pipeline(lanes=8, validate_every=1, validation_share=1.0, plateau=2)
    settings = replace(GepaSettings.classic(seed=seed, minibatch_size=3), patience=18, pipeline=pipeline)
    splits = book.splits(pareto=14, select=8, test=6, shared=True)
    return Case(book, splits, settings, Limits(rollouts=420, steps=60), model=True)


CHEAP = Identity("rulebook", "1", "cheap")
SCREEN = Proxy(n_min_hi=4, verify_every=3)


def screened(seed: int) -> Case:
    """A cheap policy looks at children before they are evaluated in full; one component, a test."""
    book = Rulebook(seed, rules=8, myths=8, flaky=0.2)
    settings = replace(
        GepaSettings.classic(seed=seed, minibatch_size=1), rungs=Rungs(16, 0.3, 0.5), proxy=SCREEN
    )
    return Case(book, book.splits(pareto=32, test=6), settings, Limits(rollouts=700, steps=40), lo=CHEAP)


def lanes_screened(seed: int) -> Case:
    """Lanes whose heads a cheap policy looks at before they are validated."""
    case = lanes(seed)
    settings = replace(case.settings, proxy=SCREEN)
    splits = case.book.splits(reflect=24, pareto=32)
    return replace(case, splits=splits, settings=settings, limits=Limits(rollouts=700, steps=40), lo=CHEAP)


def trials(seed: int) -> Case:
    """MIPRO: three components as one stage, demonstrations that mean nothing here, two rounds of texts."""
    book = Rulebook(seed, THREE, rules=12, most=2, flaky=0.3)
    stage = Stage("", THREE, COMPONENT, instructions=5, demo_sets=3)
    mipro = MiproSettings((stage,), Bootstrap(threshold=1.0), batch=6, at_once=3, rounds=(9,), startup=4)
    settings = replace(
        GepaSettings.classic(seed=seed, minibatch_size=6),
        generations=6,
        children_per_generation=4,
        pipeline=Pipeline(lanes=3, panel=0),
    )
    splits = book.splits(reflect=12, pareto=16, test=8)
    return Case(book, splits, settings, Limits(rollouts=420, steps=60), mipro=mipro)


def trials_tight(seed: int) -> Case:
    """MIPRO with so few rollouts that the initial prompt is measured on a batch only."""
    return replace(trials(seed), limits=Limits(rollouts=130, steps=60))


SHRINKING = PoolSettings(6, 20, 10, 2, 6, 1, 1, 5, 0.5, heat=3, cooldown=3)


def pooled(seed: int) -> Case:
    """The paper's search on a pool that shrinks to less than half of the examples, with heat-ups."""
    book = Rulebook(seed, THREE[:2], rules=6, myths=8, flaky=0.3)
    settings = replace(
        GepaSettings.classic(seed=seed, minibatch_size=2), children_per_generation=3, pool=SHRINKING
    )
    return Case(book, book.splits(pareto=24, test=6), settings, Limits(rollouts=420, steps=60))


def pooled_lanes(seed: int) -> Case:
    """Three lanes whose heads are validated on such a pool."""
    case = lanes(seed)
    settings = replace(case.settings, children_per_generation=3, pool=SHRINKING)
    return replace(case, splits=case.book.splits(reflect=24, pareto=24), settings=settings)


POOLED: Mapping[str, Callable[[int], Case]] = {"pooled": pooled, "pooled lanes": pooled_lanes}

SYNC: Mapping[str, Callable[[int], Case]] = {
    "classic": classic,
    "merging": merging,
    "shared": shared,
    "judged": judged,
    "rungs": rungs,
    "screened": screened,
}


def both(seed: int) -> Case:
    """GEPA in lanes, MIPRO, and GEPA again."""
    case = trials(seed)
    pipeline = Pipeline(lanes=2, validate_every=2, validation_share=0.5, panel=4, plateau=1)
    settings = replace(GepaSettings.classic(seed=seed, minibatch_size=4), pipeline=pipeline)
    return replace(case, settings=settings, algorithm="gepa+mipro")


def trials_screened(seed: int) -> Case:
    """MIPRO's full evaluations, looked at by a cheap policy."""
    case = trials(seed)
    settings = replace(case.settings, rungs=Rungs(16, 0.3, 0.5), proxy=SCREEN)
    splits = case.book.splits(reflect=12, pareto=32, test=8)
    return replace(case, splits=splits, settings=settings, limits=Limits(rollouts=700, steps=60), lo=CHEAP)


ASYNC: Mapping[str, Callable[[int], Case]] = {
    "lanes": lanes,
    "crowded": crowded,
    "lanes-screened": lanes_screened,
    "trials": trials,
    "trials-tight": trials_tight,
    "both": both,
    "trials-screened": trials_screened,
}
CASES: Mapping[str, Callable[[int], Case]] = {**SYNC, **ASYNC}


def begin(store: Store, job: Job, proposer: Proposer, run_id: str = "") -> str:
    """Put a new run into the store, as the command line does."""
    run_id = run_id or new_run_id()
    record = {**job.record(), "proposer": proposer.identity, "source": {}}
    store.create_run(Run(run_id, job.name, "2025-01-01T00:00:00Z", record))
    return run_id


@dataclass(frozen=True, slots=True)
class Finished:
    """A run at its end, and who was asked."""

    store: Store
    run_id: str
    best: Candidate
    executor: RulebookExecutor
    proposer: HintProposer | ReflectiveProposer

    def canonical(self) -> dict[str, Any]:
        return canonical(self.store, self.run_id)

    def result(self) -> dict[str, Any]:
        return plain_result(self.store, self.run_id)


def stands_still() -> float:
    """A clock for tasks that take no time: a machine that hesitates must not be taken for a slow task."""
    return 0.0


async def carry(case: Case, *, store: Store | None = None, run_id: str = "", **changes: Any) -> Finished:
    """Start the case (or go on with `run_id`) and carry it to its end."""
    store = store or MemoryStore()
    job, proposer, executor = case.job(**changes), case.proposer(), RulebookExecutor(case.book)
    run_id = run_id or begin(store, job, proposer)
    best = await Runner(store, run_id, job, executor, proposer, clock=stands_still).run()
    return Finished(store, run_id, best, executor, proposer)


def canonical(store: Store, run_id: str) -> dict[str, Any]:
    """The record as runs are compared: decisions in order, facts sorted by key; no times, no attempt ids."""
    facts = store.facts(store.drawn(run_id), run_id)
    return {
        "decisions": [[stored.key, dict(stored.body)] for stored in store.decisions(run_id)],
        "facts": [[key, facts[key].kind, dict(facts[key].body)] for key in sorted(facts)],
    }


def plain_result(store: Store, run_id: str) -> dict[str, Any]:
    """The result without the run's id, as JSON has it."""
    found: dict[str, Any] = json.loads(json.dumps(result(read(store, run_id))))
    found.pop("run_id")
    return found


def first_difference(one: Any, other: Any, path: str = "") -> str:
    """Where two records part, in a line that fits on a screen; empty when they do not."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        pairs = [(f"{path}.{key}", one[key], other[key]) for key in one]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = [(f"{path}[{i}]", a, b) for i, (a, b) in enumerate(zip(one, other, strict=True))]
    else:
        return "" if one == other else f"{path}: {str(one)[:200]} != {str(other)[:200]}"
    return next((found for where, a, b in pairs if (found := first_difference(a, b, where))), "")


class JournalStore(MemoryStore):
    """Keeps each commit, so that a test can go back to the moment after any of them."""

    def __init__(self) -> None:
        super().__init__()
        self.commits: list[list[Write]] = []

    def commit(self, run_id: str, writes: Sequence[Write]) -> frozenset[str]:
        others = super().commit(run_id, writes)
        self.commits.append(list(writes))
        return others

    def after(self, run_id: str, commits: int) -> JournalStore:
        """A store that died after so many commits."""
        store = JournalStore()
        store.create_run(replace(self.run(run_id), status="queued", status_detail="", wish=""))
        for writes in self.commits[:commits]:
            store.commit(run_id, writes)
        return store
