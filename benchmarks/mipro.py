# ruff: noqa: E501
"""MIPRO, measured: `python -m benchmarks.mipro space`, `... dspy --auto light`, `... clock --auto light`.

`space`: trials until the best of a synthetic space is found. `dspy`: held-out scores beside DSPy's MIPROv2, by
rollouts; nothing sleeps. `clock`: both over HTTP on a model that takes its time. Tables and every run go to
`results/`. `pip install dspy==3.4.1` for the last two.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import mipro_space
from benchmarks.mipro_result import Found
from benchmarks.mipro_world import TEST, TRAIN, World
from paretune.core.statistics import bootstrap_mean

RESULTS = Path(__file__).parent / "results"
ROWS = {"light": 125, "medium": 375}
"""So many that DSPy's own split leaves as many for trials as its preset looks at."""
HELD_OUT = 1_000
PAUSE = 0.05
HALF = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("space", "dspy", "clock"))
    parser.add_argument("--auto", choices=tuple(ROWS), default="light")
    parser.add_argument("--seeds", type=int, default=0, help="worlds; 50, 20 and 5 if not given")
    parser.add_argument(
        "--first", type=int, default=0, help="the first world: some that nothing was chosen by"
    )
    parser.add_argument("--threads", type=int, default=16, help="rollouts at once, on either side")
    asked = parser.parse_args()
    os.environ["TQDM_DISABLE"] = "1"
    if asked.part == "space":
        _space(asked.seeds or 50)
    elif asked.part == "dspy":
        _dspy(asked.auto, range(asked.first, asked.first + (asked.seeds or 20)), asked.threads)
    else:
        _clock(asked.auto, range(asked.first, asked.first + (asked.seeds or 5)), asked.threads)


def _space(seeds: int) -> None:
    rows = [
        mipro_space.row(sizes, noise, seeds) for sizes in mipro_space.SPACES for noise in mipro_space.NOISES
    ]
    _write(
        "mipro-space",
        f"# Synthetic spaces: trials until the best is found, medians of {seeds} seeds\n\n"
        f"`python -m benchmarks.mipro space --seeds {seeds}`\n\n{mipro_space.TOLD}\n\n{mipro_space.table(rows)}\n",
        rows,
    )


# -- beside DSPy ----------------------------------------------------------------------------------


def _dspy(auto: str, seeds: range, threads: int) -> None:
    """Theirs; then ours as its preset has it, with as many rollouts as theirs took, and with half of them."""
    from benchmarks import mipro_ours, mipro_theirs

    runs = []
    for seed in seeds:
        rows = World(seed).rows(TRAIN, ROWS[auto])

        def ran(run: Callable[..., Found], seed: int = seed, rows: Any = rows, **more: Any) -> Found:
            world = World(seed)
            with _silence():
                return run(
                    rows,
                    world.answer,
                    world.write,
                    lambda: world.calls,
                    auto=auto,
                    threads=threads,
                    seed=seed + 1,
                    **more,
                )

        theirs = ran(mipro_theirs.run)
        found = {
            "dspy": theirs,
            "paretune": ran(mipro_ours.run),
            "paretune, same rollouts": ran(mipro_ours.run, budget=theirs.calls),
            "paretune, half of them": ran(mipro_ours.run, budget=int(theirs.calls * HALF)),
        }
        runs += [_told(seed, name, one) for name, one in found.items()]
    _write(
        f"mipro-dspy-{auto}{_fresh(seeds)}",
        f"# MIPROv2 of DSPy and ours: `{auto}`, worlds {seeds[0]} to {seeds[-1]}\n\n"
        f"`python -m benchmarks.mipro dspy --auto {auto} --first {seeds[0]} --seeds {len(seeds)}`\n\n{TOLD}\n\n{_compared(runs)}\n",
        runs,
    )


def _clock(auto: str, seeds: range, threads: int) -> None:
    from benchmarks import mipro_ours, mipro_theirs

    runs = []
    with _process("benchmarks.mipro_server", PAUSE) as url:
        for seed in seeds:
            rows = World(seed).rows(TRAIN, ROWS[auto])

            def ran(run: Callable[..., Found], seed: int = seed, rows: Any = rows, **more: Any) -> Found:
                _call(f"{url}/world/{seed}", "PUT")
                server, model = (lambda: int(_call(f"{url}/seen")["calls"])), f"{url}/v1"
                named = {"auto": auto, "threads": threads, "seed": seed + 1, **more}
                if run is mipro_theirs.run:
                    with _silence():
                        return run(rows, model, model, server, **named)
                with _process("benchmarks.mipro_container", seed, ROWS[auto], model) as task, _silence():
                    return run(rows, task, model, server, **named)

            theirs = ran(mipro_theirs.run)
            found = {
                "dspy": theirs,
                "paretune": ran(mipro_ours.run),
                "paretune, same rollouts": ran(mipro_ours.run, budget=theirs.calls),
                "paretune, half of them": ran(mipro_ours.run, budget=int(theirs.calls * HALF)),
            }
            runs += [_told(seed, name, one) for name, one in found.items()]
    _write(
        f"mipro-clock-{auto}",
        f"# By the clock, {1000 * PAUSE:.0f} ms a call, {threads} at once: `{auto}`, worlds {seeds[0]} to {seeds[-1]}\n\n"
        f"`python -m benchmarks.mipro clock --auto {auto} --first {seeds[0]} --seeds {len(seeds)}`\n\n{_compared(runs, clock=True)}\n",
        runs,
    )


