"""Search quality at one budget: paretune and gepa side by side, paired by world.

    python benchmarks/quality.py --landscape rules --worlds 10 --budget 2000 \\
        --ours classic,default --theirs default,mb8,mb16 --processes 2

Prints a Markdown table and keeps it, with every run behind it, in `benchmarks/results/`. Exits with 1 if a
validation mean that a run of ours went by is not what the world says. gepa is needed only for `--theirs`;
`--theirs ''` does without. `--theirs-from RESULT.json` takes its runs from an earlier result of the same
conditions, and makes only those that are missing there.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import ours
from benchmarks.landscapes import NAMES, load
from benchmarks.landscapes.landscape import Landscape
from benchmarks.quality_table import OURS, THEIRS, Mark, Outcome, short, table
from benchmarks.result import Result
from paretune.core.statistics import FEW

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"


@dataclass(frozen=True, slots=True)
class Task:
    """One run: an optimizer's mode on one world. `settings` are the world's; with `sleep` calls take time."""

    side: str
    mode: str
    world: int
    landscape: str
    budget: int
    settings: Mapping[str, Any]
    sleep: bool = False
    concurrency: int = 8

    @property
    def name(self) -> str:
        return f"{self.side} {self.mode}"


def carry_out(task: Task) -> Outcome:
    """The run, then its measure. The optimizer saw nothing of the test split."""
    landscape = load(task.landscape)
    world = landscape.World(seed=task.world, **task.settings)
    result = _run(task, world, landscape.ReflectionLM(world, sleep=task.sleep))
    measure = landscape.World(seed=task.world, **task.settings)
    differing = differing_means(measure, result) if _repeatable(task.settings) else None
    return Outcome(
        name=task.name,
        world=task.world,
        held_out=measure.true_score(dict(result.best), "test"),
        validation=measure.true_score(dict(result.best), "val"),
        calls=result.calls,
        ledger=result.ledger,
        seconds=round(result.wall, 2),
        candidate=result.best,
        curve=[
            Mark(p.rollouts, round(p.seconds, 3), measure.true_score(dict(p.texts), "test"))
            for p in result.curve
        ],
        means=0 if differing is None else len(result.means),
        differing=differing or 0,
    )


def differing_means(world: Any, result: Result) -> int:
    """How many of the validation means that the optimizer went by a fresh world tells otherwise."""
    differing = 0
    for texts, mean in result.means:
        again = [world.rollout(dict(texts), example, sleep=False).score for example in world.val]
        differing += abs(statistics.fmean(again) - mean) > 1e-9
    return differing


def _repeatable(settings: Mapping[str, Any]) -> bool:
    return not settings.get("noise")


def _run(task: Task, world: Any, reflection_lm: Any) -> Result:
    how: dict[str, Any] = {"budget": task.budget, "concurrency": task.concurrency, "sleep": task.sleep}
    if task.side == OURS:
        return ours.run(world, reflection_lm, ours.MODES[task.mode], seed=task.world, **how)
    from benchmarks import theirs  # here, because gepa need not be installed

    return theirs.run(world, reflection_lm, theirs.FORMS[task.mode], seed=task.world, **how)


# -- earlier runs -------------------------------------------------------------------------------------


def conditions(arguments: argparse.Namespace, settings: Mapping[str, Any]) -> dict[str, Any]:
    """All that a run of gepa depends on beside form and world; equal conditions, equal runs."""
    world = load(arguments.landscape).World
    files = {sys.modules[cls.__module__].__file__ for cls in world.__mro__ if cls in (world, Landscape)}
    text = b"".join(Path(str(file)).read_bytes() for file in sorted(map(str, files)))
    return {
        "landscape": hashlib.sha256(text).hexdigest(),
        "settings": dict(settings),
        "budget": arguments.budget,
        "clock": arguments.concurrency if arguments.sleep else None,
        THEIRS: _version(THEIRS),
    }


def earlier(path: str, now: Mapping[str, Any]) -> dict[tuple[str, int], Outcome]:
    """gepa's runs in this result file by name and world. SystemExit if it was made under other conditions."""
    record = json.loads(Path(path).read_text())
    was = record.get("conditions", {})
    if other := [name for name in now if was.get(name) != now[name]]:
        raise SystemExit(f"{path} was made under other conditions: {', '.join(other)}")
    source = f"{Path(path).name} ({record['versions']})"
    runs = [Outcome.read(run) for run in record["runs"] if run["name"].startswith(THEIRS)]
    return {(run.name, run.world): replace(run, source=run.source or source) for run in runs}


# -- the report ---------------------------------------------------------------------------------------


def report(
    arguments: argparse.Namespace, outcomes: Sequence[Outcome], levels: Sequence[str], wall: float
) -> str:
    interval = "Student's t" if arguments.worlds < FEW else "bootstrap"
    given = f", {' '.join(arguments.set)}" if arguments.set else ""
    return f"""\
# {Path(arguments.landscape).stem}: {arguments.budget:,} rollouts, {arguments.worlds} worlds

`{_command()}`

{arguments.train} reflection and {arguments.val} validation examples{given}; {_clock(arguments)}. \
Differences are paired by world, with 95 % intervals ({interval}). gepa looks at its budget between \
iterations only: its `calls` may be more than the budget, and what it found with them counts. `reaches`: \
when the mean over the worlds of the incumbent's held-out score is at that row's final mean, in rollouts or \
seconds; `in worlds`: where a single run's incumbent reached that row's final score on the same world.

{table(outcomes, f"{THEIRS} {arguments.goal}", clock=arguments.sleep)}

{" ".join([*levels, recomputed(outcomes), *sources(outcomes)])}

{_machine()}; {_versions()}; {wall:.0f} s in all with {arguments.processes} processes.
"""


