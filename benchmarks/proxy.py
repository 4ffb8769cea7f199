"""Proxy models measured: the estimator, the documented rule's failures, and whole searches.

    python benchmarks/proxy.py estimator            # bias, saved calls, when it switches off (seconds)
    python benchmarks/proxy.py r2                   # where the rule "r2" goes wrong (seconds)
    python benchmarks/proxy.py search --landscape rules --worlds 10 --val 300 --mode classic8-rungs

Each prints a Markdown table, with the command above it. In a search LO answers as HI does on a part of the
examples, and on the others as another world would: so much is the correlation, of rewards and of
differences. A HI rollout costs $0.01, LO's `--price` of it; runs end after `--steps` steps, so what they cost
can be compared.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import ours
from benchmarks.landscapes import load
from paretune.algorithms.proxy import ControlVariate, R2Rule, Sight, State
from paretune.algorithms.rungs import Contest
from paretune.algorithms.settings import Proxy, ProxyRule
from paretune.core.budget import Limits
from paretune.core.candidate import Candidate
from paretune.core.control_variate import Moments, estimate, least_dear
from paretune.core.example import Example, Split, Splits
from paretune.core.rollout import Answer, Identity, Usage
from paretune.engine.job import Job
from paretune.engine.run import Runner
from paretune.evaluate.evaluator import QueueSettings
from paretune.evaluate.executors import Dispatch
from paretune.llm.chat import Completion
from paretune.propose.reflect import ReflectiveProposer
from paretune.store import MemoryStore, Run, new_run_id
from paretune.views.proxy import proxy
from paretune.views.run_view import read

HI_USD = 0.01
SEEDS = 200
CORRELATIONS = (0.9, 0.5, 0.0)


def pairs(
    rng: random.Random, examples: int, correlation: float, mean: float = 0.0
) -> tuple[list[float], ...]:
    """HI and LO of each example, differences of rewards say: normal, standard deviation .5."""
    hi, lo = [], []
    for _ in range(examples):
        dear = rng.gauss(0, 1)
        lo.append(0.5 * (correlation * dear + math.sqrt(1 - correlation**2) * rng.gauss(0, 1)))
        hi.append(mean + 0.5 * dear)
    return hi, lo


# -- the estimator ----------------------------------------------------------------------------------------


def estimator() -> Iterator[str]:
    examples, alone = 300, 100
    yield f"{examples} examples, {SEEDS} seeds. HI alone on {alone}; with LO on all, HI on as many as give"
    yield "the same error by the formula. Bias is the mean error with its standard error.\n"
    yield "| correlation | HI calls | saved | bias | error (root mean square) | HI alone | error claimed |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for correlation in CORRELATIONS:
        n = least_dear(correlation, alone, examples)
        off, plain, claimed = [], [], []
        for seed in range(SEEDS):
            hi, lo = pairs(random.Random(seed), examples, correlation)
            found = estimate(hi[:n], lo[:n], lo)
            truth = statistics.fmean(hi)
            off.append(found.mean - truth)
            plain.append(statistics.fmean(hi[:alone]) - truth)
            claimed.append(found.error)
        yield (
            f"| {correlation} | {n} | {1 - n / alone:.0%} | {statistics.fmean(off):+.4f} "
            f"({statistics.stdev(off) / math.sqrt(SEEDS):.4f}) | {_rms(off):.4f} | {_rms(plain):.4f} "
            f"| {_rms(claimed):.4f} |"
        )
    yield "\nWhether LO stays on, by what it costs: share of seeds, and the pairs that it took to decide.\n"
    yield "| correlation | " + " | ".join(f"price {price:.0%}" for price in PRICES) + " |"
    yield "| --- |" + " --- |" * len(PRICES)
    for correlation in CORRELATIONS:
        yield f"| {correlation} | " + " | ".join(_switched(correlation, price) for price in PRICES) + " |"


PRICES = (0.02, 0.1, 0.3)


def _switched(correlation: float, price: float) -> str:
    on, took = 0, []
    for seed in range(SEEDS):
        rng, rule, state, asked = random.Random(seed), ControlVariate(Proxy()), State.CALIBRATING, 0
        while state is State.CALIBRATING:
            hi, lo = pairs(rng, 16, correlation)
            rule.learn(f"c{asked}", _sight(hi, lo))
            asked += 16
            state, _ = rule.judged(state, price)
        on += state is State.ON
        took.append(asked)
    return f"{on / SEEDS:.0%} on, {statistics.median(took):.0f}"


def _sight(hi: Sequence[float], lo: Sequence[float], rival: Sequence[float] = ()) -> Sight:
    """Of differences, or with a `rival`'s rewards of these."""
    names = [str(number) for number in range(len(lo))]
    against = dict(zip(names, rival or [0.0] * len(names), strict=True))
    contest = Contest(names, against, dict.fromkeys(names, 10.0), 10.0)
    return Sight(
        contest, len(hi), dict(zip(names, hi, strict=False)), dict(zip(names, lo, strict=True)), against
    )


