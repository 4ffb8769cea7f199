"""What a document may ask for that this version does not do yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from paretune.config.dialects import ROOT
from paretune.config.document import PromptLearningConfig
from paretune.core.errors import NotAvailable


def _given(value: Any) -> bool:
    return value is not None and value not in (False, "", [], {})


_ASKS: Mapping[str, Callable[[Any], bool]] = {
    "optimization_mode": lambda value: value != "prompt",
    "auto_discover_patterns": _given,
    "policy.context_override": _given,
    "termination_config.pessimism_enabled": _given,
    "gepa.proposer_type": lambda value: value == "agent",
    "mipro.proposer_type": lambda value: value == "agent",
}
"""Field -> whether its value asks for something that is not built. Fields that only serve one of these
are not listed: without it they ask for nothing."""


def not_available(config: PromptLearningConfig) -> list[str]:
    """Dotted fields of what is asked for and not built; empty if the job can run.

    A section that is switched off asks for nothing.
    """
    return [f"{ROOT}.{field}" for field, asks in _ASKS.items() if asks(_at(config, field))]


def refuse_not_available(config: PromptLearningConfig) -> None:
    """Raises NotAvailable, naming the first field, if the job asks for what is not built."""
    missing = not_available(config)
    if missing:
        raise NotAvailable(missing[0])


def _at(config: Any, field: str) -> Any:
    for part in field.split("."):
        config = getattr(config, part, None)
    return config
