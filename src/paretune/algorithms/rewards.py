"""Rewards of one candidate in eight bytes each: a pool keeps them of everybody for as long as it lives."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping, Sequence

from paretune.core.example import ExampleId
from paretune.core.rollout import Outcome, Rollout


class Rewards(Mapping[ExampleId, float]):
    """Example -> reward where there is one, in the order of asking.

    `columns` are the examples that were asked for and their places; lines with the same ones share them.
    """

    __slots__ = ("_scored", "_values", "columns")

    def __init__(self, outcomes: Sequence[Outcome], columns: Mapping[ExampleId, int]) -> None:
        """With the columns of another line where they fit."""
        asked = [outcome.example for outcome in outcomes]
        if asked != list(columns):
            columns = {example: place for place, example in enumerate(asked)}
        rewards = [o.reward if isinstance(o, Rollout) else math.nan for o in outcomes]
        self.columns, self._values = columns, array("d", rewards)
        self._scored = len(rewards) - sum(map(math.isnan, rewards))

    def plain(self) -> dict[ExampleId, float]:
        """The same as a dict, which is faster to look up many in."""
        pairs = zip(self.columns, self._values, strict=True)
        return {example: value for example, value in pairs if value == value}

    def __getitem__(self, example: ExampleId) -> float:
        value = self._values[self.columns[example]]
        if math.isnan(value):
            raise KeyError(example)
        return value

    def __iter__(self) -> Iterator[ExampleId]:
        return iter(self.plain())

    def __len__(self) -> int:
        return self._scored
