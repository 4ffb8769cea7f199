"""What adaptive pools and batches save, and what they lose: each level against none, paired by world.

    python benchmarks/pool.py --landscape rules --worlds 30 --out benchmarks/results/pool-rules

Runs are kept in `OUT.jsonl` as they come and are not made again; the table is written after each world.
`--modes` are names of `benchmarks/ours.py`, `--levels` some of `pool:LOW`, `batch:HIGH` and so on.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import ours
from benchmarks.landscapes import load
from paretune.algorithms.settings import GepaSettings
from paretune.config import GEPAConfig
from paretune.core import events
from paretune.core.example import Example, Split, Splits
from paretune.core.statistics import student_mean
from paretune.engine.adaptive import adapted

NONE = "none"
LEVELS = ("pool:LOW", "pool:MODERATE", "pool:HIGH", "batch:LOW", "batch:MODERATE", "batch:HIGH")


@dataclass(frozen=True, slots=True)
class Run:
    """One run: the true held-out and validation means of its result, and what it did with its rollouts.

    `accepted` children passed a gate, `judged` were measured on a pool first, `spared` rollouts were not
    asked for after that, `size` is that of the last pool. `marks`: (rollouts, held-out mean) of each best.
    """

    mode: str
    level: str
    world: int
    held_out: float
    validation: float
    rollouts: int
    accepted: int
    judged: int
    spared: int
    size: int
    marks: list[tuple[int, float]]

    @property
    def key(self) -> tuple[str, str, int]:
        return self.mode, self.level, self.world


@dataclass(slots=True)
class _Count:
    accepted: int = 0
    size: int = 0
    left: dict[str, int] = field(default_factory=dict)

    def told(self, made: events.Decision) -> None:
        if isinstance(made, events.GateDecided):
            self.accepted += made.passed
        elif isinstance(made, events.PoolChanged):
            self.size = made.size
        elif isinstance(made, events.PoolJudged):
            self.left[made.candidate] = 0 if made.completed else made.wanted - made.measured


def settings(mode: str, level: str, examples: int) -> GepaSettings:
    """Of this mode, with the section that a job document would have."""
    if level == NONE:
        return ours.MODES[mode]
    section, name = level.split(":")
    config = GEPAConfig.model_validate({f"adaptive_{section}": {"level": name}})
    pareto = tuple(Example(str(i), Split.PARETO) for i in range(examples))
    return adapted(ours.MODES[mode], config, Splits((Example("r", Split.REFLECT),), pareto))


def carry_out(arguments: argparse.Namespace, mode: str, level: str, world: int) -> Run:
    landscape, sizes = load(arguments.landscape), {"n_train": arguments.train, "n_val": arguments.val}
    task, count = landscape.World(seed=world, **sizes), _Count()
    result = ours.run(
        task,
        landscape.ReflectionLM(task, sleep=False),
        settings(mode, level, arguments.val),
        budget=arguments.budget,
        concurrency=32,
        seed=world,
        told=count.told,
    )
    measure = landscape.World(seed=world, **sizes)
    marks = [(mark.rollouts, measure.true_score(dict(mark.texts), "test")) for mark in result.curve]
    held_out, validation = (measure.true_score(dict(result.best), split) for split in ("test", "val"))
    return Run(
        mode,
        level,
        world,
        held_out,
        validation,
        result.ledger,
        count.accepted,
        len(count.left),
        sum(count.left.values()),
        count.size,
        marks,
    )


# -- the table ----------------------------------------------------------------------------------------


def table(runs: Sequence[Run], modes: Sequence[str], levels: Sequence[str]) -> str:
    head = (
        "| search | level | worlds | held-out | against none (95 %) | validation, against none "
        "| accepted edits | rollouts per accepted edit, saved | to the score of none, saved | spared |"
    )
    lines = [head, "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    for mode in modes:
        own = {run.key: run for run in runs if run.mode == mode}
        lines += [row for level in (NONE, *levels) if (row := _row(own, mode, level))]
    return "\n".join(lines)


def _row(runs: Mapping[tuple[str, str, int], Run], mode: str, level: str) -> str:
    pairs = [
        (run, runs[mode, NONE, run.world])
        for run in runs.values()
        if run.level == level and (mode, NONE, run.world) in runs
    ]
    if not pairs:
        return ""
    mean = _mean(pairs, lambda run: run.held_out)
    accepted = _mean(pairs, lambda run: run.accepted)
    cells = [mode, level, str(len(pairs)), f"{mean:.3f}"]
    if level == NONE:
        return f"| {' | '.join([*cells, '', '', f'{accepted:.0f}', '', '', ''])} |"
    held = _difference([one.held_out - none.held_out for one, none in pairs])
    validation = statistics.mean(one.validation - none.validation for one, none in pairs)
    rows = [one for one, _ in pairs], [none for _, none in pairs]
    per_edit = [sum(r.rollouts for r in some) / max(1, sum(r.accepted for r in some)) for some in rows]
    goal = statistics.mean(none.held_out for none in rows[1])
    reached = [_reaches(some, goal) for some in rows]
    saved = f"{1 - reached[0] / reached[1]:+.0%}" if reached[0] and reached[1] else "not reached"
    spared = statistics.mean(one.spared for one in rows[0])
    cells += [held, f"{validation:+.3f}", f"{accepted:.0f}", f"{1 - per_edit[0] / per_edit[1]:+.0%}"]
    return f"| {' | '.join([*cells, saved, f'{spared:.0f}'])} |"


def _mean(pairs: Sequence[tuple[Run, Run]], of: Callable[[Run], float]) -> float:
    return statistics.mean(of(run) for run, _ in pairs)


def _difference(differences: Sequence[float]) -> str:
    mean = statistics.mean(differences)
    if len(differences) < 2:
        return f"{mean:+.3f}"
    interval = student_mean(differences)
    return f"{mean:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})"


def _reaches(runs: Sequence[Run], goal: float) -> int:
    """After so many rollouts the mean held-out score of the bests is at the goal; 0 if it never is."""
    for at in sorted({rollouts for run in runs for rollouts, _ in run.marks}):
        scores = [max((m for m in run.marks if m[0] <= at), default=(0, -math.inf))[1] for run in runs]
        if statistics.mean(scores) >= goal - 1e-9:
            return at
    return 0


# -- main ---------------------------------------------------------------------------------------------


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--landscape", default="rules", help="a name of benchmarks/landscapes, or a file")
    parser.add_argument("--worlds", type=int, default=30)
    parser.add_argument("--first", type=int, default=0, help="seed of the first world")
    parser.add_argument("--budget", type=int, default=2000, help="rollouts")
    parser.add_argument("--train", type=int, default=224)
    parser.add_argument("--val", type=int, default=300)
    parser.add_argument("--modes", default="default", help="modes of benchmarks/ours.py")
    parser.add_argument("--levels", default=",".join(LEVELS))
    parser.add_argument("--out", required=True, help="the two files to write, without their endings")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    modes, levels = arguments.modes.split(","), arguments.levels.split(",")
    kept = Path(f"{arguments.out}.jsonl")
    lines = kept.read_text().splitlines() if kept.exists() else []
    runs: list[Run] = [Run(**json.loads(line)) for line in lines]
    known = {run.key for run in runs}
    for world in range(arguments.first, arguments.first + arguments.worlds):
        for mode in modes:
            for level in (NONE, *levels):
                if (mode, level, world) not in known:
                    runs.append(carry_out(arguments, mode, level, world))
                    with kept.open("a") as file:
                        file.write(json.dumps(asdict(runs[-1])) + "\n")
        Path(f"{arguments.out}.md").write_text(report(arguments, runs, modes, levels))


def report(
    arguments: argparse.Namespace, runs: Sequence[Run], modes: Sequence[str], levels: Sequence[str]
) -> str:
    command = " ".join(["python benchmarks/pool.py", *(Path(a).name for a in sys.argv[1:])])
    return f"""\
# {Path(arguments.landscape).stem}: adaptive pools and batches, {arguments.budget:,} rollouts

`{command}`

{arguments.train} reflection and {arguments.val} validation examples. Differences are paired by world, at the
same budget. `To the score of none`: rollouts until the mean held-out score of the bests is what the search
without a pool ends with. `Spared`: rollouts not asked for, since a child looked no better on the pool.

{table(runs, modes, levels)}
"""


if __name__ == "__main__":
    main()
