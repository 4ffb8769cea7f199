"""The difference of two texts by words, for people: quick for any two texts, whatever they share."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

Kind = Literal["same", "removed", "added"]

TOKEN = re.compile(r"\n|[^\S\n]+|[\u3040-\u9fff]|[^\W\u3040-\u9fff]+[^\S\n]*|[^\w\s][^\S\n]*")
"""A word or sign with the blanks behind it; a line's end, or a sign of a script without spaces, by itself."""

SHINGLES = (1, 2, 4)
"""Texts are pinned together where words stand once in both; else where so many in a row do."""

MOST_PAIRS = 20_000
"""A stretch with nothing to pin it by, of more pairs of old and new tokens, is one change."""


class Run(NamedTuple):
    """A stretch of text that stayed, went or came."""

    kind: Kind
    text: str


def word_diff(before: str, after: str) -> list[Run]:
    """`same` and `removed` together are `before`, `same` and `added` are `after`; no run is empty, and none
    follows one of its kind."""
    old, new = TOKEN.findall(before), TOKEN.findall(after)
    kept = _readable(list(_matches(old, new, 0, 0)), old, new)
    runs: list[Run] = []
    i = j = 0
    for a, b, size in [*kept, (len(old), len(new), 0)]:
        _add(runs, "removed", old[i:a])
        _add(runs, "added", new[j:b])
        _add(runs, "same", old[a : a + size])
        i, j = a + size, b + size
    return runs


Match = tuple[int, int, int]
"""So many tokens from here in the old text are those from there in the new one."""


def _matches(old: Sequence[str], new: Sequence[str], at: int, to: int) -> Iterator[Match]:
    """In order. `at` and `to` are where these tokens begin in the whole texts."""
    head = _alike(old, new)
    tail = _alike(old[: head - 1 if head else None : -1], new[: head - 1 if head else None : -1])
    if head:
        yield at, to, head
    yield from _inner(old[head : len(old) - tail], new[head : len(new) - tail], at + head, to + head)
    if tail:
        yield at + len(old) - tail, to + len(new) - tail, tail


def _inner(old: Sequence[str], new: Sequence[str], at: int, to: int) -> Iterator[Match]:
    if not old or not new:
        return
    if len(old) * len(new) <= MOST_PAIRS:
        for i, j, size in SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks():
            if size:
                yield at + i, to + j, size
        return
    pins = next((found for size in SHINGLES if (found := _pins(old, new, size))), [])
    i = j = 0
    for a, b in pins:
        yield from _matches(old[i:a], new[j:b], at + i, to + j)
        yield at + a, to + b, 1
        i, j = a + 1, b + 1
    if pins:
        yield from _matches(old[i:], new[j:], at + i, to + j)


def _pins(old: Sequence[str], new: Sequence[str], size: int) -> list[tuple[int, int]]:
    """Places of what stands once in both, the longest sequence of them in order (patience)."""
    one, other = (_once(tokens, size) for tokens in (old, new))
    pairs = [(place, other[words]) for words, place in one.items() if words in other]
    lasts: list[int] = []
    chains: list[tuple[int, int]] = []  # the pair that ends a chain of each length, as its number
    before: list[int] = []
    for number, (_, b) in enumerate(pairs):
        length = bisect_left(lasts, b)
        before.append(chains[length - 1][1] if length else -1)
        lasts[length : length + 1] = [b]
        chains[length : length + 1] = [(b, number)]
    found, number = [], chains[-1][1] if chains else -1
    while number >= 0:
        found.append(pairs[number])
        number = before[number]
    return found[::-1]


def _once(tokens: Sequence[str], size: int) -> dict[tuple[str, ...], int]:
    """What stands once, with a word in it, and where, in order."""
    rows = list(zip(*(tokens[i:] for i in range(size)), strict=False))
    counts = Counter(rows)
    return {
        row: place
        for place, row in enumerate(rows)
        if counts[row] == 1 and any(token[0].isalnum() for token in row)
    }


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """How many tokens at the start are the same."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _readable(matches: list[Match], old: Sequence[str], new: Sequence[str]) -> list[Match]:
    """Joined where they touch, and without a lone blank, sign or short word amid what was rewritten."""
    kept: list[Match] = []
    for a, b, size in matches:
        if kept and kept[-1][0] + kept[-1][2] == a and kept[-1][1] + kept[-1][2] == b:
            a, b, size = kept[-1][0], kept[-1][1], kept[-1][2] + size
            kept.pop()
        kept.append((a, b, size))
    found: list[Match] = []
    end = (0, 0)
    for place, (a, b, size) in enumerate(kept):
        behind = kept[place + 1] if place + 1 < len(kept) else (len(old), len(new), 0)
        rewritten = min(max(a - end[0], b - end[1]), max(behind[0] - a - size, behind[1] - b - size))
        if len("".join(old[a : a + size]).strip()) > 3 or size > rewritten or "\n" in old[a : a + size]:
            found.append((a, b, size))
            end = (a + size, b + size)
    return found


def _add(runs: list[Run], kind: Kind, tokens: Sequence[str]) -> None:
    if not tokens:
        return
    if runs and runs[-1].kind == kind:
        runs[-1] = Run(kind, runs[-1].text + "".join(tokens))
    else:
        runs.append(Run(kind, "".join(tokens)))
