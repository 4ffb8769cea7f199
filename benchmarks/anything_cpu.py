"""CPU of one evaluation by `optimize_anything`, ours and gepa's, with an evaluator that takes no time.

    python -m benchmarks.anything_cpu [--repeat 3] [--ours-only]

Each run is a process of its own; what is measured begins after the imports. An evaluation is one call of the
evaluator, counted there. Three modes: one task whose candidates seldom get better (`one task`) or always do
(`climbing`), and examples with a validation set of their own (40 and 40).
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

OURS, THEIRS = "paretune.library.anything", "gepa.optimize_anything"
SIZES = {OURS: (100, 2_000, 20_000), THEIRS: (100, 2_000)}
EXAMPLES = 40
HARDEST = 1.5
"""A score is a draw between 0 and 1 to this power for each component that is new: the better, the rarer."""


class Silent:
    """Logs nothing: lines on a screen are not what is compared."""

    def log(self, message: str) -> None:
        pass


def score(text: str, example: object = None) -> float:
    """A number between 0 and 1 that says nothing but which text and example it is of."""
    drawn = hashlib.blake2b(f"{text}/{example}".encode(), digest_size=8).digest()
    return float(int.from_bytes(drawn, "big") / 2**64) ** HARDEST


def climbing(text: str) -> float:
    """The later a text was written, the better: every proposal is accepted."""
    number = int(text.split()[1]) if " " in text else -1
    return 1 - 1 / (number + 2)


def measured(library: str, mode: str, size: int) -> tuple[int, float]:
    """(evaluations, CPU seconds of this process) of one run."""
    module = importlib.import_module(library)
    calls, texts = itertools.count(), itertools.count()

    def evaluator(candidate: str, example: object = None) -> tuple[float, dict[str, Any]]:
        next(calls)
        good = climbing(candidate) if mode == "climbing" else score(candidate, example)
        return good, {"Feedback": "the text is judged by its draw"}

    config = module.GEPAConfig(
        engine=module.EngineConfig(max_metric_calls=size, parallel=False),
        reflection=module.ReflectionConfig(reflection_lm=lambda prompt: f"```\ntext {next(texts)}\n```"),
        tracking=module.TrackingConfig(logger=Silent()),
    )
    data: dict[str, Any] = {}
    if mode == "examples":
        data = {"dataset": list(range(EXAMPLES)), "valset": list(range(EXAMPLES, 2 * EXAMPLES))}
    began = time.process_time()
    module.optimize_anything("text", evaluator=evaluator, config=config, **data)
    spent = time.process_time() - began
    return next(calls), spent


def apart(library: str, mode: str, size: int) -> tuple[int, float]:
    """As `measured`, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.anything_cpu", "--one", library, mode, str(size)]
    calls, spent = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return calls, spent


def table(repeat: int, libraries: tuple[str, ...], say: Callable[[str], None]) -> None:
    """A line for each mode, library and size: microseconds of CPU an evaluation, mean and range."""
    means: dict[tuple[str, str, int], float] = {}
    for mode in ("one task", "climbing", "examples"):
        for library in libraries:
            for size in SIZES[library]:
                runs = [apart(library, mode, size) for _ in range(repeat)]
                each = [spent / calls * 1e6 for calls, spent in runs]
                means[mode, library, size] = statistics.fmean(each)
                say(
                    f"{mode:9} {library:26} {size:6} asked {runs[0][0]:6} made  "
                    f"{statistics.fmean(each):8.1f} us ({min(each):.1f} to {max(each):.1f}, n={repeat})"
                )
        if THEIRS in libraries:
            share = means[mode, THEIRS, 2_000] / means[mode, OURS, 2_000]
            say(f"{mode:9} at 2,000 gepa takes {share:.1f} times ours")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--ours-only", action="store_true")
    parser.add_argument("--one", nargs=3, metavar=("LIBRARY", "MODE", "SIZE"))
    given = parser.parse_args()
    if given.one:
        library, mode, size = given.one
        print(json.dumps(measured(library, mode, int(size))))
        return
    table(given.repeat, (OURS,) if given.ours_only else (OURS, THEIRS), print)


if __name__ == "__main__":
    main()
