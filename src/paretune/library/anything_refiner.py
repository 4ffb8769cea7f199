"""Repairs between two evaluations: a model mends a candidate for one example, told how by a component."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from paretune.library.anything_calls import SCORES, SPECIFIC, Evaluated, Pair, Result, Texts
from paretune.library.anything_prompts import repair_prompt
from paretune.library.at_once import at_once

REFINER = "refiner_prompt"
"""The component that says how to repair; candidates have it beside what they are."""

_FENCED = re.compile(r"\A```[a-zA-Z]*\s*\n(.*?)\n?```\Z", re.DOTALL)


@dataclass(slots=True)
class _Course:
    """One pair on its way: the first result, the best so far, and all attempts in words."""

    texts: Texts
    example: Any
    first: Result
    best: Evaluated | None
    attempts: list[dict[str, Any]] = field(default_factory=list)
    calls: int = 1

    @property
    def told(self) -> str:
        """How it says to be repaired."""
        return self.texts[REFINER]

    @property
    def own(self) -> Texts:
        """What is to be repaired: the best so far, without the component that says how."""
        return _own(self.best.texts if self.best else self.texts)

    def note(self, texts: Texts, result: Result) -> None:
        row: dict[str, Any] = {"iteration": len(self.attempts), "candidate": _own(texts)}
        if isinstance(result, Evaluated):
            row |= {"score": result.score, "side_info": result.side_info}
            if self.best is None or result.score > self.best.score:
                self.best = result
        else:
            row["error"] = f"{type(result).__name__}: {result}"
        self.attempts.append(row)

    def end(self) -> Result:
        """The best score and texts, with the side information of the first, and of the repairs for
        `refiner_prompt` alone."""
        if self.best is None:
            return self.first
        first = self.first if isinstance(self.first, Evaluated) else self.best
        specific: dict[str, Any] = {"Attempts": self.attempts}
        named = dict(first.objectives)
        scores = self.best.side_info.get(SCORES)
        if scores:
            specific[SCORES] = dict(scores)
            named |= {f"{REFINER}::{name}": float(score) for name, score in scores.items()}
        side_info = {**first.side_info, REFINER + SPECIFIC: specific}
        return replace(self.best, side_info=side_info, objectives=named, calls=self.calls)


@dataclass(frozen=True, slots=True)
class Refiner:
    """Asks `lm`, at most `most` times for each pair, up to `workers` at once."""

    lm: Callable[[str], str]
    most: int = 1
    workers: int = 1

    def refined(
        self, pairs: Sequence[Pair], results: Sequence[Result]
    ) -> Generator[list[Pair], list[Result], list[Result]]:
        """Yields pairs to be evaluated, is sent their results; returns what `pairs` came to."""
        courses = [
            _Course(texts, example, result, None)
            for (texts, example), result in zip(pairs, results, strict=True)
        ]
        for course in courses:
            course.note(course.texts, course.first)
        for _ in range(self.most):
            mended = self._mended(courses)
            if not mended:
                continue
            again = yield [(texts, course.example) for course, texts in mended]
            for (course, texts), result in zip(mended, again, strict=True):
                course.calls += 1
                course.note(texts, result)
        return [course.end() for course in courses]

    def _mended(self, courses: Sequence[_Course]) -> list[tuple[_Course, Texts]]:
        """New texts, where an answer holds some; what is wrong with the others is noted."""
        prompts = [repair_prompt(course.told, course.own, course.attempts) for course in courses]
        found = []
        for course, answer in zip(courses, at_once(self.lm, prompts, workers=self.workers), strict=True):
            try:
                if isinstance(answer, Exception):
                    raise answer
                found.append((course, {**_read(answer, course.own), REFINER: course.told}))
            except Exception as error:  # noqa: BLE001 - the model's own, or an answer that cannot be read
                wrong = {"iteration": len(course.attempts), "error": f"{type(error).__name__}: {error}"}
                course.attempts.append(wrong)
        return found


def _own(texts: Texts) -> Texts:
    return {name: text for name, text in texts.items() if name != REFINER}


def _read(answer: str, texts: Texts) -> Texts:
    """`texts` with what the answer says of them. Raises ValueError."""
    stripped = answer.strip()
    fenced = _FENCED.match(stripped)
    given = json.loads(fenced[1] if fenced else stripped)
    if not isinstance(given, dict):
        raise ValueError(f"the answer is no JSON object but a {type(given).__name__}")
    strangers = [name for name in given if name not in texts]
    if strangers:
        raise ValueError(f"the candidate has no {strangers[0]!r}, only {', '.join(texts)}")
    if wrong := [name for name, text in given.items() if not isinstance(text, str)]:
        raise ValueError(f"{wrong[0]!r} is no string")
    return {**texts, **given}
