"""Texts of two candidates, and what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from paretune.propose.diff import Piece, pieces

DIFFED = 20_000
"""Characters of two texts together up to which their difference is told by words."""
Change = tuple[str, str, Sequence[Piece]]


def changes(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, Change]:
    """Component -> both texts and their difference by words (empty if they are too long for that), of those
    that differ."""
    names = dict.fromkeys([*one, *other])
    texts = {name: (one.get(name, ""), other.get(name, "")) for name in names}
    return {name: (*both, _difference(*both)) for name, both in texts.items() if both[0] != both[1]}


@lru_cache(maxsize=64)
def _difference(before: str, after: str) -> Sequence[Piece]:
    return tuple(pieces(before, after)) if len(before) + len(after) <= DIFFED else ()
