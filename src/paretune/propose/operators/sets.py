"""Edits of demonstrations that have a component of their own."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from paretune.core.demonstrations import Demonstration, dump, load
from paretune.propose.base import Packet
from paretune.propose.demonstrations import is_demonstrations, may_join

MOST, LONGEST, HANDFUL = 6, 400, 24


@dataclass(frozen=True, slots=True)
class DemonstrationSet:
    """The demonstrations of a component, in the order in which they are shown."""

    shown: tuple[Demonstration, ...]

    def render(self) -> str:
        """The component's text."""
        return dump(self.shown)


@dataclass(frozen=True, slots=True)
class Sets:
    """The sets that may be edited, and the solved examples that may join them. `elsewhere`: the prompt has
    a component for demonstrations, and none is written into its prose."""

    sets: Mapping[str, DemonstrationSet]
    others: tuple[Demonstration, ...] = ()
    elsewhere: bool = False


NO_SETS = Sets({})


def read_sets(packet: Packet) -> Sets:
    """The components of the packet that are demonstrations."""
    names = [name for name in packet.parent.components if is_demonstrations(packet.surface, name)]
    texts = {name: packet.parent.components[name] for name in names if name in packet.targets}
    sets = {name: DemonstrationSet(load(text)) for name, text in texts.items()}
    short = (one for one in may_join(packet) if len(one.plain) <= LONGEST) if sets else ()
    return Sets(sets, tuple(short), bool(names))


def show(sets: Sets, rng: random.Random) -> Iterator[tuple[str, DemonstrationSet, str]]:
    """Show some examples at once, one more, others, fewer, in another order: (component, set, why)."""
    for name, old in sets.sets.items():
        shown = old.shown
        fresh = _varied(sets.others, shown, rng)
        for count in (1, 2, 4):
            if count <= min(MOST - len(shown), len(fresh)):
                more = DemonstrationSet((*shown, *fresh[:count]))
                yield name, more, f"shows {count} further solved examples"
        if shown and fresh:
            place = rng.randrange(len(shown))
            swapped = (*shown[:place], fresh[0], *shown[place + 1 :])
            yield name, DemonstrationSet(swapped), "swaps a solved example"
        if shown:
            place = rng.randrange(len(shown))
            fewer = (*shown[:place], *shown[place + 1 :])
            yield name, DemonstrationSet(fewer), "shows one solved example less"
        if len(shown) > 1:
            place = rng.randrange(1, len(shown))
            turned = (*shown[place:], *shown[:place])
            yield name, DemonstrationSet(turned), "turns the list of solved examples"


def _varied(
    others: tuple[Demonstration, ...], shown: tuple[Demonstration, ...], rng: random.Random
) -> list[Demonstration]:
    """Some that are not shown yet, each as unlike those before it as a random handful allows.

    Those with a new answer come first, then those with the smallest share of words in common with any shown.
    """
    inputs = {one.plain for one in shown}
    left = [one for one in others if one.plain not in inputs]
    left = rng.sample(left, min(len(left), HANDFUL))
    alike = {one: max((_likeness(one, other) for other in shown), default=(False, 0.0)) for one in left}
    varied: list[Demonstration] = []
    while left and len(varied) < MOST:
        next_one = min(left, key=alike.__getitem__)
        left.remove(next_one)
        varied.append(next_one)
        alike |= {one: max(alike[one], _likeness(one, next_one)) for one in left}
    return varied


def _likeness(one: Demonstration, other: Demonstration) -> tuple[bool, float]:
    words, others = set(one.plain.casefold().split()), set(other.plain.casefold().split())
    return one.output == other.output, len(words & others) / max(1, len(words | others))
