"""Search quality at one budget: paretune and gepa side by side, paired by world.

    python benchmarks/quality.py --landscape rules --worlds 10 --budget 2000 \\
        --ours classic,default --theirs default,mb8,mb16 --processes 2

Prints a Markdown table and keeps it, with every run behind it, in `benchmarks/results/`. gepa is needed only
for `--theirs`; `--theirs ''` does without.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import ours
from benchmarks.landscapes import NAMES, load
from benchmarks.result import Result
from paretune.core.statistics import FEW, bootstrap_mean

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
OURS, THEIRS = "paretune", "gepa"


@dataclass(frozen=True, slots=True)
class Task:
    """One run: an optimizer's mode on one world. `settings` are the world's."""

    side: str
    mode: str
    world: int
    landscape: str
    budget: int
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.side} {self.mode}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run reached. `curve`: rollouts made -> held-out mean of the incumbent from there on."""

    name: str
    world: int
    held_out: float
    validation: float
    calls: int
    ledger: int
    seconds: float
    candidate: Mapping[str, str]
    curve: list[tuple[int, float]] = field(default_factory=list)

    def at(self, rollouts: int) -> float:
        """Held-out mean of the incumbent after so many rollouts; 0 before there is one."""
        return next((mean for made, mean in reversed(self.curve) if made <= rollouts), 0.0)

    def reaches(self, level: float) -> int | None:
        """Rollouts until the incumbent's held-out mean is at `level`, if it ever is."""
        return next((made for made, mean in self.curve if mean >= level), None)


def carry_out(task: Task) -> Outcome:
    """The run, then its measure. The optimizer saw nothing of the test split."""
    landscape = load(task.landscape)
    world = landscape.World(seed=task.world, **task.settings)
    result = _run(task, world, landscape.ReflectionLM(world, sleep=False))
    measure = landscape.World(seed=task.world, **task.settings)
    return Outcome(
        name=task.name,
        world=task.world,
        held_out=measure.true_score(dict(result.best), "test"),
        validation=measure.true_score(dict(result.best), "val"),
        calls=result.calls,
        ledger=result.ledger,
        seconds=round(result.wall, 2),
        candidate=result.best,
        curve=[(made, measure.true_score(dict(texts), "test")) for made, texts in result.curve],
    )


def _run(task: Task, world: Any, reflection_lm: Any) -> Result:
    if task.side == OURS:
        return ours.run(world, reflection_lm, ours.MODES[task.mode], budget=task.budget, seed=task.world)
    from benchmarks import theirs  # here, because gepa need not be installed

    return theirs.run(world, reflection_lm, theirs.FORMS[task.mode], budget=task.budget, seed=task.world)


# -- the table ----------------------------------------------------------------------------------------