def _clock(arguments: argparse.Namespace) -> str:
    return f"calls take time, {arguments.concurrency} in flight" if arguments.sleep else "no call sleeps"


def recomputed(outcomes: Sequence[Outcome]) -> str:
    means, differing = (sum(getattr(o, name) for o in outcomes) for name in ("means", "differing"))
    return f"{means:,} candidates' means recomputed, {differing:,} differ."


def sources(outcomes: Sequence[Outcome]) -> list[str]:
    """Where runs come from that were not made now."""
    found = Counter(o.source for o in outcomes if o.source)
    return [f"{count} runs of {THEIRS} are from {source}." for source, count in found.items()]


def _levels(arguments: argparse.Namespace, settings: Mapping[str, Any]) -> Iterator[str]:
    """What the initial text reaches, and the ideal one where the landscape tells it."""
    landscape = load(arguments.landscape)
    worlds = [landscape.World(seed=seed, **settings) for seed in _seeds(arguments)]
    first = statistics.mean(world.true_score(world.seed_candidate(), "test") for world in worlds)
    yield f"Initial text: {short(first)} held-out."
    if hasattr(worlds[0], "ideal_candidate"):
        ideal = statistics.mean(world.true_score(world.ideal_candidate(), "test") for world in worlds)
        yield f"Ideal text: {short(ideal)}."


def _seeds(arguments: argparse.Namespace) -> range:
    return range(arguments.first, arguments.first + arguments.worlds)


def _command() -> str:
    return " ".join(["python benchmarks/quality.py", *(a or "''" for a in sys.argv[1:])])


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def _version(package: str) -> str:
    """Empty if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _versions() -> str:
    names = []
    for package in (OURS, THEIRS):
        version = _version(package)
        names.append(f"{package} {version}" if version else f"no {package}")
    asked = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    revision = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return ", ".join(names) + (f" at {revision}" if revision else "")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--landscape", default="rules", help=f"{', '.join(NAMES)}, or a Python file")
    parser.add_argument("--worlds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="seed of the first world")
    parser.add_argument("--budget", type=int, default=2000, help="rollouts")
    parser.add_argument("--ours", default="classic,default", help="modes of benchmarks/ours.py")
    parser.add_argument("--theirs", default="default,mb8,mb16", help="forms of benchmarks/theirs.py")
    parser.add_argument(
        "--theirs-from", metavar="RESULT.json", help="take gepa's runs from here if they are there"
    )
    parser.add_argument("--goal", default="mb8", help="the form of gepa whose final mean is to be reached")
    parser.add_argument("--train", type=int, default=224)
    parser.add_argument("--val", type=int, default=56)
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="NAME=NUMBER", help="other settings of the worlds"
    )
    parser.add_argument("--sleep", action="store_true", help="rollouts and reflections take their time")
    parser.add_argument("--concurrency", type=int, default=8, help="rollouts in flight")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", help="the two files to write, without their endings")
    return parser.parse_args()


def main() -> int:
    """1 if a mean that a run went by is not what the world says."""
    arguments = _arguments()
    settings = {"n_train": arguments.train, "n_val": arguments.val}
    settings |= {name: json.loads(value) for name, value in (pair.split("=", 1) for pair in arguments.set)}
    now = conditions(arguments, settings)
    kept = earlier(arguments.theirs_from, now) if arguments.theirs_from else {}
    began = time.perf_counter()
    outcomes = _outcomes(arguments, settings, kept)
    text = report(arguments, outcomes, list(_levels(arguments, settings)), time.perf_counter() - began)
    print(text)
    _keep(arguments, now, outcomes, text)
    return int(any(outcome.differing for outcome in outcomes))


def _outcomes(
    arguments: argparse.Namespace, settings: Mapping[str, Any], kept: Mapping[tuple[str, int], Outcome]
) -> list[Outcome]:
    """All runs, mode by mode; those that are kept are not made again."""
    sides = ((OURS, arguments.ours), (THEIRS, arguments.theirs))
    modes = [(side, mode) for side, given in sides for mode in given.split(",") if mode]
    how = arguments.sleep, arguments.concurrency
    tasks = [
        Task(side, mode, seed, arguments.landscape, arguments.budget, settings, *how)
        for seed in _seeds(arguments)
        for side, mode in modes
    ]
    outcomes = [kept[task.name, task.world] for task in tasks if (task.name, task.world) in kept]
    tasks = [task for task in tasks if (task.name, task.world) not in kept]
    with ProcessPoolExecutor(arguments.processes) as pool:
        for number, outcome in enumerate(pool.map(carry_out, tasks), 1):
            outcomes.append(outcome)
            told = f"{number}/{len(tasks)} {outcome.name}, world {outcome.world}"
            print(
                f"{told}: {outcome.held_out:.3f} after {outcome.calls} in {outcome.seconds} s",
                file=sys.stderr,
            )
    return sorted(outcomes, key=lambda o: [f"{side} {mode}" for side, mode in modes].index(o.name))


def _keep(
    arguments: argparse.Namespace, now: Mapping[str, Any], outcomes: Sequence[Outcome], text: str
) -> None:
    stem = arguments.out or RESULTS / f"quality-{Path(arguments.landscape).stem}-{arguments.budget}"
    Path(stem).parent.mkdir(parents=True, exist_ok=True)
    Path(f"{stem}.md").write_text(text)
    record = {
        "arguments": vars(arguments),
        "conditions": now,
        "machine": _machine(),
        "versions": _versions(),
    }
    runs = [asdict(outcome) for outcome in outcomes]
    Path(f"{stem}.json").write_text(json.dumps({**record, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
