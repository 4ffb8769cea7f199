"""The layout of a message around its placeholders: what is asked, what is given, and the cue to answer."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from paretune.propose.guards import placeholders

GIVEN, CUE = "Text:", "Answer:"

_SHOWN = re.compile(rf"^{GIVEN} (?P<given>[^{{\n]*)\n{CUE} (?P<answer>[^{{\n]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Demonstration:
    """One solved example as it stands in a prompt."""

    given: str
    answer: str

    def render(self) -> str:
        return f"{GIVEN} {self.given}\n{CUE} {self.answer}"


@dataclass(frozen=True, slots=True)
class Layout:
    """A text taken apart: prose, demonstrations, and the lines with placeholders.

    `prose` is what is neither. `slots` are the placeholders in order. `after`: the prose stands behind
    the given, not before it. `labelled`: the given has a label and the cue ends the message.
    """

    prose: str
    demonstrations: tuple[Demonstration, ...] = ()
    slots: tuple[str, ...] = ()
    after: bool = False
    labelled: bool = False

    def render(self) -> str:
        """The text again, in the plain order of its parts."""
        shown = "\n\n".join(demonstration.render() for demonstration in self.demonstrations)
        given = self._given()
        parts = [shown, given, self.prose] if self.after else [self.prose, shown, given]
        text = "\n\n".join(part for part in parts if part)
        return f"{text}\n{CUE}" if self.labelled and self.slots else text

    def _given(self) -> str:
        if not self.labelled:
            return "\n".join("{" + slot + "}" for slot in self.slots)
        if len(self.slots) == 1:
            return f"{GIVEN} {{{self.slots[0]}}}"
        return "\n".join(f"{slot.replace('_', ' ').capitalize()}: {{{slot}}}" for slot in self.slots)

    def with_prose(self, prose: str) -> Layout:
        return replace(self, prose=prose.strip())


def read_layout(text: str) -> Layout | None:
    """The layout of a text; None when placeholders stand inside sentences and cannot be taken apart."""
    shown = tuple(Demonstration(m["given"], m["answer"]) for m in _SHOWN.finditer(text))
    rest = _SHOWN.sub("", text)
    slots = placeholders(rest)
    if not slots:
        return Layout(_tidy(rest), shown)
    lines = rest.splitlines()
    holding = [i for i, line in enumerate(lines) if placeholders(line)]
    if not all(_bare(lines[i]) for i in holding):
        return _behind_colon(rest, shown, slots)
    labelled = any(":" in lines[i] for i in holding) and lines[-1].strip() == CUE
    prose = [line for i, line in enumerate(lines) if i not in holding and line.strip() != CUE]
    before = [line for i, line in enumerate(lines) if i < holding[0] and line.strip()]
    return Layout(
        _tidy("\n".join(prose)),
        shown,
        slots,
        after=not before and bool(_tidy("\n".join(prose))),
        labelled=labelled,
    )


def _behind_colon(text: str, shown: tuple[Demonstration, ...], slots: tuple[str, ...]) -> Layout | None:
    """`Question: {x}` on one line, with the question as prose; anything more tangled is left alone."""
    match = re.fullmatch(r"(?s)(.*[.?!:])\s*\{(\w+)\}\s*", text)
    if len(slots) != 1 or match is None or placeholders(match[1]):
        return None
    return Layout(_tidy(match[1].rstrip(": ")), shown, slots)


def _bare(line: str) -> bool:
    """A line that is only placeholders, or a short label with one."""
    return re.fullmatch(r"\s*(?:[\w ]{1,24}:\s*)?(?:\{\w+\}\s*)+", line) is not None


def _tidy(text: str) -> str:
    return re.sub(r"\n{3,}", "\n\n", text).strip()
