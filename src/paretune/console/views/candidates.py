"""All candidates, admitted or turned down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paretune.console.view import Asked, View


def show(asked: Asked) -> Mapping[str, Any]:
    rows = list(asked.run.rows.values())
    return {"rows": rows, "index": {row.id: row.index for row in rows}}


VIEW = View("candidates", "Candidates", "candidates", show, key="c")
