"""Documents of a few keys that a client would expand: the same expansion, by the same numbers ("v1")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paretune.config.seeds import MOST_SEEDS, parse_seeds
from paretune.core.errors import Misconfigured

TRAIN_SHARE = 0.7
BUDGET = 100_000_000
"""So many rollouts that other caps rule."""

_MARKS = frozenset({"total_seeds", "num_generations", "children_per_generation", "population_size"})
_REQUIRED = ("proposer_effort", "proposer_output_tokens", "num_generations", "children_per_generation")
_CAPS = ("max_cost_usd", "max_trials", "max_rollouts", "max_seconds")
_SEEDS = ("total_seeds", "train_seeds", "validation_seeds", "val_seeds")


def is_minimal(section: Mapping[str, Any]) -> bool:
    """Whether GEPA's settings stand beside the section's own keys instead of in `gepa`."""
    return "gepa" not in section and bool(_MARKS & section.keys())


def expanded(section: Mapping[str, Any]) -> dict[str, Any]:
    """The document that the few keys stand for. Raises Misconfigured naming the key."""
    for key in _REQUIRED:
        if section.get(key) is None:
            raise Misconfigured(
                f"prompt_learning.{key}", "missing, beside the other keys of a short document"
            )
    train, validation = _split(section)
    size = section.get("population_size") or max(10, min(30, len(train) // 10))
    archive = 2 * size if isinstance(size, int) else size
    gepa = {
        "env_name": section.get("env_name", "default"),
        "proposer_effort": section["proposer_effort"],
        "proposer_output_tokens": section["proposer_output_tokens"],
        "evaluation": {"train_seeds": train, "validation_seeds": validation},
        "rollout": {"budget": BUDGET, "max_concurrent": 20},
        "mutation": {"rate": 0.3},
        "population": {
            "initial_size": size,
            "num_generations": section["num_generations"],
            "children_per_generation": section["children_per_generation"],
            "crossover_rate": 0.5,
            "selection_pressure": 1.0,
        },
        "archive": {
            "size": archive,
            "pareto_set_size": archive,
            "pareto_eps": 1e-6,
            "feedback_fraction": 0.5,
        },
    }
    used = {*_MARKS, *_REQUIRED, *_CAPS, *_SEEDS, "env_name"}
    rest = {key: value for key, value in section.items() if key not in used}
    caps = {key: section[key] for key in _CAPS if section.get(key) is not None}
    if caps:
        caps = {"max_cost_usd": 1000.0, "max_trials": 100_000, **caps}
        rest["termination_config"] = caps
    return {**rest, "gepa": gepa}


def _split(section: Mapping[str, Any]) -> tuple[list[int], list[int]]:
    """Training and validation seeds: as given, or 70 and 30 of 100 of `total_seeds`."""
    total = section.get("total_seeds")
    if total is not None:
        if isinstance(total, bool) or not isinstance(total, int) or not 2 <= total <= MOST_SEEDS:
            raise Misconfigured("prompt_learning.total_seeds", f"a number from 2 to {MOST_SEEDS}")
        first = int(total * TRAIN_SHARE)
        return list(range(first)), list(range(first, total))
    found = []
    for names in (("train_seeds",), ("validation_seeds", "val_seeds")):
        given = next((section[name] for name in names if section.get(name)), None)
        if given is None:
            raise Misconfigured(f"prompt_learning.{names[0]}", "missing; give it, or total_seeds")
        try:
            found.append(parse_seeds(given))
        except ValueError as error:
            raise Misconfigured(f"prompt_learning.{names[0]}", str(error)) from None
    return found[0], found[1]
