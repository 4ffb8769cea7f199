"""Three-way merge of texts: an edit, made on one text, applied to a later text of the same line.

Line by line, then word by word inside a line that both sides changed. Unlike diff3, two independent additions
at one place are both kept; like it, nothing is guessed: what both changed differently is a clash.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from paretune.core.jsonmerge import JsonClash, merge_json, same_json
from paretune.core.textdiff import WORD, Change, Hunk, change_of, embedded, hunks, is_blank, matches


@dataclass(frozen=True, slots=True)
class Clash:
    """A place that both sides changed differently; each text is what stands there, empty if it is gone."""

    component: str
    base: str
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class Merge:
    """The merged texts, or None and the clashes."""

    components: Mapping[str, str] | None
    clashes: tuple[Clash, ...] = ()


Sides = tuple[str, str, str]
"""(base, ours, theirs) at one place."""


def merge_components(base: Mapping[str, str], ours: Mapping[str, str], theirs: Mapping[str, str]) -> Merge:
    """`theirs`, a change of `base`, applied to `ours`, a later text of the same line.

    All or nothing: one clash in one component and there is no merge. Raises ValueError if the three do not
    have the same components.
    """
    for side in (ours, theirs):
        strangers = sorted(set(base) ^ set(side))
        if strangers:
            raise ValueError(f"component {strangers[0]!r} is not in all three texts")
    merged: dict[str, str] = {}
    clashes: list[Clash] = []
    for name, text in base.items():
        result = merge_text(text, ours[name], theirs[name])
        if isinstance(result, str):
            merged[name] = result
        else:
            clashes.extend(Clash(name, *sides) for sides in result)
    return Merge(None, tuple(clashes)) if clashes else Merge(merged)


def merge_text(base: str, ours: str, theirs: str) -> str | list[Sides]:
    """The merged text, or the places that clash."""
    if ours == theirs or theirs == base:
        return ours
    if ours == base:
        return theirs
    try:
        as_json = merge_json(base, ours, theirs)
    except JsonClash:
        return [(base, ours, theirs)]
    merged = _merge_lines(base, ours, theirs)
    if as_json is not None and not (isinstance(merged, str) and same_json(merged, as_json, ours, theirs)):
        merged = as_json
    if isinstance(merged, str) and not _holes_kept(merged, base, ours, theirs):
        return [(base, ours, theirs)]
    return merged


# -- the whole text -------------------------------------------------------------------------------


def _merge_lines(base: str, ours: str, theirs: str) -> str | list[Sides]:
    frames = [_framed(text) for text in (base, ours, theirs)]
    numbers = _Numbers.of([lines for _, lines, _ in frames])
    old, mine, late = (numbers.masked(lines) for _, lines, _ in frames)
    work = _LineMerge(old, change_of(old, mine), change_of(old, late), numbers.breaks)
    lines = work.merged()
    if work.clashes:
        bare = [[text.replace(numbers.mark, "#") for text in sides] for sides in work.clashes]
        return [(old, mine, late) for old, mine, late in bare]
    left_open = _blocks(lines) is None and _blocks(mine) is not None and _blocks(late) is not None
    if left_open or not _all_kept(lines, old, mine, late):
        return [(base, ours, theirs)]
    lines = _settled(lines, max(_blank_run(mine), _blank_run(late)))
    return frames[1][0] + "\n".join(numbers.counted(lines)) + frames[1][2]


def _framed(text: str) -> tuple[str, list[str], str]:
    """The blank lines before, the lines, the blank lines behind."""
    end = len(text.rstrip())
    if not end:
        return "", [], text
    start = text.rfind("\n", 0, len(text) - len(text.lstrip())) + 1
    end = text.find("\n", end) if "\n" in text[end:] else len(text)
    return text[:start], text[start:end].split("\n"), text[end:]


def _blank_run(lines: list[str]) -> int:
    return max((len(list(run)) for blank, run in groupby(lines, is_blank) if blank), default=0)


def _settled(lines: list[str], longest: int) -> list[str]:
    """No blank lines around, and no more than so many together."""
    runs = [(blank, list(run)) for blank, run in groupby(_framed("\n".join(lines))[1], is_blank)]
    return [line for blank, run in runs for line in (run[:longest] if blank else run)]


_HOLE = re.compile(r"(?<!\{)\{+[A-Za-z_]\w*\}")


def _holes_kept(merged: str, base: str, ours: str, theirs: str) -> bool:
    """True if placeholders that all three have are there, and none that neither side has."""
    inside, old, mine, late = (set(_HOLE.findall(text)) for text in (merged, base, ours, theirs))
    return old & mine & late <= inside <= mine | late


def _all_kept(merged: Sequence[str], base: Sequence[str], ours: Sequence[str], theirs: Sequence[str]) -> bool:
    """True if nothing that all three have is lost and nothing came twice, as when both moved it."""
    count, old, mine, late = (Counter(map(str.strip, items)) for items in (merged, base, ours, theirs))
    for item in {*old, *mine, *late} - {""}:
        least, most = min(old[item], mine[item], late[item]), max(mine[item], late[item])
        if not min(1, least) <= count[item] <= max(most, mine[item] + late[item] - old[item]):
            return False
    return True


# -- both sides -----------------------------------------------------------------------------------


@dataclass(slots=True)
class _LineMerge:
    """The merge of two changes of the same lines. `breaks` gains what its lines are merged to."""

    base: list[str]
    ours: Change
    theirs: Change
    breaks: set[str]
    clashes: list[Sides] = field(default_factory=list)

    def merged(self) -> list[str]:
        """The lines; of no use if there are clashes."""
        self._refuse_changes_inside_moves()
        lines, fence = list(self._gap(0, fenced=False)), ""
        for place, line in enumerate(self.base):
            fence = _fence_after(fence, line)
            lines += [*self._line(place), *self._gap(place + 1, fenced=bool(fence))]
        return lines

    def _clash(self, first: int, last: int) -> None:
        clash = "\n".join(self.base[first:last]), self.ours.there(first, last), self.theirs.there(first, last)
        if clash not in self.clashes:
            self.clashes.append(clash)

    def _gap(self, gap: int, *, fenced: bool) -> Sequence[str]:
        """Both additions."""
        ours = self._added(gap, self.ours, self.theirs)
        theirs = self._added(gap, self.theirs, self.ours)
        if not ours or not theirs or ours == theirs:
            return ours or theirs
        united = None if fenced else _united_lines(ours, theirs, self.base)
        if united is None:
            self._clash(gap, gap)
        return united or ()

    def _added(self, gap: int, mine: Change, other: Change) -> Sequence[str]:
        """What `mine` put into this gap, unless `other` wrote the same in place of a line beside it.

        It has lost its place among lines of which the other left none.
        """
        hunk = mine.inserted.get(gap)
        if not hunk:
            return ()
        written = [line for line in hunk.items if not is_blank(line)]
        for run in (other.over.get(gap - 1), other.over.get(gap)):
            if run and run.first < gap < run.last:
                self._clash(run.first, run.last)
            elif run and written and embedded(written, run.items) is not None:
                return ()
        return hunk.items

    def _line(self, place: int) -> Sequence[str]:
        line, ours, theirs = self.base[place], self.ours.over.get(place), self.theirs.over.get(place)
        if not ours or not theirs or ours == theirs:
            hunk = ours or theirs or Hunk(place, place + 1, (line,))
            return hunk.items if hunk.first == place else ()
        words = _merge_words(line, ours.items[0], theirs.items[0]) if ours.kin and theirs.kin else None
        if words is not None:
            if line in self.breaks:
                self.breaks.add(words)
            return (words,)
        if ours.items or theirs.items:
            self._clash(min(ours.first, theirs.first), max(ours.last, theirs.last))
        return ()

    def _refuse_changes_inside_moves(self) -> None:
        """Lines that one side put into another order and the other changed have no place of their own."""
        for mover, other in ((self.ours, self.theirs), (self.theirs, self.ours)):
            for first, last in mover.moved - other.moved:
                if any(hunk.within(first, last) for hunk in other.hunks - mover.hunks):
                    self._clash(first, last)


def _united_lines(ours: Sequence[str], theirs: Sequence[str], base: list[str]) -> list[str] | None:
    """Two additions at one place, blocks of code whole; None if they cannot both stand there.

    A line that the base has already (`---`, `Example:`) is no news but structure: both keep theirs.
    """
    mine, late = _blocks(ours), _blocks(theirs)
    if mine is None or late is None or all(any(map(_NUMBERED.match, side)) for side in (mine, late)):
        return None
    return "\n".join(_united(mine, late, {line.strip() for line in base})).split("\n")


def _united(ours: Sequence[str], theirs: Sequence[str], old: Collection[str] = ()) -> list[str]:
    """Ours, then theirs, between what both have; that is there once, where some of it is not old."""
    mine, late = ([item.strip() for item in side] for side in (ours, theirs))
    runs = groupby(enumerate(matches(mine, late)), lambda pair: (pair[1][0] - pair[0], pair[1][1] - pair[0]))
    common = [[pair for _, pair in run] for _, run in runs]
    both = [pair for run in common if any(mine[k] and mine[k] not in old for k, _ in run) for pair in run]
    fresh = (item for item in mine if item and item not in old)
    crossed = Counter(fresh) - Counter(mine[k] for k, _ in both)
    united: list[str] = []
    i = j = 0
    for k, m in [*both, (len(ours), len(theirs))]:
        united += ours[i:k]
        for item, key in zip(theirs[j:m], late[j:m], strict=True):
            if crossed[key]:
                crossed[key] -= 1
            elif not (is_blank(item) and united and is_blank(united[-1])):
                united.append(item)
        united += ours[k : k + 1]
        i, j = k + 1, m + 1
    return united


# -- blocks of code -------------------------------------------------------------------------------

_FENCE = re.compile(r"\s*(`{3,}|~{3,})(.*)")


def _fence_after(fence: str, line: str) -> str:
    """What a block of code was opened with that is still open after this line; empty if there is none."""
    run = _FENCE.match(line)
    if fence:
        return "" if run and run[1].startswith(fence) and not run[2].strip() else fence
    return run[1] if run and "`" not in run[2] else ""


def _blocks(lines: Sequence[str]) -> list[str] | None:
    """The lines, those of a block of code as one; None if one is left open."""
    blocks: list[str] = []
    fence = ""
    for line in lines:
        if fence:
            blocks[-1] += "\n" + line
        else:
            blocks.append(line)
        fence = _fence_after(fence, line)
    return None if fence else blocks


# -- words ----------------------------------------------------------------------------------------

_TOKEN = re.compile(rf"\s+|{_HOLE.pattern}|{WORD.pattern}|.")
_WHOLE = re.compile(r"[.!?][\"')\]*_`]*$")
_NEXT = re.compile(r"(?<=[.!?])(?=\s+[^\sa-z])")


def _merge_words(base: str, ours: str, theirs: str) -> str | None:
    """One line that both changed; None if their changes touch, and are not sentences put at its end."""
    tokens, *others = (_TOKEN.findall(line) for line in (base, ours, theirs))
    mine, late = (hunks(tokens, other, matches(tokens, other)) for other in others)
    end = ""
    if mine and late and mine[-1][:2] == late[-1][:2] == (len(tokens), len(tokens)) and mine[-1] != late[-1]:
        added = ["".join(side.pop().items) for side in (mine, late)]
        if not all(map(_WHOLE.search, (base, *added))) or not all(text[0].isspace() for text in added):
            return None
        end = "".join(_united(*map(_NEXT.split, added)))
    for hunk in set(mine) - set(late):
        for rival in set(late) - set(mine):
            if all(map(is_blank, tokens[min(hunk.last, rival.last) : max(hunk.first, rival.first)])):
                return None
    merged, place = "", 0
    for hunk in sorted({*mine, *late}):
        merged += "".join([*tokens[place : hunk.first], *hunk.items])
        place = hunk.last
    merged += "".join(tokens[place:]) + end
    return merged if _all_kept(_TOKEN.findall(merged), tokens, *others) else None


# -- numbered lists -------------------------------------------------------------------------------

_NUMBERED = re.compile(r"^([\s>#*-]*)([1-9][0-9]{0,2})([.)])(?=[\s*]|$)")


@dataclass(frozen=True, slots=True)
class _Numbers:
    """The numbers of lists taken out of lines, and put back: `mark` stands for one that counts.

    `breaks` are the lines after which counting begins anew. Unless it `counts`, lines stay as they are.
    """

    mark: str
    breaks: set[str]
    counts: bool = True

    @classmethod
    def of(cls, texts: Sequence[list[str]]) -> _Numbers:
        """The numbers of all these texts; they stay as they are if those of one do not count."""
        used = {character for lines in texts for line in lines for character in line}
        mark = next(c for c in map(chr, range(0xE000, 0x110000)) if c not in used)
        numbers = cls(mark, set())
        masked = [numbers.masked(lines) for lines in texts]
        for lines, marked in zip(texts, masked, strict=True):
            before = None
            for line, bare in zip(lines, marked, strict=True):
                match = _NUMBERED.match(line) if line != bare else None
                if match and match[2] == "1" and before is not None:
                    numbers.breaks.add(before)
                before = before if is_blank(line) else bare
        if all(numbers.counted(marked) == lines for lines, marked in zip(texts, masked, strict=True)):
            return numbers
        return cls(mark, set(), counts=False)

    def masked(self, lines: list[str]) -> list[str]:
        """The lines with a mark for each number."""
        masked, fence = [], ""
        for line in lines:
            as_is = fence or not self.counts
            masked.append(line if as_is else _NUMBERED.sub(rf"\g<1>{self.mark}\g<3>", line))
            fence = _fence_after(fence, line)
        return masked

    def counted(self, masked: list[str]) -> list[str]:
        """The lines with numbers: each level of indentation counts from one, those below it anew."""
        levels: dict[tuple[str, str], int] = {}
        lines = []
        for line in masked:
            match = re.match(rf"([\s>#*-]*){self.mark}([.)])", line)
            level = (match[1], match[2]) if match else None
            if line in self.breaks:
                levels = {key: n for key, n in levels.items() if key == level}
            if level:
                levels = {key: n for key, n in levels.items() if not _below(key[0], level[0])}
                levels[level] = levels.get(level, 0) + 1
                line = line.replace(self.mark, str(levels[level]), 1)
            lines.append(line)
        return lines


def _below(indent: str, other: str) -> bool:
    return indent.startswith(other) and indent[len(other) :].isspace()
