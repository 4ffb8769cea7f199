"""Judge calls of a run: the scores of each question, and of those that were asked twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from paretune.store.base import Fact


class Scores(NamedTuple):
    """Of one judge call."""

    events: float | None
    outcome: float | None


@dataclass(slots=True)
class Repeats:
    """Verdicts that were asked once and, some of them, once more. `calls` counts all."""

    calls: int = 0
    _first: dict[str, Scores] = field(default_factory=dict)
    _again: dict[str, Scores] = field(default_factory=dict)

    def add(self, fact: Fact) -> None:
        """A fact of kind `verdict`."""
        body = fact.body
        self.calls += 1
        kept = self._first if body["of"] == fact.key else self._again
        kept[body["of"]] = Scores(body["events"], body["outcome"])

    def pairs(self, part: str) -> list[tuple[float, float]]:
        """Both scores of those that were asked twice."""
        found = []
        for key, again in self._again.items():
            first = self._first.get(key)
            one, other = (getattr(scores, part) for scores in (first, again))
            if one is not None and other is not None:
                found.append((one, other))
        return found

    def copy(self) -> Repeats:
        """As they are now, for who reads while more are added."""
        return Repeats(self.calls, self._first.copy(), self._again.copy())
