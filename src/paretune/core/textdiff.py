"""What an edit did to a text: its lines put in, taken out, changed and moved. For `core.textmerge`."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from typing import NamedTuple

ALIKE = 0.5
"""Two lines that share at least this part of their words (0 to 1) are one line that was changed."""

MOST_PAIRS = 10_000
"""A rewritten block of more pairs of old and new lines is one change; its lines are not compared."""

WORD = re.compile(r"[\u3040-\u9fff]|[^\W\u3040-\u9fff]+")
"""A word; a sign of a script without spaces is one, too."""

Pairs = list[tuple[int, int]]
"""Places in one sequence and in another, in order."""


class Hunk(NamedTuple):
    """Items of the base, `first` to before `last`, became these. `kin`: one line that was changed."""

    first: int
    last: int
    items: tuple[str, ...]
    kin: bool = False

    def within(self, first: int, last: int) -> bool:
        """True if it concerns one of these items; of a gap, if it was put in there."""
        return self[:2] == (first, last) or (self.first < last and self.last > first)


@dataclass(frozen=True, slots=True)
class Change:
    """The hunks of an edit, by gap (gap i is before line i) and by line.

    `moved` are the spans of gaps over which lines changed their place.
    """

    base: Sequence[str]
    hunks: frozenset[Hunk]
    inserted: Mapping[int, Hunk]
    over: Mapping[int, Hunk]
    moved: frozenset[tuple[int, int]]

    def there(self, first: int, last: int) -> str:
        """What stands now in place of these lines; in a gap, what was put in."""
        lines: list[str] = []
        for hunk in sorted(hunk for hunk in self.hunks if hunk.within(first, last)):
            lines += [*self.base[first : hunk.first], *hunk.items]
            first = hunk.last
        return "\n".join([*lines, *self.base[first:last]])


def change_of(base: list[str], late: list[str]) -> Change:
    """What was done to the lines `base` to get `late`."""
    same = matches(base, late)
    kin = [
        (i + a + 1, j + b + 1)
        for (i, j), (k, m) in pairwise([(-1, -1), *same, (len(base), len(late))])
        for a, b in _kin(base[i + 1 : k], late[j + 1 : m])
    ]
    found = hunks(base, late, sorted(same + kin))
    inserted = {hunk.first: hunk for hunk in found if hunk.first == hunk.last}
    over = {place: hunk for hunk in found for place in range(hunk.first, hunk.last)}
    moved = set()
    for line in {base[place] for place in over} & {line for hunk in found for line in hunk.items}:
        edges = [e for h in found if line in (*base[h.first : h.last], *h.items) for e in h[:2]]
        if not is_blank(line):
            moved.add((min(edges), max(edges)))
    return Change(base, frozenset(found), inserted, over, frozenset(moved))


def hunks(base: Sequence[str], late: Sequence[str], pairs: Pairs) -> list[Hunk]:
    """What is between the pairs, and the pairs of lines that differ."""
    found, i, j = [], 0, 0
    for k, m in [*pairs, (len(base), len(late))]:
        if i < k or j < m:
            found.append(Hunk(i, k, tuple(late[j:m])))
        if k < len(base) and base[k] != late[m]:
            found.append(Hunk(k, k + 1, (late[m],), kin=True))
        i, j = k + 1, m + 1
    return found


def matches(base: Sequence[str], late: Sequence[str]) -> Pairs:
    """Equal items. Of several readings of an addition or deletion, the one furthest down."""
    matcher = SequenceMatcher(None, _keys(base), _keys(late), autojunk=False)
    found = [(i + k, j + k) for i, j, size in matcher.get_matching_blocks() for k in range(size)]
    if len(found) < min(len(base), len(late)):  # perhaps an addition or a deletion all the same
        found = embedded(base, late) or [(i, j) for j, i in embedded(late, base) or ()] or found
    pairs, i, j = [], 0, 0
    for k, m in found:
        if base[i] == late[j]:
            k, m = (k, j) if k == i else (i, m) if m == j else (k, m)
        pairs.append((k, m))
        i, j = k + 1, m + 1
    return pairs


def embedded(items: Sequence[str], longer: Sequence[str]) -> Pairs | None:
    """Where each item stands in `longer`, if all do, in order."""
    pairs, rest = [], iter(enumerate(longer))
    for i, item in enumerate(items):
        place = next((j for j, other in rest if other == item), None)
        if place is None:
            return None
        pairs.append((i, place))
    return pairs


def is_blank(text: str) -> bool:
    """True if there is nothing, or nothing but spaces."""
    return not text or text.isspace()


def _keys(items: Sequence[str]) -> list[tuple[str, int, str]]:
    """What to match items by: a blank one belongs to what is written before it."""
    keys, written, since = [], "", 0
    for item in items:
        written, since = (written, since + 1) if is_blank(item) else (item, 0)
        keys.append((written, since, item))
    return keys


def _kin(old: list[str], new: list[str]) -> Pairs:
    """Lines that are alike; the likest first."""
    if len(old) * len(new) > MOST_PAIRS:
        return []
    before, after = (
        [(line.strip(), set(WORD.findall(line.casefold()))) for line in side] for side in (old, new)
    )
    likeness = {
        (i, j): _likeness(*one, *other) for i, one in enumerate(before) for j, other in enumerate(after)
    }
    kept = [(-1, -1), (len(old), len(new))]
    for pair in sorted((p for p in likeness if likeness[p] >= ALIKE), key=lambda p: (-likeness[p], p)):
        at = bisect(kept, pair)
        if kept[at - 1][0] < pair[0] < kept[at][0] and kept[at - 1][1] < pair[1] < kept[at][1]:
            kept.insert(at, pair)
    return kept[1:-1]


def _likeness(one: str, words: set[str], other: str, others: set[str]) -> float:
    if one == other:
        return 1.0 if one else ALIKE
    return 2 * len(words & others) / (len(words) + len(others) or 1)
