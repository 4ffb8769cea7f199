"""Differences of two texts, for people and for packets."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

_WORD = re.compile(r"\w+|\s+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text that stayed, went or came."""

    kind: Literal["same", "gone", "new"]
    text: str


def unified(before: str, after: str, *, name: str = "", context: int = 3) -> str:
    """A unified diff by lines, without a newline at its end; empty when the texts are equal."""
    lines = difflib.unified_diff(
        before.split("\n"),
        after.split("\n"),
        f"{name} (before)".lstrip(),
        f"{name} (after)".lstrip(),
        lineterm="",
        n=context,
    )
    return "\n".join(lines)


def by_component(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """Component -> unified diff, for the components that changed."""
    names = dict.fromkeys([*before, *after])
    diffs = {name: unified(before.get(name, ""), after.get(name, ""), name=name) for name in names}
    return {name: diff for name, diff in diffs.items() if diff}


def pieces(before: str, after: str) -> list[Piece]:
    """The difference by words: "same" and "gone" together are `before`, "same" and "new" `after`.

    Lines are matched first and words only within lines that changed, so that long texts stay quick.
    """
    found: list[Piece] = []
    for same, old, new in _changes(before.splitlines(keepends=True), after.splitlines(keepends=True)):
        if same:
            _add(found, "same", old)
            continue
        for kept, gone, came in _changes(_WORD.findall(old), _WORD.findall(new)):
            _add(found, "same" if kept else "gone", gone)
            _add(found, "new", "" if kept else came)
    return found


def words(before: str, after: str) -> str:
    """`pieces` as one text: [-gone-] and {+new+} in place."""
    marks = {"same": "{}", "gone": "[-{}-]", "new": "{{+{}+}}"}
    return "".join(marks[piece.kind].format(piece.text) for piece in pieces(before, after))


def _changes(before: list[str], after: list[str]) -> Iterator[tuple[bool, str, str]]:
    """(same?, old text, new text) in order."""
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for tag, i, j, k, n in matcher.get_opcodes():
        yield tag == "equal", "".join(before[i:j]), "".join(after[k:n])


def _add(found: list[Piece], kind: Literal["same", "gone", "new"], text: str) -> None:
    if text:
        found.append(Piece(kind, text))
