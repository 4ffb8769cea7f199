"""Optimize prompts and other text against a task that returns a reward.

What stands in `__all__` is loaded when it is first asked for: importing this package loads nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paretune.library.anything import optimize_anything
    from paretune.library.installed import install_as_gepa
    from paretune.library.optimize import aoptimize, optimize
    from paretune.library.result import GEPAResult
    from paretune.sdk import PolicyOptimizationJob, PromptLearningJob, SynthClient

__all__ = [
    "GEPAResult",
    "PolicyOptimizationJob",
    "PromptLearningJob",
    "SynthClient",
    "aoptimize",
    "install_as_gepa",
    "optimize",
    "optimize_anything",
]

_HOMES = {
    "GEPAResult": "library.result",
    "PolicyOptimizationJob": "sdk",
    "PromptLearningJob": "sdk",
    "SynthClient": "sdk",
    "aoptimize": "library.optimize",
    "install_as_gepa": "library.installed",
    "optimize": "library.optimize",
    "optimize_anything": "library.anything",
}


if not TYPE_CHECKING:  # a type checker would take it to mean that every name exists

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"paretune.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
