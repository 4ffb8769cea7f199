"""gepa's public names beside ours, by introspection of an installed gepa: writes `docs/gepa-api.md`.

    pip install gepa==0.1.4 && python -m benchmarks.gepa_api

Every public module, class, function, parameter, default, field and method of gepa's is either the same here
or has its reason in `benchmarks/gepa_differences.py`. Exits with 1, and names them, where one has none, and
where a reason stands for nothing any more.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.gepa_differences import BEHAVES, DIFFERS, NOT_HERE, OTHER_MODULES, VERSION
from paretune.library.installed import PATHS, names_of, resolve

PAGE = Path(__file__).parents[1] / "docs" / "gepa-api.md"

HEAD = f"""\
# gepa's names, and where they are here

Written by `python -m benchmarks.gepa_api` from gepa {VERSION} as installed; not edited by hand. Each public \
name of gepa's stands below with what it takes. An empty last column: same parameters in the same order, \
same defaults, same fields and methods. Otherwise the column says what differs, and why.

`paretune.library.installed.install_as_gepa()` makes all of these importable under gepa's own paths.
"""


@dataclass
class Row:
    """One of gepa's names."""

    path: str
    shown: str
    here: str = ""
    found: list[str] = field(default_factory=list)
    """Differences as they were seen; each needs a reason."""

    @property
    def reasons(self) -> list[str]:
        given = (NOT_HERE, DIFFERS) if self.found else ()
        texts = [reasons[self.path] for reasons in given if self.path in reasons]
        return texts + ([BEHAVES[self.path]] if self.path in BEHAVES else [])


# -- what there is ------------------------------------------------------------------------------------


def their_modules() -> Iterator[str]:
    """All modules on disk, by name, also those that need something that is not installed."""
    spec = importlib.util.find_spec("gepa")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"gepa is not installed: pip install gepa=={VERSION}")
    root = Path(spec.submodule_search_locations[0])
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        names = parts[:-1] if parts[-1] == "__init__" else parts
        if all(name.isidentifier() and not name.startswith("_") for name in names):
            yield ".".join(("gepa", *names))


