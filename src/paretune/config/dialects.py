"""Names that clients use beside today's: a mapping in, the same job under today's names out.

Clients of several years send renamed sections, and copies of what a document says elsewhere. A name is read
as the one that it stands for; a copy that agrees with its original is dropped, one that does not is an error.
Everything else passes as it is, so that unknown keys are still errors. What comes in is never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paretune.config.minimal import expanded, is_minimal
from paretune.config.seeds import parse_seeds
from paretune.core.errors import Misconfigured, NotAvailable

ROOT = "prompt_learning"
RENAMED = "policy_optimization"

CLIENT_KEYS = frozenset({"display", "results_folder", "env_file_path"})
"""Top-level keys that clients put beside the job; not part of it."""

MOST_LEVELS = 64
"""Tables and lists inside each other."""

_VERSIONS = frozenset({"config_schema_version", "defaults_version", "_defaults_version"})

_CHECKS = frozenset({"rollout_health_check_mode", "backend_rollout_health_check_mode"})
"""How strict a trial before the run is. Here the first rollouts are the trial; the run stops if they fail."""

_ALIASES = {
    "localapi_url": "task_app_url",
    "container_url": "task_app_url",
    "localapi_id": "task_app_id",
    "container_id": "task_app_id",
    "localapi_api_key": "task_app_api_key",
    "container_api_key": "task_app_api_key",
    "algorithm_name": "algorithm",
    "gepa.prompt_budget": "gepa.token",
    "gepa.proposed_prompt_max_tokens": "gepa.token.max_limit",
    "gepa.throughput.max_concurrent_rollouts": "gepa.rollout.max_concurrent",
    "gepa.rollout.max_concurrent_rollouts": "gepa.rollout.max_concurrent",
    "gepa.mode": "execution_mode",
    "gepa.execution_mode": "execution_mode",
    "mipro.mode": "execution_mode",
    "mipro.execution_mode": "execution_mode",
    "mipro.online_train_seeds": "mipro.online_pool",
    **{
        f"{place}{section}.verifier_graph_id": f"{place}{section}.synth_verifier_id"
        for place in ("", "gepa.", "mipro.")
        for section in ("judge", "verifier")
    },
}

_MIPRO_ALIASES = {
    "env_name": "mipro.env_name",
    "bootstrap_train_seeds": "mipro.bootstrap_train_seeds",
    "online_train_seeds": "mipro.online_pool",
    "online_pool": "mipro.online_pool",
    "test_pool": "mipro.test_pool",
    "reference_pool": "mipro.reference_pool",
}


def section_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """The job's section under today's names, of a document with or without its outer name.

    Raises Misconfigured or NotAvailable.
    """
    if not isinstance(data, Mapping):
        raise Misconfigured(ROOT, f"a job document is a table, not {type(data).__name__}")
    if _deeper_than(data, MOST_LEVELS):
        raise Misconfigured(ROOT, f"nested deeper than {MOST_LEVELS} levels")
    outer = [name for name in (ROOT, RENAMED) if data.get(name)]
    if len(outer) == 2 and data[ROOT] != data[RENAMED]:
        raise Misconfigured(RENAMED, f"stands beside [{ROOT}] and differs from it; give one of the two")
    if outer:
        for key in data:
            if key not in CLIENT_KEYS and key not in (ROOT, RENAMED):
                raise Misconfigured(str(key), f"unknown section beside [{outer[0]}]")
    inner = data[outer[0]] if outer else data
    if isinstance(inner, Mapping):
        inner = {key: value for key, value in inner.items() if key not in CLIENT_KEYS | {ROOT, RENAMED}}
    if not isinstance(inner, Mapping) or not inner:
        raise Misconfigured(ROOT, f"the document has no [{ROOT}] section")
    return todays(inner)


def todays(inner: Mapping[str, Any]) -> dict[str, Any]:
    """The section under today's names. Raises Misconfigured or NotAvailable."""
    section = _copied(inner)
    if is_minimal(section):
        section = _copied(expanded(section))
    _leave_the_model_to_the_task(section)
    _rename(section, _ALIASES)
    if section.get("algorithm") == "mipro":
        _rename(section, _MIPRO_ALIASES)
    elif section.get("algorithm") == "gepa":
        _drop_copies_of_gepa(section)
    _read_initial_candidate(section)
    _drop_what_goes_without_saying(section)
    _read_target(section)
    _one_proxy(section)
    return section


def gepa_section(data: Mapping[str, Any]) -> dict[str, Any]:
    """`[prompt_learning.gepa]` alone, under today's names."""
    found: dict[str, Any] = todays({"algorithm": "gepa", "gepa": data})["gepa"]
    return found


# -- renaming -------------------------------------------------------------------------------------


def _copied(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copied(item) if isinstance(item, Mapping) else item for key, item in value.items()}


def _deeper_than(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most + 1):
        level = [
            item
            for part in level
            for item in (part.values() if isinstance(part, Mapping) else part)
            if isinstance(item, Mapping | list)
        ]
        if not level:
            return False
    return True


def _table(section: Any, path: list[str]) -> dict[str, Any] | None:
    for part in path:
        section = section.get(part) if isinstance(section, dict) else None
    return section if isinstance(section, dict) else None


def _rename(section: dict[str, Any], names: Mapping[str, str]) -> None:
    for old, new in names.items():
        *path, key = old.split(".")
        table = _table(section, path)
        if table is not None and key in table:
            _give(section, new, table.pop(key), was=old)
            if path and not table and path[-1] == "throughput":
                del section["gepa"]["throughput"]


