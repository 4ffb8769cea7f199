"""Optimize prompts and other text against a task that returns a reward.

What stands in `__all__` is loaded when it is first asked for: importing this package loads nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paretune.sdk import PolicyOptimizationJob, PromptLearningJob, SynthClient

__all__ = ["PolicyOptimizationJob", "PromptLearningJob", "SynthClient"]


if not TYPE_CHECKING:  # a type checker would take it to mean that every name exists

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module("paretune.sdk"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