def table(outcomes: Sequence[Outcome], goal: str) -> str:
    """Markdown: a row for each mode. `goal` names the mode whose final held-out mean is to be reached."""
    by_name: dict[str, list[Outcome]] = {}
    for outcome in sorted(outcomes, key=lambda o: o.world):
        by_name.setdefault(outcome.name, []).append(outcome)
    rivals = [name for name in by_name if name.startswith(THEIRS)]
    head = [
        "",
        "held-out",
        "se",
        *(f"minus {name}" for name in rivals),
        "calls",
        f"reaches {goal}",
        "in worlds",
        "s",
    ]
    lines = [head, ["---"] * len(head)]
    for name, own in by_name.items():
        held_out = [o.held_out for o in own]
        differences = [_difference(own, by_name[rival]) if rival != name else "" for rival in rivals]
        reached = _reached(own, by_name[goal]) if goal in by_name else ("", "")
        calls = f"{statistics.mean(o.calls for o in own):,.0f}"
        seconds = f"{statistics.mean(o.seconds for o in own):.1f}"
        lines.append(
            [
                name,
                _short(statistics.mean(held_out)),
                _short(_error(held_out)),
                *differences,
                calls,
                *reached,
                seconds,
            ]
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _difference(own: Sequence[Outcome], rival: Sequence[Outcome]) -> str:
    """Mean and 95 % interval of the difference, world by world."""
    interval = bootstrap_mean([one.held_out - other.held_out for one, other in zip(own, rival, strict=True)])
    return re.sub(r"\b0\.", ".", f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]")


def _reached(own: Sequence[Outcome], goal: Sequence[Outcome]) -> tuple[str, str]:
    """Rollouts until the mean incumbent is as good as the goal's final mean; in how many worlds one is."""
    level = statistics.mean(o.held_out for o in goal)
    steps = sorted({made for o in own for made, _ in o.curve})
    after = next((made for made in steps if statistics.mean(o.at(made) for o in own) >= level - 1e-12), None)
    singly = [o.reaches(g.held_out) for o, g in zip(own, goal, strict=True)]
    return (
        f"{after:,}" if after is not None else "never",
        f"{sum(s is not None for s in singly)}/{len(singly)}",
    )


def _error(values: Sequence[float]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def _short(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


# -- the report ---------------------------------------------------------------------------------------


def report(
    arguments: argparse.Namespace, outcomes: Sequence[Outcome], levels: Sequence[str], wall: float
) -> str:
    interval = "Student's t" if arguments.worlds < FEW else "bootstrap"
    given = f", {' '.join(arguments.set)}" if arguments.set else ""
    return f"""\
# {Path(arguments.landscape).stem}: {arguments.budget:,} rollouts, {arguments.worlds} worlds

`{_command()}`

{arguments.train} reflection and {arguments.val} validation examples{given}; no call sleeps. Differences are \
paired by world, with 95 % intervals ({interval}). gepa looks at its budget between iterations only: its \
`calls` may be more than the budget, and what it found with them counts. `reaches`: rollouts until the mean \
over the worlds of the incumbent's held-out score is at that row's final mean; `in worlds`: where a single \
run's incumbent reached that row's final score on the same world.

{table(outcomes, f"{THEIRS} {arguments.goal}")}

{" ".join(levels)}

{_machine()}; {_versions()}; {wall:.0f} s in all with {arguments.processes} processes.
"""


def _levels(arguments: argparse.Namespace, settings: Mapping[str, Any]) -> Iterator[str]:
    """What the initial text reaches, and the ideal one where the landscape tells it."""
    landscape = load(arguments.landscape)
    worlds = [landscape.World(seed=seed, **settings) for seed in _seeds(arguments)]
    first = statistics.mean(world.true_score(world.seed_candidate(), "test") for world in worlds)
    yield f"Initial text: {_short(first)} held-out."
    if hasattr(worlds[0], "ideal_candidate"):
        ideal = statistics.mean(world.true_score(world.ideal_candidate(), "test") for world in worlds)
        yield f"Ideal text: {_short(ideal)}."


def _seeds(arguments: argparse.Namespace) -> range:
    return range(arguments.first, arguments.first + arguments.worlds)


def _command() -> str:
    return " ".join(["python benchmarks/quality.py", *(a or "''" for a in sys.argv[1:])])


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def _versions() -> str:
    names = []
    for package in (OURS, THEIRS):
        try:
            names.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            names.append(f"no {package}")
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
    parser.add_argument("--goal", default="mb8", help="the form of gepa whose final mean is to be reached")
    parser.add_argument("--train", type=int, default=224)
    parser.add_argument("--val", type=int, default=56)
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="NAME=NUMBER", help="other settings of the worlds"
    )
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", help="the two files to write, without their endings")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    settings = {"n_train": arguments.train, "n_val": arguments.val}
    settings |= {name: json.loads(value) for name, value in (pair.split("=", 1) for pair in arguments.set)}
    sides = ((OURS, arguments.ours), (THEIRS, arguments.theirs))
    modes = [(side, mode) for side, given in sides for mode in given.split(",") if mode]
    tasks = [
        Task(side, mode, seed, arguments.landscape, arguments.budget, settings)
        for seed in _seeds(arguments)
        for side, mode in modes
    ]
    began = time.perf_counter()
    outcomes = []
    with ProcessPoolExecutor(arguments.processes) as pool:
        for number, outcome in enumerate(pool.map(carry_out, tasks), 1):
            outcomes.append(outcome)
            told = f"{number}/{len(tasks)} {outcome.name}, world {outcome.world}"
            print(
                f"{told}: {outcome.held_out:.3f} after {outcome.calls} in {outcome.seconds} s",
                file=sys.stderr,
            )
    outcomes.sort(key=lambda o: [f"{side} {mode}" for side, mode in modes].index(o.name))
    text = report(arguments, outcomes, list(_levels(arguments, settings)), time.perf_counter() - began)
    print(text)
    _keep(arguments, outcomes, text)


def _keep(arguments: argparse.Namespace, outcomes: Sequence[Outcome], text: str) -> None:
    stem = arguments.out or RESULTS / f"quality-{Path(arguments.landscape).stem}-{arguments.budget}"
    Path(stem).parent.mkdir(parents=True, exist_ok=True)
    Path(f"{stem}.md").write_text(text)
    record = {"arguments": vars(arguments), "machine": _machine(), "versions": _versions()}
    runs = [asdict(outcome) for outcome in outcomes]
    Path(f"{stem}.json").write_text(json.dumps({**record, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
