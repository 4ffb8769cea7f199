"""What speaks against a run's result: too few examples, noise, leaks, and what happened to the text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from paretune.core.canonical import JsonValue
from paretune.core.example import ExampleId
from paretune.propose.copies import TrainingTexts
from paretune.propose.guards import estimated_tokens, placeholders
from paretune.views.conversation import demonstrations, formats_of
from paretune.views.lift import Lift, lift_on, noise
from paretune.views.run_view import Row, RunView

POWERED = 1.959964 + 0.841621
"""Normal quantiles of a two-sided test at 5 % that finds a true difference in 80 % of all cases."""
GROWN = 3.0
"""A text so many times as long as the seed's is worth a word."""
SURE = 20
"""Of fewer pairs the deviation is not known well enough to say how many more it takes."""
NAMED = 5
"""So many examples are named, the rest counted."""


@dataclass(frozen=True, slots=True)
class Warned:
    """`kind` names the check. `serious`: the result should not be claimed before this is settled."""

    kind: str
    text: str
    serious: bool = False


def warnings(view: RunView) -> list[Warned]:
    """All that is known against the result; serious ones first. Empty before there is a best candidate."""
    best = view.best
    if best is None:
        return []
    found = [*_about_figures(view, best), *_about_examples(view), *_about_texts(view, best)]
    return sorted(found, key=lambda warned: not warned.serious)


def checked(view: RunView) -> list[str]:
    """What could be checked, as it reads where there is no warning about it. Empty where the seed is best:
    then there is nothing to judge."""
    best = view.best
    if best is None or best.id == view.seed.id:
        return []
    found, inputs = [], _inputs(view)
    if lift_on(view, best, "best", "test"):
        found.append("enough held-out examples for the difference")
        if noise(view):
            found.append("the difference is above the noise")
    if any(example in inputs for example in view.splits["test"]):
        found.append("no held-out example among the training ones")
    if any(view.run.job.get("surface", {}).get("placeholders", {}).values()):
        found.append("placeholders kept")
    if _texts(view):
        found.append("nothing copied")
    return [*found, "no long growth of the text"]


def needed(differences: Iterable[float]) -> int | None:
    """Pairs that a test at 5 % needs to find a difference like this one in 80 % of all cases.

    None where the mean difference is 0, for which there is no such number.
    """
    values = np.fromiter(differences, float)
    mean = float(values.mean()) if values.size else 0.0
    if abs(mean) < 1e-12:
        return None
    deviation = float(values.std(ddof=1)) if values.size > 1 else 1.0
    return max(2, math.ceil((POWERED * deviation / mean) ** 2))


# -- figures ------------------------------------------------------------------------------------------


def _about_figures(view: RunView, best: Row) -> Iterator[Warned]:
    if not view.splits["test"]:
        yield Warned("no_test", "Nothing is held out: no figure of this run is untouched by a choice.", True)
    lift = lift_on(view, best, "best", "test")
    if lift is None:
        if view.splits["test"] and view.run.status == "succeeded" and best.id != view.seed.id:
            yield Warned(
                "no_test", "Seed and best share no scored held-out example: nothing can be claimed.", True
            )
        return
    if best.id == view.seed.id:
        return
    yield from _too_few(view, best, lift)
    yield from _noisy(view, lift)
    if lift.missing:
        of = len(view.splits["test"])
        text = f"{lift.missing} of {of} held-out examples have no pair of scores; the figures leave them out."
        yield Warned("missing", text, lift.missing > of / 10)


def _too_few(view: RunView, best: Row, lift: Lift) -> Iterator[Warned]:
    difference, comparison = lift.comparison.difference, lift.comparison
    before, after = view.rewards(view.seed.id, "test"), view.rewards(best.id, "test")
    enough = needed(after[e] - before[e] for e in before if e in after)
    if comparison.is_gain:
        return
    if comparison.gained == comparison.lost == 0:
        text = f"Not one of {difference.n} held-out examples changed: on them, best and seed are the same."
        yield Warned("too_few", text, True)
    elif enough is None or enough <= difference.n:
        figures = f"{difference.mean:+.3f}, p {comparison.p_value:.2g}"
        text = f"{difference.n} held-out examples show no certain gain ({figures})."
        yield Warned("too_few", text, True)
    else:
        about = "about" if difference.n >= SURE else "at least"
        text = (
            f"{difference.n} held-out examples cannot tell {difference.mean:+.3f} from chance "
            f"(p {comparison.p_value:.2g}): {about} {enough} would be needed, if the difference is real "
            "(80 % power at 5 %)."
        )
        yield Warned("too_few", text, True)


def _noisy(view: RunView, lift: Lift) -> Iterator[Warned]:
    floor, n = noise(view), lift.comparison.difference.n
    if floor and abs(lift.comparison.difference.mean) < floor.resolvable(n):
        text = (
            f"The difference {lift.comparison.difference.mean:+.3f} is within the noise floor: repeating the "
            f"same prompt changed {floor.flips:.0%} of {floor.pairs} rewards, so {n} examples resolve "
            f"{floor.resolvable(n):.3f} at best."
        )
        yield Warned("noise_floor", text, True)


# -- examples -----------------------------------------------------------------------------------------


