"""What tokens cost, where the list price is known.

The table holds list prices as of writing, without discounts for cached or batched input; open-weight
models at the price of the host that `efforts` names, so that another host's bill differs. A `Price` of
your own always goes first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from paretune.core.rollout import Usage


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens, read (`prompt`) and written (`completion`)."""

    prompt: float
    completion: float

    def of(self, usage: Usage) -> float:
        """USD for these tokens."""
        return (usage.prompt_tokens * self.prompt + usage.completion_tokens * self.completion) / 1e6


PRICES: Mapping[str, Price] = MappingProxyType(
    {
        "gpt-4o": Price(2.50, 10.00),
        "gpt-4o-mini": Price(0.15, 0.60),
        "gpt-4.1": Price(2.00, 8.00),
        "gpt-4.1-mini": Price(0.40, 1.60),
        "gpt-4.1-nano": Price(0.10, 0.40),
        "gpt-5": Price(1.25, 10.00),
        "gpt-5-mini": Price(0.25, 2.00),
        "gpt-5-nano": Price(0.05, 0.40),
        "gpt-5.1": Price(1.25, 10.00),
        "gpt-5.4": Price(2.50, 15.00),
        "gpt-5.4-mini": Price(0.75, 4.50),
        "gpt-5.4-nano": Price(0.20, 1.25),
        "gpt-oss-20b": Price(0.075, 0.30),
        "gpt-oss-120b": Price(0.15, 0.60),
        "llama-3.1-8b-instant": Price(0.05, 0.08),
        "llama-3.1-8b-instruct": Price(0.05, 0.08),
        "smollm2-135m-instruct": Price(0.0, 0.0),
    }
)
"""Model name, without vendor and date, to its price. The embedded model costs nothing."""

_DATE = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8})$")


def price_of(model: str, table: Mapping[str, Price] = PRICES) -> Price | None:
    """The price of a model: by its full name, else without `vendor/` in front and a date behind."""
    if model in table:
        return table[model]
    return table.get(_DATE.sub("", model.rpartition("/")[2].lower()))


def cost(model: str, usage: Usage, table: Mapping[str, Price] = PRICES) -> float | None:
    """USD of these tokens on this model; None when nobody knows its price."""
    price = price_of(model, table)
    return None if price is None else price.of(usage)
