"""Edits for an instruction that is written from the data: no failures to go by, no examples to quote."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace

from paretune.propose.base import Evidence, Packet
from paretune.propose.operators.edits import OPERATORS, Desk, Edit, Operator, constrain

WORDS_A_LABEL = 3
LEAST, TIMES = 2, 3
"""A word speaks for a label if it stands in so many of its examples, so many times as often as elsewhere."""

_WORD = re.compile(r"[^\W\d_]{3,}")

ADVICE = (
    "Think it through silently, then answer.",
    "Answer at once, without an introduction.",
    "Choose whichever answer fits best.",
    "Act as an expert at exactly this task.",
    "Mistakes cost a lot, so take care.",
    "Rely on the given words alone.",
    "Consider every detail carefully.",
    "Use the given wording exactly.",
)


def as_examples(packet: Packet) -> Packet:
    """The packet with the grounding's demonstrations among its examples.

    A perfect output is as good as an expected answer where the task does not tell one.
    """
    if packet.grounding is None:
        return packet
    shown = {e.example for e in packet.evidence}
    known = {e.example: e for e in (*packet.grounding.demonstrations, *packet.examples)}
    examples = tuple(_answered(e) for e in known.values() if e.example not in shown)
    return replace(packet, examples=examples)


def _answered(e: Evidence) -> Evidence:
    return replace(e, expected=e.output) if e.perfect and not e.expected else e


def advise(desk: Desk, rng: random.Random) -> Iterator[Edit]:
    """One piece of general advice, in the place of any other."""
    for name in filter(None, (desk.tell, desk.ask)):
        layout = desk.layouts[name]
        kept = _without(layout.prose, ADVICE)
        for advice in ADVICE:
            if advice not in layout.prose:
                prose = f"{kept} {advice}" if rng.random() < 0.5 else f"{advice} {kept}"
                yield Edit({name: layout.with_prose(prose)}, f"advises in {name}: {advice}")


def tell_labels_apart(desk: Desk, rng: random.Random) -> Iterator[Edit]:
    """Which words speak for which of a few answers, as counted in training."""
    told = telling_labels((*desk.solved, *desk.failures), desk.shape.labels if desk.shape else ())
    if not told:
        return
    parts = [f"{label} ({', '.join(words)})" for label, words in told.items()]
    line = f"{_LABELS} {'; '.join(parts)}."
    for name in filter(None, (desk.tell, desk.ask)):
        layout = desk.layouts[name]
        kept = re.sub(rf"\s*{_LABELS} .*?\)\.", "", layout.prose).strip()
        if line not in layout.prose:
            yield Edit({name: layout.with_prose(f"{kept} {line}")}, f"says in {name} what speaks for which")


_LABELS = "Words that speak for an answer:"


def telling_labels(evidence: tuple[Evidence, ...], labels: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    """Label -> the words of its inputs that other labels' inputs lack, most telling first."""
    holding: dict[str, Counter[str]] = defaultdict(Counter)
    for e in evidence:
        if e.expected.strip() in labels:
            holding[e.expected.strip()].update({word.casefold() for word in _WORD.findall(e.input)})
    everywhere = sum(holding.values(), Counter[str]())
    found = {}
    for label in labels:
        mine = holding[label]
        telling = [w for w, n in mine.items() if n >= LEAST and n >= TIMES * (everywhere[w] - n)]
        if telling:
            found[label] = tuple(sorted(telling, key=lambda w: (-mine[w], w))[:WORDS_A_LABEL])
    return found


def _without(prose: str, sentences: tuple[str, ...]) -> str:
    for sentence in sentences:
        prose = prose.replace(sentence, "")
    return prose.strip()


def keep_and_constrain(desk: Desk, rng: random.Random) -> Iterator[Edit]:
    """The shape of the answers, beside what the text says."""
    return (edit for edit in constrain(desk, rng) if not _alone(edit, desk))


def constrain_alone(desk: Desk, rng: random.Random) -> Iterator[Edit]:
    """The shape of the answers, and nothing beside it."""
    return (edit for edit in constrain(desk, rng) if _alone(edit, desk))


def _alone(edit: Edit, desk: Desk) -> bool:
    return desk.shape is not None and any(layout.prose == desk.shape.line for layout in edit.layouts.values())


GROUNDED: Mapping[str, Operator] = {
    **{name: operator for name, operator in OPERATORS.items() if name != "demonstrate"},
    "constrain": keep_and_constrain,
    "constrain_alone": constrain_alone,
    "advise": advise,
    "tell_labels_apart": tell_labels_apart,
}

FIRST_ONLY = frozenset({"constrain_alone"})
"""Kinds that are no edit on top of another: they would leave nothing of it."""