def _give(section: dict[str, Any], name: str, value: Any, *, was: str) -> None:
    """Put a value where it belongs. Raises Misconfigured if something else is there."""
    if value is None:
        return
    *path, key = name.split(".")
    table = section
    for part in path:
        if table.get(part) is None:
            table[part] = {}
        if not isinstance(table[part], dict):
            return  # refused for what it is, where its type is checked
        table = table[part]
    there = table.get(key)
    if isinstance(there, dict) and isinstance(value, dict) and not _is_range(there):
        for inner, item in value.items():
            _give(section, f"{name}.{inner}", item, was=f"{was}.{inner}")
    elif there is None:
        table[key] = value
    elif not same(there, value):
        raise Misconfigured(f"{ROOT}.{was}", f"differs from {ROOT}.{name}; give one of the two")


def _is_range(value: Mapping[str, Any]) -> bool:
    return {"start", "end"} <= value.keys()


def same(one: Any, other: Any) -> bool:
    """Whether two values say the same; seeds may be written as a range."""
    if one == other:
        return True
    try:
        return bool(parse_seeds(one) == parse_seeds(other))
    except ValueError:
        return False


# -- copies, and what goes without saying ---------------------------------------------------------


def _drop_copies_of_gepa(section: dict[str, Any]) -> None:
    """Clients repeat the training seeds, and the environment's name, outside `gepa`."""
    evaluation = _table(section, ["gepa", "evaluation"]) or {}
    name = "seeds" if evaluation.get("seeds") and not evaluation.get("train_seeds") else "train_seeds"
    for copy in ("train_seeds", "evaluation_seeds"):
        if copy in section:
            _give(section, f"gepa.evaluation.{name}", section.pop(copy), was=copy)
    if "env_name" in section:
        _give(section, "gepa.env_name", section.pop("env_name"), was="env_name")


def _drop_what_goes_without_saying(section: dict[str, Any]) -> None:
    for key in _VERSIONS & section.keys():
        del section[key]
    for key, usual in (("execution_mode", "offline"), ("job_kind", "optimization")):
        value = section.pop(key, None)
        if value not in (None, usual):
            raise NotAvailable(f"{ROOT}.{key}")
    for place, table in {"": section, "gepa.": _table(section, ["gepa"]) or {}}.items():
        for key in _CHECKS & table.keys():
            value = table.pop(key)
            if value not in (None, "strict", "warn", "off"):
                raise Misconfigured(f"{ROOT}.{place}{key}", "must be strict, warn or off")


def _read_target(section: dict[str, Any]) -> None:
    """`target_mode` and `target_kind` are `optimization_mode` in two words."""
    mode, kind = section.pop("target_mode", None), section.pop("target_kind", None)
    if mode == "prompt" and kind is None:
        _give(section, "optimization_mode", "prompt", was="target_mode")
    elif mode is not None or kind is not None:
        meant = "context" if kind == "context" else "optimize_anything"
        _give(section, "optimization_mode", meant, was="target_mode")


def _one_proxy(section: dict[str, Any]) -> None:
    for algorithm in ("gepa", "mipro"):
        table = _table(section, [algorithm]) or {}
        top, repeated = section.get("proxy_models"), table.get("proxy_models")
        if top is None or repeated is None:
            continue
        if repeated != top:
            name = f"{ROOT}.{algorithm}.proxy_models"
            raise Misconfigured(name, f"differs from {ROOT}.proxy_models; give one of the two")
        del table["proxy_models"]


def _leave_the_model_to_the_task(section: dict[str, Any]) -> None:
    """Clients without `policy.model` (0.4.12 and later) learn the model from the task."""
    policy, gepa = _table(section, ["policy"]), _table(section, ["gepa"]) or {}
    if policy is not None and ("config" in policy or "proposed_prompt_max_tokens" in gepa):
        policy.setdefault("model", None)


def _read_initial_candidate(section: dict[str, Any]) -> None:
    """`gepa.initial_candidate.stages`: the initial prompt, if it is one stage."""
    place = "gepa.initial_candidate"
    gepa = _table(section, ["gepa"]) or {}
    candidate = gepa.pop("initial_candidate", None)
    if candidate is None:
        return
    stages = candidate.get("stages") if isinstance(candidate, Mapping) else None
    if not isinstance(stages, list) or not stages or not all(isinstance(stage, Mapping) for stage in stages):
        raise Misconfigured(f"{ROOT}.{place}.stages", "must be an array of tables, each with messages")
    if len(stages) > 1 or candidate.keys() - {"stages"}:
        raise NotAvailable(f"{ROOT}.{place}")
    stage = dict(stages[0])
    name = stage.pop("stage_id", None)
    if name is not None:
        stage.setdefault("id", name)
    messages = stage.get("messages")
    if isinstance(messages, list):
        stage["messages"] = [_message(message, order) for order, message in enumerate(messages)]
    if section.get("initial_prompt") is None:
        section["initial_prompt"] = stage
    elif section["initial_prompt"] != stage:
        raise Misconfigured(f"{ROOT}.{place}", f"differs from {ROOT}.initial_prompt; give one of the two")


def _message(message: Any, order: int) -> Any:
    if not isinstance(message, Mapping):
        return message
    given = dict(message)
    if "content" in given:
        given.setdefault("pattern", given.pop("content"))
    return {"order": order, **given}
