"""The mutable program of a container as `prompt_program.v1`, written from as little as a text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from paretune.container.prompt import Part
from paretune.core.canonical import JsonValue
from paretune.core.errors import Misconfigured

VERSION = "prompt_program.v1"
PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")

Program = str | Mapping[str, str] | Sequence[Mapping[str, JsonValue]]
"""The seed prompt: a text, component name -> text, or modules `{"name", "role", "content", "mutable"}`."""


def program_document(task: str, program: Program) -> dict[str, JsonValue]:
    """The body of GET /program. Raises Misconfigured if nothing in it can be changed."""
    modules = [_module(module) for module in _listed(program)]
    mutable = [module for module in modules if module["mutable"]]
    if not mutable:
        raise Misconfigured("program", "needs at least one component with a text")
    names = [str(module["module_id"]) for module in modules]
    if len(set(names)) != len(names):
        raise Misconfigured("program", "two modules have the same name")
    return {
        "version": VERSION,
        "program_id": task,
        "modules": modules,
        "target_modules": [
            {"module_id": m["module_id"], "candidate_field": m["candidate_field"], "objective": "reward"}
            for m in mutable
        ],
        "seed_candidate": {m["candidate_field"]: m["content"] for m in mutable},
        "rollout_overlay_schema": {"candidate_fields": [m["candidate_field"] for m in mutable]},
        "metadata": {},
    }


def program_layout(document: Mapping[str, JsonValue] | None) -> tuple[Part, ...]:
    """The messages that the modules make, in order."""
    modules = document["modules"] if document else []
    return tuple(Part(m["role"], m["candidate_field"], "" if m["mutable"] else m["content"]) for m in modules)


def _listed(program: Program) -> list[Mapping[str, JsonValue]]:
    if isinstance(program, str):
        return [{"name": "prompt", "content": program}]
    if isinstance(program, Mapping):
        return [{"name": name, "content": text} for name, text in program.items()]
    return list(program)


def _module(module: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    name, text = module.get("name") or module.get("module_id"), module.get("content")
    if not isinstance(name, str) or not isinstance(text, str) or not text.strip():
        raise Misconfigured("program", "each module needs a name and a text that is not empty")
    mutable = bool(module.get("mutable", True))
    role = module.get("role") or (name if name in ("system", "user", "assistant") else "system")
    return {
        "module_id": name,
        "role": role,
        "content": text,
        "mutable": mutable,
        "candidate_field": name if mutable else "",
        "template_variables": sorted(set(PLACEHOLDER.findall(text))),
        "metadata": {},
    }
