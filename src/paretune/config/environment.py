"""Values that come from the environment: keys by reference, never written anywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping

from paretune.core.canonical import JsonValue
from paretune.core.errors import Misconfigured

WITHHELD = "(given, not written)"
"""Stands in a stored document for a key that was written out in the file."""


def resolve_key(value: str | None, field: str, environment: Mapping[str, str], fallback: str) -> str | None:
    """The secret behind `$NAME`, or `value` itself, or the variable `fallback` when nothing is given.

    Raises Misconfigured when `$NAME` is not set.
    """
    if value is None:
        return environment.get(fallback) or None
    if value == WITHHELD:
        if not environment.get(fallback):
            raise Misconfigured(field, f"the key was given in the file and is not on record: set {fallback}")
        return environment[fallback]
    if not value.startswith("$"):
        return value
    name = value[1:].strip("{}")
    if not environment.get(name):
        raise Misconfigured(field, f"the environment variable {name} is not set")
    return environment[name]


_REFERENCE = re.compile(r"\$(?:\{(\w+)\}|([A-Za-z_]\w*))")


def refuse_references(field: str, value: JsonValue) -> None:
    """Raises Misconfigured if a text anywhere in `value` is a `$NAME`: it would stay one.

    For settings that are written to the record and sent with each rollout, where nothing secret belongs.
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            refuse_references(f"{field}.{key}", inner)
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            refuse_references(f"{field}[{place}]", inner)
    elif isinstance(value, str) and (found := _REFERENCE.fullmatch(value.strip())):
        name = found[1] or found[2]
        raise Misconfigured(
            field,
            f"{value.strip()} is not looked up here, for this goes on record and out with each rollout; set "
            f"{name} where the task runs, and write its value here only if it is no secret",
        )


def reference(value: str | None) -> str | None:
    """How a key may be written down: a `$NAME` as it is, anything else as a mark that there was one."""
    if value is None or value.startswith("$"):
        return value
    return WITHHELD
