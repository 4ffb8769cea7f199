"""The demo's job document: the same that a user would write for a task of their own."""

from __future__ import annotations

import json
from typing import Any

from paretune.demo.container import SELECT_SEEDS_FROM, TEST_SEEDS_FROM
from paretune.demo.task import DemoTask

TRAIN, SELECT, TEST = 176, 64, 120
PARETO = 56
BUDGET = 1300


def demo_document(
    task: DemoTask,
    url: str,
    *,
    seed: int,
    budget: int | None,
    proposer: str,
    slots: int,
    algorithm: str = "gepa",
) -> dict[str, Any]:
    """The document for this task at this address; `slots` rollouts in flight."""
    mipro = _mipro(task, seed, proposer, slots) if "mipro" in algorithm else {}
    caps = {"termination_config": {"max_rollouts": budget or BUDGET}} if mipro else {}
    return {
        "prompt_learning": {
            "algorithm": algorithm,
            **mipro,
            **caps,
            "task_app_url": url,
            "initial_prompt": {
                "id": f"demo-{task.name}",
                "name": task.description,
                "messages": [
                    {"role": message.role, "pattern": message.pattern, "order": order}
                    for order, message in enumerate(task.seed_messages)
                ],
            },
            "gepa": {
                "env_name": f"demo-{task.name}",
                "rng_seed": seed,
                "proposer_type": proposer,
                "rollout": {"budget": budget or BUDGET, "max_concurrent": slots, "minibatch_size": 8},
                "evaluation": {
                    "seeds": {"start": 0, "end": TRAIN},
                    "validation_seeds": {"start": SELECT_SEEDS_FROM, "end": SELECT_SEEDS_FROM + SELECT},
                    "test_pool": {"start": TEST_SEEDS_FROM, "end": TEST_SEEDS_FROM + TEST},
                    "validation_top_k": 3,
                },
                "population": {
                    "initial_size": 1,
                    "num_generations": 20,
                    "children_per_generation": 4,
                    "crossover_rate": 0.2,
                    "patience_generations": 6,
                },
                "mutation": {"rate": 1.0},
                "archive": {"pareto_set_size": PARETO},
            },
        }
    }


def _mipro(task: DemoTask, seed: int, proposer: str, slots: int) -> dict[str, Any]:
    """The section `mipro`: GEPA's training seeds, the same number of them to search on."""
    return {
        "mipro": {
            "env_name": f"demo-{task.name}",
            "rng_seed": seed,
            "proposer_type": proposer,
            "max_concurrent": slots,
            "batch_size": 16,
            "bootstrap_train_seeds": {"start": PARETO, "end": TRAIN},
            "online_pool": {"start": 0, "end": PARETO},
            "test_pool": {"start": TEST_SEEDS_FROM, "end": TEST_SEEDS_FROM + TEST},
        }
    }


def as_toml(document: dict[str, Any]) -> str:
    """The document as a TOML file. Values are texts, numbers, booleans, lists and inline tables."""
    lines: list[str] = []
    _section(document, "", lines)
    return "\n".join(lines).lstrip("\n") + "\n"


def _section(section: dict[str, Any], path: str, lines: list[str]) -> None:
    nested = {k: v for k, v in section.items() if isinstance(v, dict) and "start" not in v}
    lists = {k: v for k, v in section.items() if isinstance(v, list) and v and isinstance(v[0], dict)}
    plain = {k: v for k, v in section.items() if k not in nested and k not in lists}
    if path and plain:
        lines.extend(["", f"[{path}]"])
    lines.extend(f"{key} = {_value(value)}" for key, value in plain.items())
    for key, items in lists.items():
        for item in items:
            lines.extend(["", f"[[{path}.{key}]]"])
            lines.extend(f"{name} = {_value(value)}" for name, value in item.items())
    for key, value in nested.items():
        _section(value, f"{path}.{key}" if path else key, lines)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)