def _rms(values: Sequence[float]) -> float:
    return math.sqrt(statistics.fmean(value**2 for value in values))


# -- the documented rule ----------------------------------------------------------------------------------


def r2() -> Iterator[str]:
    yield "Chance that R2 is at `r2_thresh` (0.5) or above, by how many pairs it is computed from:\n"
    yield "| true R2 | " + " | ".join(f"{n} pairs" for n in (5, 10, 20, 56)) + " |"
    yield "| --- |" + " --- |" * 4
    for true in (0.0, 0.1, 0.25):
        yield f"| {true} | " + " | ".join(f"{_lucky(true, n):.0%}" for n in (5, 10, 20, 56)) + " |"
    yield "\nTwo policies that find the same examples hard, and disagree on what a new text changes: 56"
    yield "examples, a child that is better or worse by .05. R2 of rewards, how often each rule goes by LO,"
    yield "and how often it then stops a better child, or (r2) lets a worse one through:\n"
    yield "| correlation of differences | R2 of rewards | r2: on | r2: wrong | ours: on | ours: wrong |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for correlation in (0.9, 0.5, 0.0):
        yield _hard_examples(correlation)


def _lucky(true: float, n: int) -> float:
    hits, runs = 0, 20 * SEEDS
    for seed in range(runs):
        hi, lo = pairs(random.Random(seed), n, math.sqrt(true))
        hits += Moments.of(hi, lo).correlation ** 2 >= 0.5
    return hits / runs


def _hard_examples(correlation: float) -> str:
    squared, counts = [], {kind: [0, 0] for kind in ("r2", "ours")}
    runs = 2 * SEEDS
    for seed in range(runs):
        rng, gain = random.Random(seed), 0.05 if seed % 2 else -0.05
        hard = [rng.gauss(0.5, 0.35) for _ in range(56)]
        d_hi, d_lo = pairs(rng, 56, correlation)
        middle = statistics.fmean(d_hi)
        d_hi = [0.4 * (d - middle) + gain for d in d_hi]
        child, lo = (
            [h + d for h, d in zip(hard, moved, strict=True)] for moved in (d_hi, [0.4 * d for d in d_lo])
        )
        squared.append(Moments.of(child, lo).correlation ** 2)
        contest = Contest([str(i) for i in range(56)], {str(i): h for i, h in enumerate(hard)}, {}, 10.0)
        sight = Sight(
            contest,
            16,
            {str(i): child[i] for i in range(16)},
            {str(i): value for i, value in enumerate(lo)},
            contest.rival,
        )
        for kind, rule in (("r2", R2Rule(Proxy(rule=ProxyRule.R2))), ("ours", ControlVariate(Proxy()))):
            rule.learn("child", sight)
            state, _ = rule.judged(State.CALIBRATING, 0.1)
            if state is State.ON:
                counts[kind][0] += 1
                stopped = rule.forecast("child", sight, 1, 0.2).chance <= 0.2
                counts[kind][1] += stopped if gain > 0 else kind == "r2" and not stopped
    cells = [f"{on / runs:.0%} | {f'{wrong / on:.0%}' if on else '-'}" for on, wrong in counts.values()]
    return f"| {correlation} | {statistics.fmean(squared):.2f} | {' | '.join(cells)} |"


# -- whole searches ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Searched:
    """What one run cost, and what it found."""

    held_out: float
    hi: int
    lo: int
    usd: float
    stopped: int
    screened: int
    state: str


@dataclass(frozen=True, slots=True)
class _Far:
    """HI is the world; LO agrees with it on a part of the examples, always the same."""

    world: Any
    other: Any
    correlation: float
    price: float

    async def run(self, batch: Sequence[Dispatch]) -> list[Answer]:
        return [self._answer(dispatch) for dispatch in batch]

    def _answer(self, dispatch: Dispatch) -> Answer:
        split, number = dispatch.request.example.id.split("-")
        texts, where, usd = dict(dispatch.request.candidate.components), self.world, HI_USD
        if dispatch.request.tier:
            usd *= self.price
            agrees = random.Random(f"{self.world.seed}/{split}/{number}").random() < self.correlation
            where = self.world if agrees else self.other
        example = getattr(where, split)[int(number)]
        rollout = where.rollout(texts, example, False)
        told = {"input": example.query, "output": rollout.answer, "feedback": rollout.feedback}
        return Answer(rollout.score, usage=Usage(cost_usd=usd), **told)


@dataclass(frozen=True, slots=True)
class _Chat:
    lm: Callable[[Any], str]
    identity: str = "landscape"

    async def complete(self, messages: Sequence[Any]) -> Completion:
        return Completion(self.lm([dict(message) for message in messages]), "stop", Usage(cost_usd=0.0))


