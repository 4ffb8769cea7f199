"""What the benchmark scripts report: the tables, earlier results taken up again, means asked for again."""

from __future__ import annotations

import importlib
import json
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = {"n_train": 40, "n_val": 20}


@pytest.fixture(autouse=True)
def _found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def _module(name: str) -> Any:
    return importlib.import_module(f"benchmarks.{name}")


def _outcome(name: str, world: int, *marks: tuple[int, float, float]) -> Any:
    made = _module("quality_table")
    curve = [made.Mark(*mark) for mark in marks]
    last = curve[-1]
    return made.Outcome(
        name, world, last.held_out, last.held_out, last.rollouts, last.rollouts, last.seconds, {}, curve
    )


def _cells(table: str, name: str) -> dict[str, str]:
    """One row of a Markdown table by its heads."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert len({len(row) for row in rows}) == 1
    return dict(zip(rows[0], next(row for row in rows if row[0] == name), strict=True))


def test_the_table_tells_when_a_goal_is_reached_by_rollouts_and_by_the_clock() -> None:
    outcomes = [
        _outcome("paretune default", 0, (20, 0.5, 0.2), (300, 3.0, 0.7)),
        _outcome("paretune default", 1, (20, 0.5, 0.2), (500, 2.0, 0.5)),
        _outcome("gepa mb8", 0, (20, 1.0, 0.2), (900, 9.0, 0.4)),
        _outcome("gepa mb8", 1, (20, 1.0, 0.2), (800, 7.0, 0.6)),
    ]
    told = _module("quality_table").table(outcomes, "gepa mb8", clock=True)
    ours, theirs = _cells(told, "paretune default"), _cells(told, "gepa mb8")
    assert (ours["held-out"], ours["minus gepa mb8"][:5]) == (".600", "+.100")
    assert (ours["reaches gepa mb8"], ours["reaches gepa mb8 after s"]) == ("500", "3.0")
    assert ours["in worlds"] == "1/2"
    assert (theirs["reaches gepa mb8"], theirs["in worlds"]) == ("900", "2/2")
    without = _module("quality_table").table(outcomes[:2], "gepa mb8")
    assert _cells(without, "paretune default")["reaches gepa mb8"] == ""


def test_a_mean_that_the_world_does_not_tell_is_found() -> None:
    quality, landscapes = _module("quality"), _module("landscapes")
    task = quality.Task("paretune", "async2", 3, "rules", 200, SETTINGS)
    outcome = quality.carry_out(task)
    assert (outcome.means > 0, outcome.differing) == (True, 0)
    world = landscapes.load("rules").World(seed=3, **SETTINGS)
    seed = world.seed_candidate()
    truth = sum(world.rollout(seed, example, sleep=False).score for example in world.val) / 20
    result = _module("result").Result(seed, (), 20, 20, 1.0, ((seed, truth), (seed, truth + 1e-6)))
    assert quality.differing_means(world, result) == 1
    assert quality.recomputed([replace(outcome, means=2, differing=1)]) == (
        "2 candidates' means recomputed, 1 differ."
    )


def test_noisy_means_are_not_asked_for_again() -> None:
    quality = _module("quality")
    task = quality.Task("paretune", "classic", 0, "rules", 60, {**SETTINGS, "noise": 0.2})
    assert quality.carry_out(task).means == 0


def test_rivals_are_taken_from_a_result_of_the_same_conditions_only(tmp_path: Path) -> None:
    quality = _module("quality")
    arguments = Namespace(landscape="rules", budget=200, sleep=False, concurrency=8)
    now = quality.conditions(arguments, SETTINGS)
    runs = [_outcome("gepa mb8", 4, (20, 1.0, 0.2)), _outcome("paretune default", 4, (20, 1.0, 0.3))]
    result = _write(tmp_path, now, runs)
    ((key, kept),) = quality.earlier(str(result), now).items()
    assert key == ("gepa mb8", 4)
    assert replace(kept, source="") == runs[0]
    assert quality.sources([kept]) == ["1 runs of gepa are from earlier.json (gepa 0.1.4 at abc)."]
    for other in ({"budget": 300}, {"landscape": "ordered"}, {"sleep": True}):
        changed = quality.conditions(Namespace(**{**vars(arguments), **other}), SETTINGS)
        with pytest.raises(SystemExit, match="other conditions"):
            quality.earlier(str(result), changed)


def _write(folder: Path, conditions: Any, runs: Sequence[Any]) -> Path:
    path = folder / "earlier.json"
    record = {
        "conditions": conditions,
        "versions": "gepa 0.1.4 at abc",
        "runs": [asdict(run) for run in runs],
    }
    path.write_text(json.dumps(record))
    return path


def test_walls_are_held_against_the_rivals_of_the_same_world() -> None:
    wall = _module("wall")
    base = wall.Timed("gepa default", 0, 32, 2000, 40.0, 0.1, 2050, False, 0.4, 0.4)
    rivals = {base.name: base, "gepa pxn4x4": replace(base, name="gepa pxn4x4", wall=10.0)}
    run = replace(base, name="paretune default", wall=8.0, rollouts=2000, in_budget=True, validation=0.6)
    curve = [wall.Level(0.5, 0.1, 0.1), wall.Level(2.0, 0.4, 0.4), wall.Level(3.0, 0.6, 0.5)]
    first = run.beside(rivals, curve)
    assert (first.reaches, first.reaches_share, first.to_fastest) == (2.0, 0.05, 0.8)
    assert first.overtakes == 3.0, "as good is not better"
    never = run.beside(rivals, curve[:1])
    assert (never.reaches, never.reaches_share, never.overtakes) == (None, None, None)
    told = wall.table(wall.medians([*rivals.values(), first, first, never]))
    row = _cells(told, "paretune default")
    assert (row["reaches gepa default after s"], row["rollouts"], row["in budget"]) == (
        "2.00",
        "2,000",
        "3/3",
    )
    assert _cells(wall.table(wall.medians([never])), "paretune default")["share of its wall"] == "never"
    short = replace(first, budget=800, wall=5.0)
    assert [row["wall"] for row in wall.medians([first, short])] == [8.0, 5.0], "budgets stand apart"
