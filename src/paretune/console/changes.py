"""Texts of two candidates, and what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from paretune.views.worddiff import Run, word_diff

Change = tuple[str, str, Sequence[Run]]


def changes(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, Change]:
    """Component -> both texts and their difference by words, of those that differ."""
    names = dict.fromkeys([*one, *other])
    texts = {name: (one.get(name, ""), other.get(name, "")) for name in names}
    return {name: (*both, _difference(*both)) for name, both in texts.items() if both[0] != both[1]}


@lru_cache(maxsize=64)
def _difference(before: str, after: str) -> Sequence[Run]:
    return tuple(word_diff(before, after))
