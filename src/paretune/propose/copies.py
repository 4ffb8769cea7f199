"""Copies: what a new text says word for word as a training example does, case and spaces aside."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from paretune.propose.base import Evidence

COPIED_WORDS = 8
COPIED_CHARACTERS = 50
"""A run of so many words, or so many characters, is a copy and no coincidence."""

FRAME_AT_LEAST = 4
"""What more than half of so many examples have in common is the task's frame, which is nobody's answer."""

LOOSE = 4096
"""So many anchors wait to be sorted."""

_Run = tuple[str, ...] | str


@dataclass(frozen=True, slots=True)
class _View:
    """A text as words or as characters. Runs of `length` of them are compared.

    An anchor is shorter: each run holds one that starts at a multiple of `stride`. So only these of a
    training text are looked up, and whole runs only around those that a new text has too.
    """

    read: Callable[[str], _Run]
    length: int
    anchor: int
    between: str

    @property
    def stride(self) -> int:
        return self.length - self.anchor + 1

    def runs(self, texts: Iterable[_Run]) -> set[_Run]:
        length = self.length
        return {text[i : i + length] for text in texts for i in range(len(text) - length + 1)}

    def anchors_in(self, fresh: set[_Run], texts: Iterable[_Run]) -> set[_Run]:
        """All pieces of an anchor's size, wherever they start, within runs of `texts` that are `fresh`."""
        found: set[_Run] = set()
        for text in texts:
            end = 0
            for start in range(len(text) - self.length + 1):
                if text[start : start + self.length] in fresh:
                    begin, end = max(start, end), start + self.stride
                    found.update(text[i : i + self.anchor] for i in range(begin, end))
        return found

    def anchors_of(self, text: _Run) -> list[_Run]:
        size = self.anchor
        return [text[i : i + size] for i in range(0, len(text) - size + 1, self.stride)]

    def shared(self, text: _Run, fresh: set[_Run], anchors: set[_Run]) -> set[_Run]:
        """The runs of `fresh` within a training text."""
        found: set[_Run] = set()
        for number, anchor in enumerate(self.anchors_of(text)):
            if anchor in anchors:
                at = number * self.stride
                starts = range(max(0, at + self.anchor - self.length), at + 1)
                found.update(text[i : i + self.length] for i in starts)
        return found & fresh


def _words(text: str) -> _Run:
    return tuple(text.casefold().split())


def _characters(text: str) -> _Run:
    return " ".join(text.casefold().split())


_VIEWS = (_View(_words, COPIED_WORDS, 6, " "), _View(_characters, COPIED_CHARACTERS, 34, ""))


class TrainingTexts:
    """Inputs and expected answers of training examples, gone through at each question."""

    def __init__(self, training: Iterable[Evidence | str] = ()) -> None:
        self._examples: dict[str, set[str]] = {}
        for e in training:
            if isinstance(e, str):
                self.add(e, e)
            else:
                self.add(e.example, e.input, e.expected)

    def add(self, example: str, *texts: str) -> None:
        """These are texts of this example, beside those that were added before."""
        self._examples.setdefault(example, set()).update(texts)

    def said_by(self, examples: Collection[str]) -> set[str]:
        """The texts of these examples."""
        return set[str]().union(*(self._examples.get(example, ()) for example in examples))

    def copied(self, new: Sequence[str], allowed: Sequence[str]) -> str | None:
        """A run of `new` that a training text has and `allowed` has not; None if there is none.

        Examples that say the same count as one, and runs that most examples have are no copies.
        """
        for view in _VIEWS:
            read = [view.read(text) for text in new]
            fresh = view.runs(read) - view.runs(map(view.read, allowed))
            if fresh and (copy := self._first(view, fresh, view.anchors_in(fresh, read))):
                return view.between.join(copy)
        return None

    def _first(self, view: _View, fresh: set[_Run], anchors: set[_Run]) -> _Run | None:
        near = ((text, view.shared(view.read(text), fresh, anchors)) for text in self._near(anchors))
        shared = {text: runs for text, runs in near if runs}
        if not shared:
            return None
        examples = {frozenset(own) for own in self._examples.values()}
        holders: Counter[_Run] = Counter()
        for own in examples:
            holders.update(set[_Run]().union(*(shared[text] for text in own if text in shared)))
        most = len(examples) / 2 if len(examples) >= FRAME_AT_LEAST else math.inf
        return min((run for run, count in holders.items() if count <= most), default=None)

    def _near(self, anchors: set[_Run]) -> Iterable[str]:
        """All texts that hold one of these anchors, and maybe others."""
        return set[str]().union(*self._examples.values())


class IndexedTexts(TrainingTexts):
    """The same, for many questions: each text is gone through once, when it is added.

    A question costs what the new text is long, and a look at each training text that has an anchor of it;
    one that finds a copy goes through the examples. Kept are the texts as they were given, and 12 bytes for
    each anchor: of 10,000 texts of 2 kB 2.3 million, 27 MB.
    """

    def __init__(self, training: Iterable[Evidence | str] = ()) -> None:
        self._texts: dict[str, int] = {}
        self._by_number: list[str] = []
        self._index = _Index()
        super().__init__(training)

    def add(self, example: str, *texts: str) -> None:
        super().add(example, *texts)
        for text in texts:
            if text not in self._texts:
                self._texts[text] = len(self._by_number)
                self._by_number.append(text)
                for view in _VIEWS:
                    self._index.add(self._texts[text], view.anchors_of(view.read(text)))

    def _near(self, anchors: set[_Run]) -> Iterable[str]:
        return [self._by_number[number] for number in self._index.holders(anchors)]


class _Index:
    """Which numbers were added with an anchor, by its hash: others that share it are found too.

    The newest are loose, the rest sorted arrays, each at least twice as long as the next one.
    """

    def __init__(self) -> None:
        self._hashes: list[int] = []
        self._numbers: list[int] = []
        self._sorted: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, number: int, anchors: Sequence[_Run]) -> None:
        self._hashes.extend(map(hash, anchors))
        self._numbers.extend([number] * len(anchors))
        if len(self._hashes) > LOOSE:
            self._sort()

    def holders(self, anchors: Collection[_Run]) -> set[int]:
        self._sort()
        asked = np.sort(np.fromiter(map(hash, anchors), np.int64, len(anchors)))
        found: set[int] = set()
        for hashes, numbers in self._sorted:
            starts, ends = (np.searchsorted(hashes, asked, side) for side in ("left", "right"))
            there = starts < ends
            for start, end in zip(starts[there].tolist(), ends[there].tolist(), strict=True):
                found.update(numbers[start:end].tolist())
        return found

    def _sort(self) -> None:
        if not self._hashes:
            return
        hashes, numbers = np.array(self._hashes, np.int64), np.array(self._numbers, np.int32)
        self._hashes, self._numbers = [], []
        while self._sorted and len(self._sorted[-1][0]) < 2 * len(hashes):
            more, theirs = self._sorted.pop()
            hashes, numbers = np.concatenate([more, hashes]), np.concatenate([theirs, numbers])
        order = np.argsort(hashes, kind="stable")  # quick, for it merges what is sorted
        self._sorted.append((hashes[order], numbers[order]))
