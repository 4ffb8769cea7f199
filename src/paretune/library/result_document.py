"""A result as a dictionary that survives JSON: gepa's keys for everybody, and beside them what JSON loses."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from paretune.library.lossless import Unwritable, plain, read, write

if TYPE_CHECKING:
    from paretune.library.result import GEPAResult

VERSION = 2
"""Of gepa's keys. 0 and 1 had lists by position where 2 has dictionaries by validation id."""
BESIDE = "paretune"
"""Key of what is ours: `val_ids` (pairs of key and id, where the id is not the key), `outputs` (triples of
key, place and output, where JSON alone would not bring it back) and `costs`."""


def document(result: GEPAResult[Any, Any]) -> dict[str, Any]:
    """The result in gepa's keys, schema 2. Ids that JSON has as keys are as they are; others have a name."""
    keys, val_ids = _keys(
        [
            *(val_id for scores in result.val_subscores for val_id in scores),
            *result.per_val_instance_best_candidates,
            *(result.best_outputs_valset or ()),
        ]
    )
    outputs, beside = _outputs(result.best_outputs_valset, keys)
    fronts = result.per_objective_best_candidates
    return {
        "candidates": [dict(candidate) for candidate in result.candidates],
        "parents": [list(parents) for parents in result.parents],
        "val_aggregate_scores": list(result.val_aggregate_scores),
        "val_subscores": [
            {keys[val_id]: score for val_id, score in scores.items()} for scores in result.val_subscores
        ],
        "best_outputs_valset": outputs,
        "per_val_instance_best_candidates": {
            keys[val_id]: sorted(held) for val_id, held in result.per_val_instance_best_candidates.items()
        },
        "val_aggregate_subscores": result.val_aggregate_subscores
        and [dict(scores) for scores in result.val_aggregate_subscores],
        "per_objective_best_candidates": None
        if fronts is None
        else {name: sorted(held) for name, held in fronts.items()},
        "objective_pareto_front": None
        if result.objective_pareto_front is None
        else dict(result.objective_pareto_front),
        "discovery_eval_counts": list(result.discovery_eval_counts),
        "total_metric_calls": result.total_metric_calls,
        "num_full_val_evals": result.num_full_val_evals,
        "run_dir": result.run_dir,
        "seed": result.seed,
        "_str_candidate_key": result._str_candidate_key,
        "best_idx": result.best_idx if result.val_aggregate_scores else None,
        "validation_schema_version": VERSION,
        BESIDE: {
            "val_ids": val_ids,
            "outputs": beside,
            "costs": None if result.costs is None else list(result.costs),
        },
    }


def fields(d: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `GEPAResult`, from a dictionary of ours or of gepa's, of any schema up to 2, whether
    it went through JSON or not. Raises ValueError on a later schema."""
    version = d.get("validation_schema_version") or 0
    if version > VERSION:
        raise ValueError(
            f"Unsupported GEPAResult validation schema version {version}; max supported is {VERSION}"
        )
    beside = d.get(BESIDE) or {}
    ids = {key: read(val_id) for key, val_id in beside.get("val_ids") or ()}
    fronts, outputs = d.get("per_objective_best_candidates"), d.get("best_outputs_valset")
    return {
        "candidates": [dict(candidate) for candidate in d.get("candidates") or ()],
        "parents": [list(parents) for parents in d.get("parents") or ()],
        "val_aggregate_scores": list(d.get("val_aggregate_scores") or ()),
        "val_subscores": [_by_id(scores, ids) for scores in d.get("val_subscores") or ()],
        "per_val_instance_best_candidates": {
            val_id: set(held)
            for val_id, held in _by_id(d.get("per_val_instance_best_candidates") or {}, ids).items()
        },
        "discovery_eval_counts": list(d.get("discovery_eval_counts") or ()),
        "val_aggregate_subscores": d.get("val_aggregate_subscores"),
        "per_objective_best_candidates": None
        if fronts is None
        else {name: set(held) for name, held in fronts.items()},
        "objective_pareto_front": d.get("objective_pareto_front"),
        "best_outputs_valset": None
        if outputs is None
        else _read_outputs(outputs, ids, beside.get("outputs") or ()),
        "total_metric_calls": d.get("total_metric_calls"),
        "num_full_val_evals": d.get("num_full_val_evals"),
        "run_dir": d.get("run_dir"),
        "seed": d.get("seed"),
        "_str_candidate_key": d.get("_str_candidate_key"),
        "costs": beside.get("costs"),
    }


def _by_id(value: Any, ids: Mapping[str, Any]) -> dict[Any, Any]:
    """A list, as the first schemas have it, is by position."""
    if not isinstance(value, Mapping):
        return dict(enumerate(value))
    return {ids.get(key, key) if isinstance(key, str) else key: item for key, item in value.items()}


def _keys(val_ids: Iterable[Any]) -> tuple[dict[Any, Any], list[list[Any]]]:
    """Id -> key of the document; and the pairs of key in JSON and id that are not the same string.

    Integers stay keys, as gepa has them, unless a string reads the same in JSON. An id that cannot be written
    down stays, too: the dictionary is good, and JSON says what it cannot hold.
    """
    distinct = dict.fromkeys(val_ids)
    keys: dict[Any, Any] = {val_id: val_id for val_id in distinct if isinstance(val_id, str)}
    taken, beside = set(keys), list[list[Any]]()
    for val_id in distinct:
        if isinstance(val_id, str):
            continue
        try:
            written = write(val_id)
        except Unwritable:
            keys[val_id] = val_id
            continue
        name = json.dumps(written)
        keys[val_id] = val_id if type(val_id) is int and name not in taken else name
        while name in taken:
            name = keys[val_id] = f"{name} "
        taken.add(name)
        beside.append([name, written])
    return keys, beside


def _outputs(
    outputs: Mapping[Any, list[tuple[int, Any]]] | None, keys: Mapping[Any, Any]
) -> tuple[dict[Any, list[tuple[int, Any]]] | None, list[list[Any]]]:
    if outputs is None:
        return None, []
    found: dict[Any, list[tuple[int, Any]]] = {}
    beside: list[list[Any]] = []
    for val_id, ranked in outputs.items():
        key, rows = keys[val_id], found.setdefault(keys[val_id], [])
        for place, (program, output) in enumerate(ranked):
            try:
                written = write(output)
            except Unwritable:
                rows.append((program, output))
                continue
            rows.append((program, plain(output)))
            if written != output or type(written) is not type(output):
                beside.append([str(key), place, written])
    return found, beside


def _read_outputs(
    outputs: Any, ids: Mapping[str, Any], beside: Iterable[list[Any]]
) -> dict[Any, list[tuple[int, Any]]]:
    written = {(key, place): output for key, place, output in beside}
    by_key = outputs if isinstance(outputs, Mapping) else dict(enumerate(outputs))
    found: dict[Any, list[tuple[int, Any]]] = {}
    for key, ranked in by_key.items():
        rows = [
            (program, read(written[str(key), place]) if (str(key), place) in written else output)
            for place, (program, output) in enumerate(ranked)
        ]
        found[ids.get(key, key) if isinstance(key, str) else key] = rows
    return found
