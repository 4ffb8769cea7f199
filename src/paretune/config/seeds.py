"""Seeds: lists, or compact ranges."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, model_validator

from paretune.config.base import Section, suggestion

MOST_SEEDS = 100_000
"""In one range: a few characters must not fill the memory."""


class SeedRange(Section):
    """`{start = 0, end = 50}`: 0 to 49; `step` as in `range`."""

    start: int
    end: int
    step: int = 1

    @model_validator(mode="after")
    def _is_a_range(self) -> SeedRange:
        if self.step == 0:
            raise ValueError("the step of a range must not be zero")
        if abs(self.end - self.start) // abs(self.step) > MOST_SEEDS:
            raise ValueError(f"a range holds at most {MOST_SEEDS} seeds")
        return self

    def to_list(self) -> list[int]:
        """The integers of the range."""
        return list(range(self.start, self.end, self.step))


def parse_seeds(value: Any) -> Any:
    """A range as the list it stands for. Raises ValueError for what is neither."""
    if isinstance(value, SeedRange):
        return value.to_list()
    if isinstance(value, dict):
        if not {"start", "end"} <= value.keys():
            raise ValueError("a range needs 'start' and 'end', as in {start = 0, end = 50}")
        for key in value.keys() - SeedRange.model_fields.keys():
            raise ValueError(f"unknown key {key!r}" + suggestion(key, SeedRange))
        return SeedRange.model_validate(value).to_list()
    if not isinstance(value, list):
        raise ValueError(f"seeds are a list or a range {{start, end}}, not {type(value).__name__}")
    return value


def _each_once(seeds: list[int]) -> list[int]:
    twice = sorted(seed for seed, count in Counter(seeds).items() if count > 1)
    if twice:
        raise ValueError(f"seed {twice[0]} is listed twice")
    return seeds


Seeds = Annotated[list[int], BeforeValidator(parse_seeds), AfterValidator(_each_once)]
"""A list of different integers, written out or as a range."""
