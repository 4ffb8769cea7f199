"""The console's modules as one script, for a file that stands alone."""

from __future__ import annotations

import re
from collections.abc import Callable

IMPORT = re.compile(r'^import\s+(?:\{([^}]*)\}\s+from\s+)?"\./([\w-]+)\.js";[^\n]*$', re.MULTILINE)
EXPORT = re.compile(r"^export\s+((?:async\s+)?function\*?|const|let|class)\s+(\w+)", re.MULTILINE)
LEFT = re.compile(r"^(?:import|export)\b|\bimport\(", re.MULTILINE)


def bundle(entry: str, read: Callable[[str], str]) -> str:
    """The module `entry` and all that it imports, each in a scope of its own. `read` gives a module's text.

    Only `import {a, b as c} from "./x.js"`, `import "./x.js"` and exports of declarations are understood.
    Raises ValueError on other forms, and on modules that import each other.
    """
    done: dict[str, str] = {}
    _add(entry, read, done, ())
    return "\n".join(done.values())


def _add(name: str, read: Callable[[str], str], done: dict[str, str], within: tuple[str, ...]) -> None:
    if name in within:
        raise ValueError(f"modules import each other: {' -> '.join((*within, name))}")
    if name in done:
        return
    text = read(f"{name}.js")
    for _, other in IMPORT.findall(text):
        _add(other, read, done, (*within, name))
    exported = ", ".join(made for _, made in EXPORT.findall(text))
    body = EXPORT.sub(r"\1 \2", IMPORT.sub(_taken, text))
    if left := LEFT.search(body):
        raise ValueError(f"{name}.js: {body[left.start() :].splitlines()[0]!r} cannot be bundled")
    done[name] = f"const {_variable(name)} = (() => {{\n{body}\nreturn {{ {exported} }};\n}})();"


def _taken(found: re.Match[str]) -> str:
    names, module = found[1], found[2]
    if names is None:
        return ""
    renamed = re.sub(r"(\w+) as (\w+)", r"\1: \2", names).strip()
    return f"const {{ {renamed} }} = {_variable(module)};"


def _variable(name: str) -> str:
    return f"module_{name.replace('-', '_')}"
