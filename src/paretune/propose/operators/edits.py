"""The edits: each makes new texts for a failure it is made for. No words about any task are in here."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from paretune.core.example import ExampleId
from paretune.propose.base import Evidence, Packet
from paretune.propose.operators.fields import telling_words
from paretune.propose.operators.layout import Demonstration, Layout, read_layout
from paretune.propose.operators.sets import NO_SETS, DemonstrationSet, Sets, read_sets, show
from paretune.propose.operators.shapes import Shape

MOST_DEMONSTRATIONS = 6
LONGEST_GIVEN = 400
HANDFUL = 24


@dataclass(frozen=True, slots=True)
class Desk:
    """What the edits work on: the components that may be edited, in the parent's order, read as layouts.

    `ask` names the component with the placeholders (where the question is put), `tell` the one without
    (standing instructions); either may be missing. `sets` are components that hold demonstrations.
    """

    layouts: Mapping[str, Layout]
    ask: str | None
    tell: str | None
    shape: Shape | None
    solved: tuple[Evidence, ...]
    failures: tuple[Evidence, ...]
    sets: Sets = NO_SETS


@dataclass(frozen=True, slots=True)
class Edit:
    """New layouts for some components, or lists of demonstrations, and why."""

    layouts: Mapping[str, Layout]
    why: str
    sets: Mapping[str, DemonstrationSet] = field(default_factory=dict)


Operator = Callable[[Desk, random.Random], Iterator[Edit]]


def constrain(desk: Desk, rng: random.Random) -> Iterator[Edit]:
    """Ask for nothing but an answer of the right shape; in the question, or as a standing instruction."""
    line = _line(desk)
    for name in (desk.ask, desk.tell):
        if name and line not in desk.layouts[name].prose:
            layout = desk.layouts[name]
            kept = _without_own_lines(layout.prose)
            yield Edit(
                {name: layout.with_prose(_joined(kept, line))}, f"asks for the shape of the answers in {name}"
            )
    if desk.tell and desk.layouts[desk.tell].prose != line:
        yield Edit({desk.tell: desk.layouts[desk.tell].with_prose(line)}, f"{desk.tell} says the shape alone")


def cue(desk: Desk, rng: random.Random) -> Iterator[Edit]:
    """Label what is given and end with a cue for the answer; the question before or behind it."""
    if not desk.ask:
        return
    layout = desk.layouts[desk.ask]
    for after in (False, True):
        new = replace(layout, labelled=True, after=after)
        if new != layout:
            yield Edit(
                {desk.ask: new},
                f"labels what is given and cues the answer, question {'last' if after else 'first'}",
            )


def move_question(desk: Desk, rng: random.Random) -> Iterator[Edit]:
    """The question becomes the standing instruction, and the message is left with what is given."""
    if not (desk.ask and desk.tell):
        return
    ask, tell = desk.layouts[desk.ask], desk.layouts[desk.tell]
    if not ask.prose:
        return
    moved = replace(ask, prose="", labelled=True)
    yield Edit(
        {desk.ask: moved, desk.tell: tell.with_prose(ask.prose)}, "moves the question to the instructions"
    )
    both = tell.with_prose(_joined(_without_own_lines(tell.prose), ask.prose))
    yield Edit({desk.ask: moved, desk.tell: both}, "adds the question to the instructions")


def restructure(desk: Desk, rng: random.Random) -> Iterator[Edit]:
    """The plainest form at once: what to do in the instructions, what is given and a cue in the message."""
    if not (desk.ask and desk.tell):
        return
    ask, tell = desk.layouts[desk.ask], desk.layouts[desk.tell]
    question, line = _without_own_lines(ask.prose), _line(desk)
    bare = replace(ask, prose="", labelled=True)
    for prose in (_joined(question, line), line, _joined(_without_own_lines(tell.prose), question, line)):
        new = tell.with_prose(prose)
        if new != tell or bare != ask:
            yield Edit(
                {desk.tell: new, desk.ask: bare},
                f"puts what to do into {desk.tell}, what is given into {desk.ask}",
            )


def demonstrate(desk: Desk, rng: random.Random) -> Iterator[Edit]:
    """Show solved training examples: some at once, one more, others, fewer.

    In the component that is made for them, if the prompt has one, else in the text.
    """
    for component, new, why in show(desk.sets, rng):
        yield Edit({}, why, {component: new})
    for name in (desk.ask, desk.tell):
        if not name or desk.sets.elsewhere:
            continue
        layout = desk.layouts[name]
        shown = {d.given for d in layout.demonstrations}
        fresh = _varied(desk.solved, layout.demonstrations, rng)
        room = MOST_DEMONSTRATIONS - len(shown)
        for count in (1, 2, 4):
            if count <= min(room, len(fresh)):
                more = (*layout.demonstrations, *fresh[:count])
                yield Edit({name: _showing(layout, more)}, f"shows {count} more solved examples in {name}")
        if shown and fresh:
            place = rng.randrange(len(shown))
            swapped = (*layout.demonstrations[:place], fresh[0], *layout.demonstrations[place + 1 :])
            yield Edit({name: _showing(layout, swapped)}, f"swaps a solved example in {name}")
        if len(shown) > 1:
            place = rng.randrange(len(shown))
            fewer = (*layout.demonstrations[:place], *layout.demonstrations[place + 1 :])
            yield Edit({name: _showing(layout, fewer)}, f"shows one solved example less in {name}")


def define_field(desk: Desk, rng: random.Random) -> Iterator[Edit]:
    """Say by which neighbours the right one is known among look-alikes, as counted in training."""
    if not desk.shape:
        return
    near, off = telling_words((*desk.solved, *desk.failures), desk.shape)
    lines = []
    if near:
        lines.append(f"The right one often stands next to: {', '.join(near)}.")
    if off:
        lines.append(f"Leave out any that stands next to: {', '.join(off)}.")
    for name in (desk.ask, desk.tell):
        if name and lines:
            layout = desk.layouts[name]
            prose = _joined(_without_field_lines(layout.prose), " ".join(lines))
            yield Edit({name: layout.with_prose(prose)}, f"says in {name} which of several is meant")


def shorten(desk: Desk, rng: random.Random) -> Iterator[Edit]:
    """Leave out a sentence, or all demonstrations."""
    for name, layout in desk.layouts.items():
        sentences = re.split(r"(?<=[.!?]) *(?=\s)", layout.prose)
        if len(sentences) > 1:
            place = rng.randrange(len(sentences))
            kept = "".join(sentences[:place] + sentences[place + 1 :])
            yield Edit({name: layout.with_prose(kept)}, f"leaves out a sentence of {name}")
        if layout.demonstrations:
            yield Edit(
                {name: replace(layout, demonstrations=())}, f"leaves out the solved examples of {name}"
            )


OPERATORS: Mapping[str, Operator] = {
    "constrain": constrain,
    "cue": cue,
    "move_question": move_question,
    "restructure": restructure,
    "demonstrate": demonstrate,
    "define_field": define_field,
    "shorten": shorten,
}


def quoted(layouts: Mapping[str, Layout], known: tuple[Evidence, ...]) -> tuple[ExampleId, ...]:
    """Ids of the training examples that stand in these layouts as demonstrations."""
    given = {d.given for layout in layouts.values() for d in layout.demonstrations}
    return tuple(e.example for e in known if _one_line(e.input) in given)


def desk_of(packet: Packet, shape: Shape | None) -> Desk:
    """Read the editable components.

    Demonstrations come from outside the minibatch: a child is not shown the answers that it is gated on.
    """
    sets = read_sets(packet)
    prose = [name for name in packet.targets if name not in sets.sets]
    layouts = {name: read_layout(packet.parent.components[name]) for name in prose}
    ask = next((name for name, layout in layouts.items() if layout.slots), None)
    tell = next((name for name, layout in layouts.items() if not layout.slots), None)
    gated = {_one_line(e.input) for e in packet.evidence}  # the same text may stand under another id
    usable = (e for e in packet.examples if e.expected and e.input and len(e.input) <= LONGEST_GIVEN)
    solved = tuple(e for e in usable if _one_line(e.input) not in gated)
    failures = tuple(e for e in packet.evidence if not e.perfect)
    return Desk(layouts, ask, tell, shape, solved, failures, sets)


def _line(desk: Desk) -> str:
    """The sentence that asks for nothing but an answer."""
    return desk.shape.line if desk.shape else "Answer as briefly as you can, without an introduction."


def _showing(layout: Layout, demonstrations: tuple[Demonstration, ...]) -> Layout:
    """Demonstrations are read best with the same labels as what is given."""
    return replace(layout, demonstrations=demonstrations, labelled=layout.labelled or bool(layout.slots))


def _demonstration(evidence: Evidence) -> Demonstration | None:
    given, answer = _one_line(evidence.input), _one_line(evidence.expected)
    return Demonstration(given, answer) if given and answer and "{" not in given + answer else None


def _varied(
    solved: tuple[Evidence, ...], shown: tuple[Demonstration, ...], rng: random.Random
) -> list[Demonstration]:
    """Some examples that are not shown yet, each as unlike those before it as a random handful allows.

    Those with a new answer come first, then those with the smallest share of words in common with any that is
    shown, then those that the parent fails.
    """
    handful = rng.sample(solved, min(len(solved), HANDFUL))
    handful.sort(key=lambda e: e.perfect)
    givens = {d.given for d in shown}
    made = (_demonstration(e) for e in handful)
    left = list(dict.fromkeys(d for d in made if d and d.given not in givens))
    alike = {d: max((_likeness(d, other) for other in shown), default=(False, 0.0)) for d in left}
    varied: list[Demonstration] = []
    while left and len(varied) < MOST_DEMONSTRATIONS:
        chosen = min(left, key=alike.__getitem__)
        left.remove(chosen)
        varied.append(chosen)
        alike |= {d: max(alike[d], _likeness(d, chosen)) for d in left}
    return varied


def _likeness(one: Demonstration, other: Demonstration) -> tuple[bool, float]:
    words, others = set(one.given.casefold().split()), set(other.given.casefold().split())
    return one.answer == other.answer, len(words & others) / len(words | others)


def _joined(*parts: str) -> str:
    """One behind the other; behind several lines (a list, a block of code) on a line of its own."""
    text = ""
    for part in filter(None, parts):
        text += (("\n" if "\n" in text else " ") if text else "") + part
    return text


def _one_line(text: str) -> str:
    return " ".join(text.split())


_OWN = re.compile(
    r"\s*Answer (?:"
    r"with the number only, digits only, no words"
    r"|with one of these and nothing else: (?:[^.]|\.(?=\S))*"
    r"|with (?:one word|at most \w+ words), nothing else"
    r"|as briefly as you can, without an introduction"
    r"|in the form [^\s,]+ only, no other words"
    r"|only with this form: (?:[^.]|\.(?=\S))*\. No other words"
    r")\."
)
"""What `induce` and `_line` write; a user's own "Answer in ..." stays."""
_FIELDS = re.compile(r"\s*(?:The right one often stands|Leave out any that stands) next to: [^.]*\.")


def _without_own_lines(prose: str) -> str:
    return _OWN.sub("", prose).strip()


def _without_field_lines(prose: str) -> str:
    return _FIELDS.sub("", prose).strip()