def public_names(module: ModuleType) -> list[str]:
    """What is defined here; what is only imported counts in a package that lists it as its own."""
    assigned = set()
    for node in ast.parse(Path(str(module.__file__)).read_text("utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        assigned |= {target.id for target in targets if isinstance(target, ast.Name)}
    package = hasattr(module, "__path__")
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not isinstance(value, ModuleType)
        and name not in ("logger", "annotations", "TYPE_CHECKING")
        and (
            name in assigned
            or getattr(value, "__module__", None) == module.__name__
            or (package and str(getattr(value, "__module__", "")).startswith("gepa"))
        )
    )


# -- how it looks -------------------------------------------------------------------------------------


def parameters(value: Any) -> dict[str, str] | None:
    """Parameter, with its stars -> how its default is written, empty without one. None: nothing to call."""
    if typing.is_typeddict(value):
        return dict.fromkeys(sorted(value.__annotations__), "")
    if inspect.isclass(value) and getattr(value, "_is_protocol", False):
        return None
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return None
    names = list(signature.parameters)
    if inspect.isclass(value) and names == ["args", "kwargs"] and typing.Protocol in value.__mro__:
        return {}  # a protocol's heir without a constructor of its own takes nothing
    stars: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return {
        stars.get(one.kind, "") + name: "" if one.default is one.empty else written(one.default)
        for name, one in signature.parameters.items()
        if name not in ("self", "cls")
    }


def written(default: Any) -> str:
    if isinstance(default, str) and len(default) > 40:
        return "(text)"
    text = repr(default)
    return "..." if " object at " in text or text.startswith("<") else text


def shown(name: str, value: Any) -> str:
    taken = parameters(value)
    if taken is None:
        return name
    return f"{name}({', '.join(f'{k}={v}' if v else k for k, v in taken.items())})"


def members(value: Any) -> dict[str, Any]:
    """Public methods, properties and constants of a class, its fields aside."""
    if not inspect.isclass(value) or typing.is_typeddict(value):
        return {}
    inherited = [base for base in value.__mro__ if base.__module__.split(".")[0] in ("gepa", "paretune")]
    fields = {f.name for f in dataclasses.fields(value)} if dataclasses.is_dataclass(value) else set()
    fields |= set(getattr(value, "_fields", ()))
    return {
        name: inspect.getattr_static(value, name)
        for base in reversed(inherited)
        for name in vars(base)
        if not name.startswith("_") and name not in fields
    }


def function_of(member: Any) -> Any:
    return member.__func__ if isinstance(member, classmethod | staticmethod) else member


# -- side by side -------------------------------------------------------------------------------------


def compared(path: str, theirs: Any, ours: Any) -> list[str]:
    """Differences in words. Constants only have to be there."""
    found = list(of_parameters("", parameters(theirs), parameters(ours)))
    here = members(ours)
    for name, member in members(theirs).items():
        if name not in here and not hasattr(ours, name):
            found.append(f"no `.{name}`")
        elif inspect.isfunction(function_of(member)) and name in here:
            mine = function_of(here[name])
            found += of_parameters(f".{name}", parameters(function_of(member)), parameters(mine))
    if path == "gepa.core.state:GEPAState":
        found += of_instances(theirs, ours)
    return found


def of_parameters(name: str, theirs: dict[str, str] | None, ours: dict[str, str] | None) -> Iterator[str]:
    where = f" of `{name}`" if name else ""
    if theirs is None or ours is None or list(theirs.items()) == list(ours.items()):
        return
    for missing in [one for one in theirs if one not in ours]:
        yield f"no `{missing}`{where}"
    for more in [one for one in ours if one not in theirs]:
        yield f"also `{more}`{where}"
    shared = [one for one in theirs if one in ours]
    if shared != [one for one in ours if one in theirs]:
        yield f"another order{where}"
    for one in shared:
        if theirs[one] != ours[one]:
            yield f"`{one}`{where} is {ours[one] or 'required'}, not {theirs[one] or 'required'}"


def of_instances(theirs: Any, ours: Any) -> Iterator[str]:
    """Attributes that objects have once they are made."""
    made = []
    for cls in (theirs, ours):
        evaluation = sys.modules[cls.__module__].ValsetEvaluation({0: ""}, {0: 0.0})
        made.append({name for name in vars(cls({"a": ""}, evaluation)) if not name.startswith("_")})
    yield from (f"no `.{name}`" for name in sorted(made[0] - made[1]))


def rows_of(module: str) -> list[Row]:
    theirs = importlib.import_module(module)
    here = names_of(module)
    rows = []
    for name in public_names(theirs):
        value, path = getattr(theirs, name), f"{module}:{name}"
        row = Row(path, shown(name, value), here.get(name, ""))
        rows.append(row)
        if not row.here:
            row.found.append("not here")
            continue
        try:
            row.found += compared(path, value, resolve(row.here))
        except (ModuleNotFoundError, AttributeError) as error:
            row.found.append(f"does not resolve: {error}")
    return rows


# -- the page -----------------------------------------------------------------------------------------


def page(modules: dict[str, list[Row]], others: dict[str, str]) -> str:
    parts = [HEAD]
    for module, rows in modules.items():
        if not rows:
            continue
        parts.append(f"## `{module}`\n\n| gepa | here | difference |\n| --- | --- | --- |")
        parts[-1] += "".join(f"\n{line(row)}" for row in rows)
    parts.append(
        "## Modules without a counterpart\n\n| gepa | why |\n| --- | --- |"
        + "".join(f"\n| `{module}` | {why} |" for module, why in others.items())
    )
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def line(row: Row) -> str:
    here = f"`{row.here.partition(':')[0].removeprefix('paretune.')}`" if row.here else ""
    seen = ", ".join(one for one in row.found if one != "not here")
    why = " ".join(filter(None, [f"{seen[0].upper()}{seen[1:]}:" if seen else "", *row.reasons]))
    return f"| `{row.shown}` | {here} | {why} |".replace("| |", "|  |")


def unexplained(modules: dict[str, list[Row]]) -> Iterator[str]:
    rows = {row.path: row for found in modules.values() for row in found}
    for row in rows.values():
        if row.found and not any(row.path in reasons for reasons in (NOT_HERE, DIFFERS)):
            yield f"{row.path}: {'; '.join(row.found)}"
    for reasons in (NOT_HERE, DIFFERS):
        yield from (
            f"{path}: a reason for nothing" for path in reasons if not getattr(rows.get(path), "found", 0)
        )
    yield from (f"{path}: a reason for nothing" for path in BEHAVES if path not in rows)
    theirs = {path.partition(":")[0] for path in rows}
    yield from (
        f"{module}: not a module of gepa's" for module in PATHS if PATHS[module] and module not in theirs
    )


def main() -> int:
    if importlib.metadata.version("gepa") != VERSION:
        raise SystemExit(f"the differences are written for gepa {VERSION}")
    modules: dict[str, list[Row]] = {}
    others: dict[str, str] = {}
    for module in their_modules():
        prefix = next((one for one in OTHER_MODULES if f"{module}.".startswith(f"{one}.")), None)
        if prefix is None:
            modules[module] = rows_of(module)
        else:
            others[prefix] = OTHER_MODULES[prefix]
    wrong = list(unexplained(modules))
    PAGE.write_text(page(modules, others), "utf-8")
    rows = [row for found in modules.values() for row in found]
    same = sum(not row.found for row in rows)
    print(f"{len(rows)} names, {same} the same, {len(rows) - same} with a reason; {PAGE}")
    print("".join(f"{one}\n" for one in wrong), end="", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
