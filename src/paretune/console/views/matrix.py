"""Candidates against examples: who solves what, and where they disagree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paretune.console.view import Asked, Links, NoSuchView, View
from paretune.views.grid import FAILED, KINDS, NOT_RUN, Grid, grid

SPLITS = ("pareto", "reflect", "select", "test")


def show(asked: Asked) -> Mapping[str, Any]:
    run = asked.run
    asked_on = {example for _, example, _ in run.rollouts} | {f.example for f in run.failures}
    splits = [name for name in SPLITS if not asked_on.isdisjoint(run.splits[name])]
    if set(run.splits["reflect"]) == set(run.splits["pareto"]) and "reflect" in splits:
        splits.remove("reflect")
    split = asked.query.get("split", "pareto")
    if split not in SPLITS:
        raise NoSuchView(f"there is no split {split[:40]!r}; there are {', '.join(SPLITS)}")
    found = grid(run, split)
    notes = [row.state if row.mean is None else f"{row.mean:.3f}" for row in found.rows]
    return {
        "splits": splits or ["pareto"],
        "split": split,
        "candidates": len(found.rows),
        "examples": len(found.examples),
        "matrix": packed(found, asked.to, notes),
    }


def packed(found: Grid, to: Links, notes: list[str], *, kinds: bool = False) -> Mapping[str, Any]:
    """What matrix.js reads. `notes` stand behind the candidates; `kinds`: cells are squares of coverage."""
    return {
        "rows": [
            {"id": row.id, "index": row.index, "note": note, "full": row.mean is not None}
            for row, note in zip(found.rows, notes, strict=True)
        ],
        "examples": list(found.examples),
        "values": list(found.values),
        "kinds": list(KINDS) if kinds else None,
        "exact": found.exact,
        "failed": FAILED,
        "none": NOT_RUN,
        "order": list(found.order),
        "cells": found.packed,
        "rollout": to("rollout", candidate="CANDIDATE", example="EXAMPLE", replicate=0),
    }


VIEW = View("matrix", "Matrix", "matrix", show, key="m")