def _about_examples(view: RunView) -> Iterator[Warned]:
    test = view.splits["test"]
    if not test:
        return
    inputs = _inputs(view)
    if not any(example in inputs for example in test):
        if not any((row.id, example, 0) in view.rollouts for row in _told(view) for example in test):
            return  # nobody has asked: what the task reveals shows in the closing evaluation
        text = "The task reveals no inputs: whether held-out examples repeat training ones is not known."
        yield Warned("leakage_unknown", text)
        return
    leaks = leaked(view, inputs)
    if leaks:
        pairs = ", ".join(f"{example} is {twin}" for example, twin in list(leaks.items())[:NAMED])
        more = f", and {len(leaks) - NAMED} more" if len(leaks) > NAMED else ""
        told = f"{len(leaks)} of {len(test)} held-out examples"
        text = f"{told} are training examples too, by text: {pairs}{more}."
        yield Warned("leakage", text, True)


def leaked(view: RunView, inputs: Mapping[ExampleId, str] | None = None) -> dict[ExampleId, ExampleId]:
    """Test example -> an example of another split with the same input, case and spaces aside."""
    inputs = _inputs(view) if inputs is None else inputs
    seen: dict[str, ExampleId] = {}
    for split in ("reflect", "pareto", "select"):
        for example in view.splits[split]:
            if example in inputs:
                seen.setdefault(inputs[example], example)
    return {e: seen[inputs[e]] for e in view.splits["test"] if inputs.get(e) in seen}


def _inputs(view: RunView) -> dict[ExampleId, str]:
    """Example -> its input in plain words, as the task shows it, or from what the seed was asked."""
    found = {example: _plain(texts[0]) for example, texts in _texts(view).items() if texts[0].strip()}
    seed = view.seed.id
    for example in dict.fromkeys(e for split in view.splits.values() for e in split):
        rollout = None if example in found else view.rollouts.get((seed, example, 0))
        asked = _plain(_asked(rollout.answer.trace)) if rollout else ""
        if asked:
            found[example] = asked
    return found


def _asked(trace: JsonValue) -> str:
    """The users' messages of a trace's first call: with equal prompts they differ as the inputs do."""
    history = trace.get("event_history") if isinstance(trace, dict) else None
    first = history[0] if isinstance(history, list) and history else None
    request = first.get("llm_request") if isinstance(first, dict) else None
    messages = request.get("messages") if isinstance(request, dict) else None
    said = [m.get("content") for m in messages or [] if isinstance(m, dict) and m.get("role") == "user"]
    return "\n".join(text for text in said if isinstance(text, str))


def _texts(view: RunView) -> dict[ExampleId, tuple[str, str]]:
    """Example -> input and expected answer, from the rollouts of seed and best."""
    found: dict[ExampleId, tuple[str, str]] = {}
    who = [row.id for row in _told(view)]
    for example in dict.fromkeys(e for split in view.splits.values() for e in split):
        rollouts = (view.rollouts.get((candidate, example, 0)) for candidate in who)
        answer = next((r.answer for r in rollouts if r and (r.answer.input or r.answer.expected)), None)
        if answer:
            found[example] = answer.input, answer.expected
    return found


def _told(view: RunView) -> list[Row]:
    """Those whose rollouts have their texts."""
    return [view.seed, *([view.best] if view.best else [])]


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


# -- texts --------------------------------------------------------------------------------------------


def _about_texts(view: RunView, best: Row) -> Iterator[Warned]:
    required = view.run.job.get("surface", {}).get("placeholders", {})
    for name, text in best.components.items():
        lost = [hole for hole in required.get(name, ()) if hole not in placeholders(text)]
        if lost:
            holes = ", ".join("{" + hole + "}" for hole in lost)
            yield Warned(
                "placeholder_lost", f"The best text of {name} lost {holes}, which the task fills in.", True
            )
    yield from _copied(view, best)
    before, after = (sum(map(estimated_tokens, row.components.values())) for row in (view.seed, best))
    if before and after > GROWN * before:
        text = (
            f"The best text is {after / before:.1f} times as long as the seed (about {after} tokens, before "
            f"{before}); every call pays for it."
        )
        yield Warned("grown", text)


def _copied(view: RunView, best: Row) -> Iterator[Warned]:
    if best.id == view.seed.id:
        return
    texts, surface = _texts(view), view.run.job.get("surface", {})
    prose = tuple(text for name, text in best.components.items() if name not in formats_of(surface))
    lists = demonstrations(best.components, surface).values()
    shown_texts = tuple(text for shown in lists for one in shown for text in one.texts())
    for splits, serious, said, new in (
        (("test",), True, "a held-out example", prose + shown_texts),
        (("reflect", "pareto", "select"), False, "a training example", prose),  # demonstrations are meant
    ):
        known = tuple((e, *texts[e]) for split in splits for e in view.splits[split] if e in texts)
        copy = _copy(known, new, tuple(view.seed.components.values()))
        if copy:
            shown = copy if len(copy) <= 120 else copy[:120] + "..."
            yield Warned("copied", f"The best text says word for word what {said} says: {shown!r}.", serious)


@lru_cache(maxsize=16)  # the page of a live run is asked for again and again
def _copy(
    known: tuple[tuple[str, str, str], ...], new: tuple[str, ...], allowed: tuple[str, ...]
) -> str | None:
    texts = TrainingTexts()
    for example, shown, expected in known:
        texts.add(example, shown, expected)
    return texts.copied(new, allowed)