def search(arguments: argparse.Namespace, rule: str, correlation: float, seed: int) -> Searched:
    landscape = load(arguments.landscape)
    sizes = {"n_train": arguments.train, "n_val": arguments.val}
    world, other = (landscape.World(seed=number, **sizes) for number in (seed, seed + 10_000))
    settings = replace(ours.MODES[arguments.mode], seed=seed)
    if rule:
        settings = replace(settings, proxy=Proxy(rule=ProxyRule(rule)))
    of = {
        split: tuple(Example(f"{name}-{i}", split) for i in range(len(getattr(world, name))))
        for split, name in HOMES
    }
    job = Job(
        "landscape",
        Candidate(world.seed_candidate()),
        Splits(of[Split.REFLECT], of[Split.PARETO]),
        Identity("landscape", "1", "hi"),
        settings=settings,
        limits=Limits(steps=arguments.steps),
        queue=QueueSettings(concurrency=8),
        lo=Identity("landscape", "1", "lo") if rule else None,
    )
    proposer = ReflectiveProposer(_Chat(landscape.ReflectionLM(world, sleep=False)))
    store, run_id = MemoryStore(), new_run_id()
    store.create_run(Run(run_id, "landscape", "", {**job.record(), "proposer": "landscape", "source": {}}))
    runner = Runner(store, run_id, job, _Far(world, other, correlation, arguments.price), proposer)
    runner.clock = lambda: 0.0
    best = asyncio.run(runner.run())
    view = read(store, run_id)
    found = proxy(view)
    return Searched(
        held_out=landscape.World(seed=seed, **sizes).true_score(dict(best.components), "test"),
        hi=len(view.rollouts),
        lo=len(view.cheap),
        usd=len(view.rollouts) * HI_USD + len(view.cheap) * HI_USD * arguments.price,
        stopped=found.stopped if found else 0,
        screened=found.screened if found else 0,
        state=found.state if found else "",
    )


HEADS = (
    "rule",
    "correlation",
    "held-out",
    "difference",
    "HI rollouts",
    "saved",
    "LO rollouts",
    "money",
    "stopped",
    "off",
)
HOMES = ((Split.REFLECT, "train"), (Split.PARETO, "val"))


def searches(arguments: argparse.Namespace) -> Iterator[str]:
    kinds = [("", 0.0), *(("control_variate", c) for c in CORRELATIONS), *(("r2", c) for c in CORRELATIONS)]
    yield f"{arguments.landscape}, {arguments.mode}: {arguments.steps} steps, {arguments.val} validation"
    yield f"examples, {arguments.worlds} worlds, LO at {arguments.price:.0%} of the price. Differences are"
    yield "paired with the search without LO, in brackets their standard errors.\n"
    yield f"| {' | '.join(HEADS)} |"
    yield "| --- " * len(HEADS) + "|"
    base: list[Searched] = []
    with ProcessPoolExecutor(arguments.processes) as pool:
        for rule, correlation in kinds:
            runs = list(pool.map(partial(search, arguments, rule, correlation), range(arguments.worlds)))
            base = base or runs
            yield _row(rule, correlation, runs, base)


def _row(rule: str, correlation: float, runs: Sequence[Searched], base: Sequence[Searched]) -> str:
    gains = [run.held_out - plain.held_out for run, plain in zip(runs, base, strict=True)]
    error = statistics.stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else math.nan
    hi, lo, plain = (
        statistics.fmean(values)
        for values in zip(*((r.hi, r.lo, b.hi) for r, b in zip(runs, base, strict=True)), strict=True)
    )
    usd, before = (statistics.fmean(run.usd for run in group) for group in (runs, base))
    screened = sum(run.screened for run in runs)
    cells = [
        rule or "none",
        f"{correlation}" if rule else "",
        f"{statistics.fmean(run.held_out for run in runs):.3f}",
        f"{statistics.fmean(gains):+.3f} ({error:.3f})" if rule else "",
        f"{hi:,.0f}",
        f"{1 - hi / plain:.0%}" if rule else "",
        f"{lo:,.0f}",
        f"${usd:.2f} ({usd / before - 1:+.0%})" if rule else f"${usd:.2f}",
        f"{sum(run.stopped for run in runs)} of {screened}" if rule else "",
        f"{sum(run.state == 'off' for run in runs)} of {len(runs)}" if rule else "",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("estimator", "r2", "search"))
    parser.add_argument("--landscape", default="rules")
    parser.add_argument("--mode", default="classic8-rungs", choices=sorted(ours.MODES))
    parser.add_argument("--worlds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--train", type=int, default=224)
    parser.add_argument("--val", type=int, default=300)
    parser.add_argument("--price", type=float, default=0.1)
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    print(f"`python benchmarks/proxy.py {' '.join(sys.argv[1:])}`\n")
    lines = {"estimator": estimator, "r2": r2, "search": partial(searches, arguments)}[arguments.what]()
    for line in lines:
        print(line, flush=True)


if __name__ == "__main__":
    main()