def _fresh(seeds: range) -> str:
    """Worlds from 0 on are those that settings were chosen by."""
    return "-fresh" if seeds[0] else ""


def _told(seed: int, name: str, found: Found) -> dict[str, Any]:
    world = World(seed)
    test = world.rows(TEST, HELD_OUT)
    curve = [[m.calls, m.seconds, world.score(m.instruction, m.shown, test)] for m in found.curve]
    print(seed, name, found.calls, round(found.seconds, 1), round(curve[-1][2], 3), flush=True)
    return {"seed": seed, "name": name, "calls": found.calls, "seconds": found.seconds, "curve": curve}


def _compared(runs: Sequence[dict[str, Any]], *, clock: bool = False) -> str:
    """Markdown: a row for each way of running; differences are paired by world."""
    names = list(dict.fromkeys(run["name"] for run in runs))
    by_name = {name: [run for run in runs if run["name"] == name] for name in names}
    theirs = by_name["dspy"]
    head = [
        "",
        "held-out",
        "minus dspy (95 %)",
        "task calls",
        "its mean reaches dspy's final after",
        "share of dspy's calls",
        "worlds",
    ]
    if clock:
        head += ["seconds (median)", "share of dspy's (median)"]
    lines = [head, ["---"] * len(head)]
    for name, own in by_name.items():
        differences = [_final(one) - _final(other) for one, other in zip(own, theirs, strict=True)]
        interval = bootstrap_mean(differences)
        shares = [_share(one, other) for one, other in zip(own, theirs, strict=True)]
        at = _reached(own, statistics.mean(map(_final, theirs)))
        line = [
            name,
            f"{statistics.mean(map(_final, own)):.3f}",
            "" if name == "dspy" else f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]",
            f"{statistics.mean(one['calls'] for one in own):,.0f}",
            f"{at:,.0f}" if at else "never",
            f"{at / statistics.mean(one['calls'] for one in theirs):.2f}" if at else "",
            f"{sum(share < float('inf') for share in shares)}/{len(shares)}",
        ]
        if clock:
            ratios = [one["seconds"] / other["seconds"] for one, other in zip(own, theirs, strict=True)]
            line += [
                f"{statistics.median(one['seconds'] for one in own):.1f}",
                f"{statistics.median(ratios):.2f}",
            ]
        lines.append(line)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _final(run: dict[str, Any]) -> float:
    return float(run["curve"][-1][2])


def _reached(runs: Sequence[dict[str, Any]], level: float) -> float | None:
    """Task calls after which the mean of the incumbents' held-out scores first is at this level."""
    for at in sorted({calls for run in runs for calls, _, _ in run["curve"]}):
        means = [next((s for calls, _, s in reversed(run["curve"]) if calls <= at), 0.0) for run in runs]
        if statistics.mean(means) >= level:
            return float(at)
    return None


def _share(run: dict[str, Any], rival: dict[str, Any]) -> float:
    """Task calls until the incumbent's held-out score is the rival's final one, of those the rival took."""
    reached = [calls for calls, _, score in run["curve"] if score >= _final(rival)]
    return reached[0] / rival["calls"] if reached else float("inf")


TOLD = (
    "A scripted model whose answers follow a hidden rule (`mipro_world.py`); the same rows, split the same way, the "
    "same texts from the instruction writer, the same number at once. Calls are counted at the model; DSPy's answers "
    "to repeated requests come from its cache and are not counted. `worlds`: where an incumbent was as good as "
    "what DSPy gave back. Differences that remain: DSPy's preset "
    "tries half as many instructions as ours, its own answers for demonstrations are made with labelled examples in the "
    "prompt, and ours writes two more instructions halfway."
)


@contextlib.contextmanager
def _process(module: str, *arguments: object) -> Iterator[str]:
    """It runs meanwhile; the address that it prints."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def _call(url: str, method: str = "GET") -> dict[str, Any]:
    with urllib.request.urlopen(urllib.request.Request(url, method=method)) as answer:
        return dict(json.loads(answer.read()))


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def _write(name: str, text: str, runs: Sequence[Any]) -> None:
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    text += f"\n{machine}, {time.strftime('%Y-%m-%d')}.\n"
    RESULTS.joinpath(f"{name}.md").write_text(text, "utf-8")
    RESULTS.joinpath(f"{name}.json").write_text(json.dumps(runs, indent=1) + "\n", "utf-8")
    print(text)


if __name__ == "__main__":
    main()
