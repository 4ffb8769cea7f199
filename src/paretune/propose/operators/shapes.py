"""What right answers look like, induced from the training examples."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

MOST_LABELS = 30
LEAST_REPEATS = 3
SHORT_WORDS = 4

_NUMERIC = re.compile(r"[-+]?\d+(?:,\d+)*(?:\.\d+)?")
_RUN = re.compile(r"[A-Z]+|[a-z]+|\d+|.", re.DOTALL)
_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_MARKS = {
    "-": "a dash",
    "/": "a slash",
    ".": "a dot",
    ":": "a colon",
    "_": "an underscore",
    " ": "a space",
    "#": "#",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """What the expected answers have in common.

    `find` matches one answer anywhere in a text (None for answers without a form of their own). `line` is a
    sentence that asks for nothing but an answer of this shape. `labels` are the answers themselves
    when they are few.
    """

    line: str
    find: re.Pattern[str] | None = None
    labels: tuple[str, ...] = ()

    def matches(self, text: str) -> bool:
        """True if the text is of this shape and nothing more."""
        if self.labels:
            return text.strip().casefold() in {label.casefold() for label in self.labels}
        return bool(self.find and self.find.fullmatch(text.strip()))


def induce(answers: Sequence[str]) -> Shape | None:
    """The most telling shape that all answers share; None without answers."""
    told = [answer.strip() for answer in answers if answer.strip()]
    if not told:
        return None
    if all(_NUMERIC.fullmatch(answer) for answer in told):
        return Shape("Answer with the number only, digits only, no words.", _NUMERIC)
    labels = sorted(set(told))
    if len(labels) <= MOST_LABELS and len(told) >= LEAST_REPEATS * len(labels):
        return Shape(f"Answer with one of these and nothing else: {', '.join(labels)}.", None, tuple(labels))
    forms = {_form(answer) for answer in told}
    if len(forms) == 1 and any(c.isdecimal() for c in told[0]):
        return _pattern(told)
    longest = max(len(answer.split()) for answer in told)
    if longest <= SHORT_WORDS:
        count = "one word" if longest == 1 else f"at most {_COUNTS[longest]} words"
        return Shape(f"Answer with {count}, nothing else.")
    return Shape("Answer as briefly as you can, without an introduction.")


def _form(answer: str) -> tuple[tuple[str, int | str], ...]:
    """Runs of digits, capitals and small letters with their lengths; every other character itself."""
    return tuple(_run_form(run) for run in _RUN.findall(answer))


def _run_form(run: str) -> tuple[str, int | str]:
    if run.isdecimal():
        return ("digits", len(run))
    if run.isalpha() and run.isascii():
        return ("capitals" if run.isupper() else "letters", len(run))
    return ("mark", run)


def _pattern(answers: Sequence[str]) -> Shape:
    """A shape of fixed runs: a calendar form when it can be one, else the runs in words."""
    form = _form(answers[0])
    classes = {"digits": r"\d", "capitals": "[A-Z]", "letters": "[a-z]"}
    pattern = "".join(
        re.escape(str(value)) if kind == "mark" else f"{classes[kind]}{{{value}}}" for kind, value in form
    )
    find = re.compile(rf"(?<![A-Za-z0-9]){pattern}(?![A-Za-z0-9])")
    named = _calendar(answers)
    if named:
        return Shape(f"Answer in the form {named} only, no other words.", find)
    told = ", ".join(_told(kind, value) for kind, value in form)
    return Shape(f"Answer only with this form: {told}. No other words.", find)


def _told(kind: str, value: int | str) -> str:
    if kind == "mark":
        return _MARKS.get(str(value), str(value))
    count = _COUNTS[int(value)] if int(value) < len(_COUNTS) else str(value)
    noun = {"digits": "digit", "capitals": "capital letter", "letters": "small letter"}[kind]
    return f"{count} {noun}{'' if value == 1 else 's'}"


def _calendar(answers: Sequence[str]) -> str:
    """`YYYY-MM-DD` and its like, if every answer can be read so; else nothing."""
    for order, names in (("ymd", "YYYY MM DD"), ("dmy", "DD MM YYYY"), ("mdy", "MM DD YYYY")):
        widths = [len(name) for name in names.split()]
        parts = [re.findall(r"\d+", answer) for answer in answers]
        if all([len(p) for p in found] == widths for found in parts) and all(
            _is_day(dict(zip(order, map(int, found), strict=True))) for found in parts
        ):
            marks = re.findall(r"\D+", answers[0])
            year, month, day = names.split()
            return f"{year}{marks[0]}{month}{marks[1]}{day}"
    return ""


def _is_day(parts: dict[str, int]) -> bool:
    return 1 <= parts["m"] <= 12 and 1 <= parts["d"] <= 31
