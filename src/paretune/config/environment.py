"""Values that come from the environment: keys by reference, never written anywhere."""

from __future__ import annotations

from collections.abc import Mapping

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


def reference(value: str | None) -> str | None:
    """How a key may be written down: a `$NAME` as it is, anything else as a mark that there was one."""
    if value is None or value.startswith("$"):
        return value
    return WITHHELD
