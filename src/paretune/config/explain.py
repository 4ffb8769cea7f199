"""What a document says, key by key: the value that holds, and where it comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from paretune.config.adaptive import AdaptivePoolConfig, GEPAAdaptiveBatchConfig
from paretune.config.base import Section, try_section
from paretune.config.dialects import ROOT, section_of
from paretune.config.document import PromptLearningConfig
from paretune.core.errors import Misconfigured

FILE, DEFAULT = "file", "default"
_ADDRESS = re.compile(r"\w+://\S+")
"""An address alone: a prompt may name one, and ask something about it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One key without `prompt_learning.`, its value as it may be shown, and its source."""

    field: str
    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class Examined:
    """A document, or everything that is wrong with it."""

    config: PromptLearningConfig | None
    problems: tuple[Misconfigured, ...]
    settings: tuple[Setting, ...]


def examine(data: Mapping[str, Any]) -> Examined:
    """Read a document without stopping at the first mistake."""
    try:
        section = section_of(data)
    except Misconfigured as error:
        return Examined(None, (error,), ())
    config, problems = try_section(PromptLearningConfig, section, ROOT)
    if config is None:
        return Examined(None, tuple(problems), ())
    return Examined(config, (), tuple(_settings(config, section, "", DEFAULT)))


def _settings(section: Section, given: Any, path: str, otherwise: str) -> Iterator[Setting]:
    if isinstance(section, AdaptivePoolConfig | GEPAAdaptiveBatchConfig):
        otherwise = f"preset {section.level}"
    for name in type(section).model_fields:
        value, place = getattr(section, name), f"{path}{name}"
        written = given.get(name) if isinstance(given, Mapping) else None
        if isinstance(value, Section):
            yield from _settings(value, written, f"{place}.", otherwise)
        elif isinstance(value, list) and value and isinstance(value[0], Section):
            for index, item in enumerate(value):
                there = written[index] if isinstance(written, list) else None
                yield from _settings(item, there, f"{place}.{index}.", otherwise)
        elif value is not None:
            yield Setting(place, shown(name, value), otherwise if written is None else FILE)


def shown(name: str, value: Any) -> Any:
    """The value without what may be secret: keys by reference, addresses without a query, tables by name."""
    if name.endswith("api_key"):
        return value if value.startswith("$") else "(given, not shown)"
    if isinstance(value, dict):
        return f"a table of {', '.join(value)}" if value else "an empty table"
    if isinstance(value, str) and _ADDRESS.fullmatch(value):
        try:
            parts = urlsplit(value)
        except ValueError:  # no address after all; what is wrong with it is said by who asks it
            return value
        secret = parts.query or "@" in parts.netloc
        return f"{parts.scheme}://{parts.hostname}/..." if secret else value
    return value
