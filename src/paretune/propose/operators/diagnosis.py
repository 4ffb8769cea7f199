"""How a rollout failed, from what the model said and what was expected."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

from paretune.core.canonical import JsonValue
from paretune.propose.base import Evidence
from paretune.propose.operators.shapes import Shape

_REFUSAL = re.compile(
    r"\b(i'?m sorry|i am sorry|i apologi[sz]e|as an ai|i (?:can'?t|can ?not|am unable|am not able|won'?t))\b",
    re.IGNORECASE,
)
WORDY_BY = 3


class Symptom(StrEnum):
    """What is wrong with an output."""

    EMPTY = "empty"
    REFUSES = "refuses"
    BURIED = "right answer buried"
    OUTSIDE = "outside the set"
    FIELD = "wrong field"
    WORDY = "too wordy"
    FORMAT = "wrong format"
    WRONG = "wrong"


def diagnose(evidence: Evidence, shape: Shape | None) -> Symptom:
    """The most telling symptom of a failed rollout.

    Without an expected answer, only what the output itself shows can be told.
    """
    said, expected = evidence.output.strip(), evidence.expected.strip()
    if not said:
        return Symptom.EMPTY
    if expected and _holds(said, expected):
        return Symptom.BURIED
    if _REFUSAL.search(said):
        return Symptom.REFUSES
    if shape and shape.labels and not any(_holds(said, label) for label in shape.labels):
        return Symptom.OUTSIDE
    if shape and shape.find:
        found = shape.find.search(said)
        if found and found[0] in evidence.input:
            return Symptom.FIELD
    if expected and len(said.split()) > WORDY_BY * len(expected.split()):
        return Symptom.WORDY
    if shape and not shape.matches(said):
        return Symptom.FORMAT
    return Symptom.WRONG


def _holds(text: str, answer: str) -> bool:
    """True if the answer stands in the text by itself, whatever its case; `12` does not stand in `12.50`."""
    alone = rf"(?<!\w)(?<!\d[.,]){re.escape(answer)}(?!\w|[.,]\d)"
    return re.search(alone, text, re.IGNORECASE) is not None


def symptoms(evidence: Iterable[Evidence], shape: Shape | None) -> Counter[Symptom]:
    """How many failures show each symptom."""
    return Counter(diagnose(one, shape) for one in evidence if not one.perfect)


def told(counts: Counter[Symptom]) -> JsonValue:
    """For the transcript."""
    return {symptom.value: count for symptom, count in counts.most_common()}
