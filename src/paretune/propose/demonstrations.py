"""Which solved examples a proposal may show, and how a model names them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, zip_longest

from paretune.core.canonical import stream
from paretune.core.demonstrations import COMPONENT, Demonstration, dump, load, usable
from paretune.core.placeholders import placeholders
from paretune.propose.base import Evidence, Packet, Surface

MOST_SHOWN = 8
"""More only where the parent shows more."""
MOST_OFFERED, LONGEST_OFFERED = 12, 2_000
"""Of the examples that a model may choose from: how many, and characters of each."""


def is_demonstrations(surface: Surface, name: str) -> bool:
    """True if this component is a list of demonstrations."""
    return surface.formats.get(name) == COMPONENT


def solved(evidence: Iterable[Evidence]) -> Iterator[Demonstration]:
    """Each example with the model's output where it passed, else with the expected answer, if it has one."""
    for one in evidence:
        if one.input.strip() and one.perfect and one.output.strip():
            yield Demonstration(one.input, one.output, one.example)
        elif one.input.strip() and one.expected.strip():
            yield Demonstration(one.input, one.expected, one.example, "labelled")


def may_join(packet: Packet) -> list[Demonstration]:
    """What a child may show that its parent does not, each input once.

    None comes from the minibatch: a child is not shown the answers that it is gated on. None would be filled
    as if it were the question.
    """
    names = {hole for text in _patterns(packet) for hole in placeholders(text)}
    gated, found = {_key(e.input) for e in packet.evidence}, dict[str, Demonstration]()
    for one in solved(packet.examples):
        if _key(one.plain) not in gated and usable(one, names):
            found.setdefault(_key(one.plain), one)
    return list(found.values())


def checked(text: str, name: str, packet: Packet) -> str:
    """The component's canonical text. Raises ValueError if it shows anything but known examples.

    Known are the parent's demonstrations, and outcomes outside the minibatch: the expected answer, or an
    output that passed.
    """
    own = load(packet.parent.components[name])
    known = {(one.plain, one.output): one for one in own}
    expected = (
        Demonstration(e.input, e.expected, e.example) for e in packet.examples if e.expected and e.input
    )
    names = {hole for pattern in _patterns(packet) for hole in placeholders(pattern)}
    gated = {_key(e.input) for e in packet.evidence}
    for one in (*solved(packet.examples), *expected):
        if _key(one.plain) not in gated and usable(one, names):
            known.setdefault((one.plain, one.output), one)
    shown = load(text)
    for number, one in enumerate(shown, 1):
        if (one.plain, one.output) not in known:
            raise ValueError(f"demonstration {number} is no solved example that may be shown")
    if len({_key(one.plain) for one in shown}) < len(shown):
        raise ValueError("an example is shown twice")
    if len(shown) > max(MOST_SHOWN, len(own)):
        raise ValueError(f"{len(shown)} demonstrations; at most {max(MOST_SHOWN, len(own))} are shown")
    return dump(known[one.plain, one.output] for one in shown)


def _patterns(packet: Packet) -> Iterator[str]:
    return (
        text for name, text in packet.parent.components.items() if not is_demonstrations(packet.surface, name)
    )


def _key(text: str) -> str:
    return " ".join(text.split())


# -- for a model, by number -----------------------------------------------------------------------


def offered(packet: Packet, name: str) -> list[Demonstration]:
    """What a model may choose from for this component: those shown now, then some others.

    They are drawn by the packet's stream, of different answers where there are any.
    """
    own = load(packet.parent.components[name])
    shown = {_key(one.plain) for one in own}
    others = [
        one
        for one in may_join(packet)
        if _key(one.plain) not in shown and len(one.plain) + len(one.output) <= LONGEST_OFFERED
    ]
    stream(0, "offered", packet.draw).shuffle(others)
    return [*own, *_by_turns(others)[:MOST_OFFERED]]


def _by_turns(demonstrations: Sequence[Demonstration]) -> list[Demonstration]:
    """One of each answer, then a second of each, and so on."""
    answers = defaultdict[str, list[Demonstration]](list)
    for one in demonstrations:
        answers[one.output].append(one)
    return [one for one in chain.from_iterable(zip_longest(*answers.values())) if one is not None]


def chosen(answer: str, name: str, packet: Packet) -> str:
    """The component's text for a model's list of numbers of `offered`, or of demonstrations in full.

    Raises ValueError for anything else.
    """
    try:
        items = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"a JSON list of numbers was asked for: {error}") from None
    if not isinstance(items, list) or not all(type(item) is int for item in items):
        return dump(load(answer))
    choice = offered(packet, name)
    if strangers := [item for item in items if not 1 <= item <= len(choice)]:
        raise ValueError(f"there is no solved example {strangers[0]}")
    return dump(choice[item - 1] for item in items)
