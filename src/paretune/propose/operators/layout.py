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

    `prose` is what is neither. `slots` are the placeholders in order. `given` are their lines as
    somebody wrote them, empty if they stand there bare. `after`: the prose stands behind the given.
    `labelled`: the given has a label and the cue ends the message.
    """

    prose: str
    demonstrations: tuple[Demonstration, ...] = ()
    slots: tuple[str, ...] = ()
    given: str = ""
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
        """A label of its own gives way to the one that demonstrations have, a sentence does not."""
        only_a_label = len(self.slots) == 1 and _bare(self.given)
        if self.given and not (self.labelled and only_a_label):
            return self.given
        return _bare_lines(self.slots, self.labelled)

    def with_prose(self, prose: str) -> Layout:
        return replace(self, prose=prose.strip())


def read_layout(text: str) -> Layout:
    """The layout of a text. Prose both before and behind placeholders in sentences is taken for given."""
    shown = tuple(Demonstration(m["given"], m["answer"]) for m in _SHOWN.finditer(text))
    rest = _SHOWN.sub("", text)
    slots = placeholders(rest)
    if not slots:
        return Layout(_tidy(rest), shown)
    return _behind_colon(rest, shown, slots) or _lines(rest, shown, slots)


def _lines(text: str, shown: tuple[Demonstration, ...], slots: tuple[str, ...]) -> Layout:
    """Prose is what stands before the lines with placeholders, or behind them if nothing does."""
    lines = text.strip().splitlines()
    cued = lines[-1].strip() == CUE
    if cued:
        lines.pop()
    holding = [i for i, line in enumerate(lines) if placeholders(line)]
    first, last = holding[0], holding[-1]
    before, behind = _tidy("\n".join(lines[:first])), _tidy("\n".join(lines[last + 1 :]))
    bare = all(_bare(lines[i]) for i in holding)
    if bare and holding == list(range(first, last + 1)):
        prose, given = "\n".join(filter(None, (before, behind))), lines[first : last + 1]
    elif before:
        prose, given = before, lines[first:]
    else:
        prose, given = behind, lines[: last + 1]
    labelled = cued and any(":" in lines[i] for i in holding)
    layout = Layout(prose, shown, slots, "", bool(prose) and not before, labelled)
    written = _tidy("\n".join(given))
    return layout if written == _tidy(_bare_lines(slots, labelled)) else replace(layout, given=written)


def _behind_colon(text: str, shown: tuple[Demonstration, ...], slots: tuple[str, ...]) -> Layout | None:
    """`Question: {x}` on one line, with the question as prose; anything more tangled is left alone."""
    match = re.fullmatch(r"(?s)(.*[.?!:])\s*\{(\w+)\}\s*", text)
    if len(slots) != 1 or match is None or placeholders(match[1]) or _bare(text.splitlines()[-1]):
        return None
    return Layout(_tidy(match[1].rstrip(": ")), shown, slots)


def _bare_lines(slots: tuple[str, ...], labelled: bool) -> str:
    if not labelled:
        return "\n".join("{" + slot + "}" for slot in slots)
    if len(slots) == 1:
        return f"{GIVEN} {{{slots[0]}}}"
    return "\n".join(f"{slot.replace('_', ' ').capitalize()}: {{{slot}}}" for slot in slots)


def _bare(line: str) -> bool:
    """A line that is only placeholders, or a short label with one."""
    return re.fullmatch(r"\s*(?:[\w ]{1,24}:\s*)?(?:\{\w+\}\s*)+", line) is not None


def _tidy(text: str) -> str:
    return re.sub(r"\n{3,}", "\n\n", text).strip()
