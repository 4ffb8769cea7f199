"""Leaving lines out: what a search wrote and no longer needs makes a text longer, and worse, for nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

from paretune.core.example import ExampleId

Line = tuple[str, str]
"""Component and text."""

LEAST = 4
"""With fewer lines of the search's own in a text, nothing is left out."""
MOST_AT_ONCE = 8
LONGEST_WAIT = 8


@dataclass(slots=True)
class Ablation:
    """Which lines are left out next, and when.

    Only lines go that the `first` texts do not have, and none of a text that is JSON. A line that stands in
    several components goes from all of them: without one copy nothing would change. Those tried least often
    come first, then those that gained least in the gate of the edit that brought them. `size` lines go at
    once, one more after a success and one fewer after a failure; `wait` steps lie between two attempts, half
    as many after a success and twice as many after a failure. `due` is the step of the next one.
    """

    first: Mapping[str, str]
    size: int = 3
    wait: int = 4
    due: int | None = 0
    _tried: Counter[Line] = field(default_factory=Counter)
    _gained: dict[Line, set[ExampleId]] = field(default_factory=dict)

    def wrote(
        self, before: Mapping[str, str], after: Mapping[str, str], gained: Collection[ExampleId]
    ) -> None:
        """An edit passed its gate, where these examples were better for it."""
        old = set(_lines(before))
        for line in _lines(after):
            if line not in old:
                self._gained.setdefault(line, set()).update(gained)

    def begin(self, step: int, texts: Mapping[str, str], rng: Random) -> dict[str, str] | None:
        """The texts without some lines; None if it is too early or there are too few. Then wait for `end`."""
        if self.due is None or step < self.due:
            return None
        kept = set(_lines(self.first))
        own = [line for line in dict.fromkeys(_lines(texts)) if line not in kept]
        if len(own) < LEAST:
            return None
        own.sort(key=lambda line: (self._tried[line], len(self._gained.get(line, ())), rng.random()))
        words = {text for _, text in own[: self.size]}
        gone = {line for line in own if line[1] in words}
        self._tried.update(gone)
        self.due = None
        return {
            name: without(text, {line for of, line in gone if of == name}) for name, text in texts.items()
        }

    def end(self, step: int, *, won: bool) -> None:
        """The attempt is over; the next one is due some steps later."""
        self.size = min(MOST_AT_ONCE, self.size + 1) if won else max(1, self.size - 1)
        self.wait = max(2, self.wait // 2) if won else min(LONGEST_WAIT, self.wait * 2)
        self.due = step + self.wait


def _lines(texts: Mapping[str, str]) -> Iterator[Line]:
    """All lines that can be left out."""
    for name, text in texts.items():
        if not _is_json(text):
            yield from ((name, line) for line in text.splitlines() if line.strip())


def without(text: str, gone: Collection[str]) -> str:
    """The text without these lines; it ends as it did, with the end of a line or without one."""
    lines = text.splitlines(keepends=True)
    left = [line for line in lines if line.splitlines()[0] not in gone]
    for n in reversed(range(len(left) - 1)):
        if left[n].endswith("\r") and left[n + 1] == "\n":  # what stood between is gone: still two lines
            left[n] = left[n][:-1] + "\n"
    if left and lines[-1].splitlines() == [lines[-1]]:  # it ends without one
        while left and not left[-1].splitlines()[0]:
            left.pop()
        left[-1:] = [line.splitlines()[0] for line in left[-1:]]
    return "".join(left)


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
