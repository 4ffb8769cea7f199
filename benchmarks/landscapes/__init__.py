"""Landscapes: tasks without a model, on which an optimizer's search can be measured. See `load`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

NAMES = ("rules", "ordered", "interacting")


def load(landscape: str) -> ModuleType:
    """The module of one of `NAMES`, or of any file with a `World` and a `ReflectionLM` like theirs."""
    if landscape in NAMES:
        return importlib.import_module(f"benchmarks.landscapes.{landscape}")
    path = Path(landscape).resolve()
    name = f"landscape_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SystemExit(f"no landscape {landscape!r}: give one of {', '.join(NAMES)}, or a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
