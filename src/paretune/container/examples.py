"""The examples of a container: seeds or rows, served in both dialects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from paretune.container.client import task_identity
from paretune.container.prompt import BadRequest
from paretune.core.canonical import JsonValue
from paretune.core.errors import Misconfigured

Row = Mapping[str, JsonValue]
LISTED = 10_000
"""Ids printed by /taskset per split; more are counted only."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Task rows by id. `plain` means that a task function gets the seed itself, else the row.

    `open_ended`: no list was given, and every seed is an example.
    """

    rows: Mapping[str, Row]
    seeds: Mapping[int, str]
    plain: bool
    open_ended: bool = False

    def splits(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, row in self.rows.items():
            found.setdefault(str(row["split"]), []).append(name)
        return found

    def of_request(self, request: Row) -> tuple[str, int | Row]:
        """The id of the example asked for, and what the task function gets. Raises BadRequest."""
        row = request.get("task")
        if isinstance(row, Mapping) and row:
            return self.of_id(task_identity(row))
        env = request.get("env")
        seed = env.get("seed") if isinstance(env, Mapping) else None
        seed = request.get("seed") if seed is None else seed
        if seed is None:
            raise BadRequest("missing_example", "the request names no example: neither env.seed nor task")
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise BadRequest("bad_seed", "env.seed must be a whole number")
        return self.of_seed(seed)

    def of_seed(self, seed: int) -> tuple[str, int | Row]:
        if self.open_ended:
            return seed_id(seed), seed
        if seed not in self.seeds:
            raise BadRequest("unknown_seed", f"there is no example with seed {seed}; {self._known()}")
        return self.of_id(self.seeds[seed])

    def of_id(self, name: str) -> tuple[str, int | Row]:
        if self.open_ended and name.startswith("seed:") and name[5:].lstrip("-").isdigit():
            return name, int(name[5:])
        if name not in self.rows:
            raise BadRequest("unknown_task", f"there is no example {name[:100]!r}; {self._known()}")
        row = self.rows[name]
        return name, int(row["seed"]) if self.plain else row

    def _known(self) -> str:
        seeds = sorted(self.seeds)
        return f"the {len(seeds)} seeds go from {seeds[0]} to {seeds[-1]}" if seeds else "there are none"

    def listed(self, split: str, ids: Sequence[str]) -> list[Row]:
        """The rows with these ids, or all rows of the split when no id is given. Raises BadRequest."""
        if not ids:
            return [row for row in self.rows.values() if not split or row["split"] == split]
        for name in ids:
            self.of_id(name)
        return [self.rows.get(name) or seed_row(int(name[5:])) for name in ids]


def seed_id(seed: int) -> str:
    return f"seed:{seed}"


def seed_row(seed: int) -> dict[str, JsonValue]:
    return {"task_id": seed_id(seed), "seed": seed, "split": "train"}


def from_seeds(seeds: Iterable[int]) -> Examples:
    """Examples that are numbers. Raises Misconfigured for repeats or anything else than whole numbers."""
    listed = list(seeds)
    if any(isinstance(seed, bool) or not isinstance(seed, int) for seed in listed):
        raise Misconfigured("seeds", "must be whole numbers")
    if len(set(listed)) != len(listed):
        raise Misconfigured("seeds", "holds a seed twice")
    return Examples({seed_id(s): seed_row(s) for s in listed}, {s: seed_id(s) for s in listed}, plain=True)


def from_rows(rows: Iterable[Row] | Mapping[str, Row]) -> Examples:
    """Examples that are rows: a list, with ids of their own or numbered, or a mapping id -> row.

    The seed of a row is its `seed` or its place. Raises Misconfigured for repeats.
    """
    named = (
        [{**row, "task_id": name} for name, row in rows.items()] if isinstance(rows, Mapping) else list(rows)
    )
    found: dict[str, Row] = {}
    seeds: dict[int, str] = {}
    for place, row in enumerate(named):
        name = task_identity(row) or f"row:{place}"
        said = row.get("seed", place)
        seed = said if isinstance(said, int) and not isinstance(said, bool) else place
        if name in found or seed in seeds:
            raise Misconfigured("examples", f"the id {name!r} or the seed {seed} is there twice")
        found[name] = {**row, "task_id": name, "seed": seed, "split": str(row.get("split", "train"))}
        seeds[seed] = name
    return Examples(found, seeds, plain=False)


def any_seed() -> Examples:
    """Examples of a task that makes one from any seed."""
    return Examples({}, {}, plain=True, open_ended=True)
