"""Long tables in pages, and what was asked for behind the `?`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from paretune.console.view import NoSuchView
from paretune.views.run_view import Row, RunView

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of `total` items: those from `first` (counted from 1) on."""

    items: Sequence[T]
    number: int
    pages: int
    first: int
    total: int


def page_of(items: Sequence[T], query: Mapping[str, str], size: int = 100) -> Page[T]:
    """The page that was asked for; the last one where there are not so many."""
    pages = max(1, -(-len(items) // size))
    number = min(max(1, whole(query.get("page", ""), 1)), pages)
    start = (number - 1) * size
    return Page(items[start : start + size], number, pages, start + 1, len(items))


def whole(text: str, otherwise: int) -> int:
    """The number that was written, if it is one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else otherwise


def candidate_of(run: RunView, text: str) -> Row:
    """The candidate of this index, with or without `#`, or of this id. Raises NoSuchView."""
    index = text.removeprefix("#")
    found = run.rows.get(text) or next((row for row in run.rows.values() if str(row.index) == index), None)
    if found is None:
        raise NoSuchView(f"{run.run.id} has no candidate {text[:60]!r}")
    return found


def pickable(run: RunView, *chosen: Row) -> list[Row]:
    """To choose from: the newest 300 that were fully evaluated, seed and best, and `chosen`."""
    admitted = [row for row in run.rows.values() if row.mean is not None]
    listed = {row.id for row in [*admitted[-300:], *chosen, run.seed, *([run.best] if run.best else [])]}
    return [row for row in run.rows.values() if row.id in listed]
