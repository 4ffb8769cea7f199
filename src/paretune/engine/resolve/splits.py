"""Which examples a job has, by what they may be used for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace

from paretune.config import GEPAConfig, MIPROConfig, PromptLearningConfig
from paretune.config.mipro import POOLS
from paretune.container.client import ContainerClient
from paretune.core.canonical import JsonValue
from paretune.core.errors import Misconfigured
from paretune.core.example import Example, Split, Splits
from paretune.core.sampling import deal

LEAST_FEEDBACK = 3


async def splits_of(config: PromptLearningConfig, client: ContainerClient) -> Splits:
    """From task ids, which the container knows, or from seeds, and from the split that is `validation_pool`.

    Raises Misconfigured and AttemptFailed.
    """
    if config.task_pools is not None:
        beside = config.gepa.evaluation.model_fields_set - {"noise_replicates", "validation_top_k"}
        if beside:
            raise Misconfigured(
                f"gepa.evaluation.{min(beside)}",
                "task_pools names the examples already; give one of the two",
            )
        return await _pools(config, client)
    splits, pool = known_splits(config), validation_pool(config)
    if not pool:
        return splits
    seeds = {example.data["seed"] for example in splits.select}
    return replace(splits, select=await _validation(client, pool, seeds, splits))


def validation_pool(config: PromptLearningConfig) -> str:
    """The split of the container's task set that finalists are compared on; empty where seeds say it."""
    return "" if config.algorithm == "mipro" else config.gepa.evaluation.validation_pool or ""


def known_splits(config: PromptLearningConfig) -> Splits:
    """The splits of a document that gives seeds. Raises Misconfigured."""
    if config.algorithm == "mipro":
        return pool_splits(config.mipro or MIPROConfig())
    return seed_splits(config.gepa)


def pool_splits(mipro: MIPROConfig) -> Splits:
    """MIPRO's pools: demonstrations and failures come from `bootstrap`, trials are measured on `online`."""
    pools = mipro.pools()
    for name in ("bootstrap", "online"):
        if not getattr(pools, name):
            raise Misconfigured(f"mipro.{POOLS[name]}", "give the seeds, as in {start = 0, end = 50}")
    shared = set(pools.bootstrap) == set(pools.online)
    home = Split.PARETO if shared else Split.REFLECT
    return Splits(
        reflect=_seeds(pools.online if shared else pools.bootstrap, home),
        pareto=_seeds(pools.online, Split.PARETO),
        test=_seeds(pools.test, Split.TEST),
    )


def seed_splits(gepa: GEPAConfig) -> Splits:
    """Seeds dealt into splits as the job document says.

    `archive.pareto_set_size` of the training seeds, drawn by the run's seed, serve the frontier and
    the rest (at least 3) the proposer; without a size `feedback_fraction` deals them; with fewer seeds
    than the size all serve both.
    """
    evaluation = gepa.evaluation
    train = _either(evaluation.train_seeds, evaluation.seeds, "evaluation.train_seeds", "evaluation.seeds")
    select = _either(
        evaluation.validation_seeds,
        evaluation.val_seeds,
        "evaluation.validation_seeds",
        "evaluation.val_seeds",
    )
    if not train:
        raise Misconfigured("gepa.evaluation.seeds", "give the training seeds, as in {start = 0, end = 50}")
    size = gepa.archive.pareto_set_size
    if size is None:
        size = len(train) - max(LEAST_FEEDBACK, round(gepa.archive.feedback_fraction * len(train)))
    if size > len(train) or size <= 0:
        pareto, reflect = list(train), list(train)
    else:
        size = min(size, len(train) - LEAST_FEEDBACK) if len(train) > LEAST_FEEDBACK else len(train)
        pareto, reflect = deal(train, size, seed=gepa.rng_seed or 0, purpose="pareto")
    shared = set(pareto) == set(reflect) or not reflect
    return Splits(
        reflect=_seeds(pareto if shared else reflect, Split.PARETO if shared else Split.REFLECT),
        pareto=_seeds(pareto, Split.PARETO),
        select=_seeds(select or [], Split.SELECT),
        test=_seeds(evaluation.test_pool or [], Split.TEST),
    )


