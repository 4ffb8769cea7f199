"""What import-linter cannot say: a list of everything that `core` may import from outside."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import paretune

CORE = Path(paretune.__path__[0]) / "core"
ALLOWED = sys.stdlib_module_names | {"numpy", "scipy"}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "."


def test_core_imports_only_itself_the_standard_library_numpy_and_scipy() -> None:
    files = sorted(CORE.rglob("*.py"))
    strays = {
        f"{path.relative_to(CORE)}: {name}"
        for path in files
        for name in imported(path)
        if name.split(".")[0] not in ALLOWED and not f"{name}.".startswith("paretune.core.")
    }
    assert files
    assert not strays
