"""Two runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paretune.console.changes import changes
from paretune.console.runs import Line, RunLines
from paretune.core.statistics import Comparison
from paretune.views.intervals import compared
from paretune.views.run_view import RunView

SPLITS = ("test", "select", "pareto")


def two(lines: RunLines, a: str, b: str, ticked: Sequence[str] = ()) -> Mapping[str, Any]:
    """Runs `a` and `b`; one that is not named leaves its side empty, or to one that was `ticked` in the list,
    where the older stands below. Raises UnknownRun."""
    older = list(reversed(ticked))[:2]
    return _compared(lines, [a or (older.pop(0) if older else ""), b or (older.pop(0) if older else "")])


def _compared(lines: RunLines, ids: Sequence[str]) -> Mapping[str, Any]:
    views = [lines.source.view(run_id) if run_id else None for run_id in ids]
    sides = [lines.line(view.run.id) if view else None for view in views]
    a, b = views
    paired = _paired(a, b) if a and b else None
    best = [view.best.components if view and view.best else {} for view in views]
    return {
        "sides": sides,
        "views": views,
        "others": _others(lines, sides),
        "paired": paired,
        "differs": _differs(a, b) if a and b else [],
        "texts": changes(*best) or {name: (text, text, ()) for name, text in best[0].items()},
    }


def _others(lines: RunLines, sides: list[Line | None]) -> list[Line]:
    """What the sides can be chosen from: the newest runs, and those that are chosen already."""
    known = lines.lines()[:200]
    ids = {line.run.id for line in known}
    return [*known, *(side for side in sides if side and side.run.id not in ids)]


def _paired(a: RunView, b: RunView) -> tuple[str, Comparison] | None:
    """The best of both on the first split of which both were scored on the same examples, paired."""
    if a.best is None or b.best is None or a.run.job["identity"]["task"] != b.run.job["identity"]["task"]:
        return None
    for split in SPLITS:
        before, after = a.rewards(a.best.id, split), b.rewards(b.best.id, split)
        if before.keys() & after.keys():
            return split, compared(before, after, a, b)
    return None


def _differs(a: RunView, b: RunView) -> list[tuple[str, Any, Any]]:
    """Settings, limits and identities that are not the same in both, by their dotted names."""
    one, other = (_flat(view.run.job) for view in (a, b))
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    return [(name, one.get(name), other.get(name)) for name in names]


def _flat(job: Mapping[str, Any]) -> dict[str, Any]:
    """`name.of.setting` -> value, of what decides how a run goes."""
    flat: dict[str, Any] = {"proposer": job.get("proposer")}
    for part in ("identity", "limits", "settings"):
        todo = [(part, job.get(part))]
        while todo:
            name, value = todo.pop()
            if isinstance(value, Mapping):
                todo += [(f"{name}.{key}", inner) for key, inner in value.items()]
            else:
                flat[name] = value
    for split, examples in job["splits"].items():
        flat[f"examples.{split}"] = len(examples)
    return flat
