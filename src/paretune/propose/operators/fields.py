"""Which of several look-alikes is meant: words that stand beside the right one, and beside the others."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from paretune.propose.base import Evidence
from paretune.propose.operators.shapes import Shape

NEAR = 3
MOST = 4
LEAST = 2

_WORD = re.compile(r"[^\W\d_]{2,}")


def telling_words(evidence: Iterable[Evidence], shape: Shape) -> tuple[list[str], list[str]]:
    """Words near right answers, and words near other spans of the same shape, most telling first.

    Each stands on its side in at least two examples and at least three times as often as on the other.
    """
    right: Counter[str] = Counter()
    other: Counter[str] = Counter()
    if shape.find is None:
        return [], []
    for one in evidence:
        for match in shape.find.finditer(one.input):
            side = right if match[0].replace(",", "") == one.expected.replace(",", "") else other
            side.update(_neighbours(one.input, match.start(), match.end()))
    return _leaning(right, other), _leaning(other, right)


def _neighbours(text: str, start: int, end: int) -> set[str]:
    before = [w.casefold() for w in _WORD.findall(text[:start])[-NEAR:]]
    after = [w.casefold() for w in _WORD.findall(text[end:])[:NEAR]]
    return {*before, *after}


def _leaning(side: Counter[str], other: Counter[str]) -> list[str]:
    telling = [word for word, count in side.items() if count >= LEAST and count >= 3 * other[word]]
    return sorted(telling, key=lambda word: (-side[word], word))[:MOST]
