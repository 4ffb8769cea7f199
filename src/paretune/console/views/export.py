"""The best texts, or any candidate's, in the forms that other programs take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paretune.console.paging import candidate_of, pickable
from paretune.console.view import Asked, NoSuchView, View
from paretune.views.exports import Export, exports
from paretune.views.run_view import Row


def show(asked: Asked) -> Mapping[str, Any]:
    row = _row(asked)
    return {"row": row, "exports": exports(asked.run, row), "options": pickable(asked.run, row)}


def exported(asked: Asked, name: str) -> Export:
    """The form of this name, of the candidate that is asked for. Raises NoSuchView."""
    found = next((export for export in exports(asked.run, _row(asked)) if export.name == name), None)
    if found is None:
        raise NoSuchView(f"there is no export {name[:60]!r}")
    return found


def _row(asked: Asked) -> Row:
    """The one that is named; else the best, or the seed where there is none yet."""
    named = asked.query.get("candidate")
    return candidate_of(asked.run, named) if named else asked.run.best or asked.run.seed


VIEW = View("export", "Export", "export", show, key="d")