def _either(one: list[int] | None, other: list[int] | None, first: str, second: str) -> list[int] | None:
    if one is not None and other is not None and one != other:
        raise Misconfigured(f"gepa.{first}", f"differs from gepa.{second}; give one of the two")
    return one if one is not None else other


def _seeds(seeds: Sequence[int], split: Split) -> tuple[Example, ...]:
    return tuple(Example(str(seed), split, {"seed": seed}) for seed in seeds)


async def _pools(config: PromptLearningConfig, client: ContainerClient) -> Splits:
    """Task ids of a container with a task set; the rows travel with the rollouts."""
    pools = config.task_pools
    assert pools is not None
    reflection = pools.minibatch or pools.reflection
    strangers = sorted(set(reflection) - set(pools.reflection))
    if strangers:
        raise Misconfigured(
            "task_pools.minibatch", f"not in task_pools.reflection: {', '.join(strangers[:5])}"
        )
    shared = set(reflection) == set(pools.pareto)
    train, select, test = await asyncio.gather(
        _rows(client, pools.split, list(dict.fromkeys([*reflection, *pools.pareto]))),
        _rows(client, pools.heldout_split, pools.heldout),
        _rows(client, pools.test_split, pools.test),
    )
    home = Split.PARETO if shared else Split.REFLECT
    return Splits(
        reflect=tuple(_row(i, home, train[i]) for i in reflection),
        pareto=tuple(_row(i, Split.PARETO, train[i]) for i in pools.pareto),
        select=tuple(_row(i, Split.SELECT, select[i]) for i in pools.heldout),
        test=tuple(_row(i, Split.TEST, test[i]) for i in pools.test),
    )


async def _validation(
    client: ContainerClient, pool: str, seeds: Set[JsonValue], others: Splits
) -> tuple[Example, ...]:
    """The tasks of this split, or those of them that have one of the `seeds`, if any is given."""
    field = "gepa.evaluation.validation_pool"
    told = await client.taskset() or {}
    metadata, named = told.get("metadata"), told.get("splits")
    listed = metadata.get("task_ids") if isinstance(metadata, Mapping) else None
    ids = listed.get(pool) if isinstance(listed, Mapping) else None
    if not isinstance(ids, list) or not ids:
        known = ", ".join(named) if isinstance(named, Mapping) else "none"
        raise Misconfigured(field, f"the container lists no tasks of a split {pool!r}; its splits: {known}")
    rows = await _rows(client, pool, [str(one) for one in ids])
    chosen = {name: row for name, row in rows.items() if not seeds or row.get("seed") in seeds}
    if strangers := seeds - {row.get("seed") for row in chosen.values()}:
        raise Misconfigured(field, f"validation_seeds names {min(strangers)}, which is not in {pool!r}")
    elsewhere = {e.data["seed"] for split in (others.reflect, others.pareto, others.test) for e in split}
    if shared := [row["seed"] for row in chosen.values() if row.get("seed") in elsewhere]:
        raise Misconfigured(
            field, f"{pool!r} has seed {shared[0]}, which trains or tests; name tasks by id, in task_pools"
        )
    return tuple(_row(name, Split.SELECT, row) for name, row in chosen.items())


async def _rows(client: ContainerClient, split: str, ids: Sequence[str]) -> dict[str, dict[str, JsonValue]]:
    return dict(zip(ids, await client.tasks(split, ids), strict=True)) if ids else {}


def _row(task_id: str, split: Split, row: Mapping[str, JsonValue]) -> Example:
    data: dict[str, JsonValue] = {"task": dict(row), "task_id": task_id}
    if isinstance(row.get("seed"), int):
        data["seed"] = row["seed"]
    return Example(task_id, split, data)
