"""A candidate as the task receives it: its messages, with the demonstrations in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paretune.core.demonstrations import Demonstration, load
from paretune.core.placement import Turn, as_messages, as_text


def conversation(
    components: Mapping[str, str], order: Sequence[str], surface: Mapping[str, Any]
) -> list[Turn]:
    """The turns in the run's order. `surface` is the one on record; a text without a role is the system's.

    Records keep components by name; `order` is the run's.
    """
    texts, formats, roles = sent(components, surface), formats_of(surface), surface.get("roles") or {}
    names = [*(name for name in order if name in texts), *(name for name in texts if name not in order)]
    shown = [name for name in names if name in formats]
    return as_messages([(name, roles.get(name) or "system") for name in names], texts, shown)


def sent(components: Mapping[str, str], surface: Mapping[str, Any]) -> dict[str, str]:
    """The components; demonstrations that have no messages of their own stand in those that hold them."""
    hosts = surface.get("hosts") or {}
    return as_text(components, {name: host for name, host in hosts.items() if name in components})


def formats_of(surface: Mapping[str, Any]) -> Mapping[str, str]:
    """Component -> format, for those that are no prose."""
    found: Mapping[str, str] = surface.get("formats") or {}
    return found


def demonstrations(
    components: Mapping[str, str], surface: Mapping[str, Any]
) -> dict[str, tuple[Demonstration, ...]]:
    """Component -> the demonstrations that it holds."""
    return {name: load(components[name]) for name in formats_of(surface) if name in components}
