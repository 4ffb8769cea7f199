"""Demonstration sets: drawn from rollouts that qualified and from expected answers."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal

from paretune.algorithms.mipro.settings import Bootstrap
from paretune.core.canonical import JsonValue
from paretune.core.demonstrations import Demonstration, usable
from paretune.core.rollout import Outcome, Rollout

LONGEST = 4_000
"""Characters of what is given or answered, beyond which an example is not shown."""

SHORT = 4
"""One of so many sets has a random length; the others are as long as they may be, which mostly helps."""


def qualified(
    outcomes: Iterable[Outcome], threshold: float, stage: str, names: Collection[str]
) -> list[Demonstration]:
    """Rollouts with a reward from `threshold` on, with what the model itself answered.

    In a program of several stages, what `stage` was given and answered stands in the rollout's trace, as
    `stages` -> name -> `input` and `output`. `names` are the prompt's placeholders.
    """
    good = (o for o in outcomes if isinstance(o, Rollout) and o.reward >= threshold)
    return [one for rollout in good for one in _shown(rollout, stage, "bootstrapped") if usable(one, names)]


def labelled(outcomes: Iterable[Outcome], stage: str, names: Collection[str]) -> list[Demonstration]:
    """Examples with the answer that was expected; none of a stage within a program, whose answers nobody
    expects."""
    if stage:
        return []
    known = (o for o in outcomes if isinstance(o, Rollout))
    return [one for rollout in known for one in _shown(rollout, "", "labelled") if usable(one, names)]


def _shown(
    rollout: Rollout, stage: str, source: Literal["bootstrapped", "labelled"]
) -> Iterator[Demonstration]:
    answer = rollout.answer
    if source == "labelled":
        given, output = answer.input, answer.expected
    elif stage:
        given, output = _of_stage(answer.trace, stage)
    else:
        given, output = answer.input, answer.output
    if given.strip() and output.strip() and len(given) <= LONGEST >= len(output):
        yield Demonstration(given, output.strip(), rollout.example, source)


def _of_stage(trace: JsonValue, stage: str) -> tuple[str, str]:
    stages = trace.get("stages") if isinstance(trace, Mapping) else None
    told = stages.get(stage) if isinstance(stages, Mapping) else None
    if not isinstance(told, Mapping):
        return "", ""
    return str(told.get("input") or ""), str(told.get("output") or "")


def demonstration_sets(
    own: Sequence[Demonstration],
    expected: Sequence[Demonstration],
    settings: Bootstrap,
    count: int,
    rng: random.Random,
) -> list[tuple[Demonstration, ...]]:
    """At most `count` different sets that are not empty.

    The first shows expected answers only, the second begins with as many of the model's `own` as fit; all
    others begin with a random number of these. Expected answers fill them up, but every `SHORT`th set has a
    random length, so that short ones are tried beside long ones.
    """
    sets: list[tuple[Demonstration, ...]] = []
    for number in range(4 * count):  # some draws repeat others
        if len(sets) == count:
            break
        if number == 0:
            drawn = _filled((), expected, settings.labelled, rng)
        elif number == 1:
            drawn = _filled(_some(own, settings.bootstrapped, rng), expected, settings.labelled, rng)
        else:
            least = min(1, len(own), settings.bootstrapped)
            mine = _some(own, rng.randint(least, settings.bootstrapped), rng)
            most = settings.labelled if number % SHORT else rng.randint(1, max(settings.labelled, 1))
            drawn = _filled(mine if number % SHORT else mine[:most], expected, most, rng)
        if drawn and drawn not in sets:
            sets.append(drawn)
    return sets


def _some(demonstrations: Sequence[Demonstration], most: int, rng: random.Random) -> Sequence[Demonstration]:
    return rng.sample(demonstrations, min(most, len(demonstrations)))


def _filled(
    shown: Sequence[Demonstration], expected: Sequence[Demonstration], most: int, rng: random.Random
) -> tuple[Demonstration, ...]:
    """With expected answers of other examples, up to so many in all."""
    taken = {one.example for one in shown}
    others = [one for one in expected if one.example not in taken]
    return (*shown, *_some(others, max(0, most - len(shown)), rng))
