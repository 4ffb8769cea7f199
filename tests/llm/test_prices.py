from __future__ import annotations

import pytest

from paretune.core.rollout import Usage
from paretune.llm.efforts import EFFORTS
from paretune.llm.prices import Price, cost, price_of

MILLION = Usage(1_000_000, 1_000_000)


@pytest.mark.parametrize(
    ("model", "usd"),
    [
        ("gpt-4o", 12.50),
        ("gpt-4o-2024-08-06", 12.50),
        ("gpt-4o-mini", 0.75),
        ("openai/gpt-4o-mini", 0.75),
        ("openai/gpt-oss-120b", 0.75),
        ("meta-llama/llama-3.1-8b-instruct", 0.13),
        ("meta-llama/Llama-3.1-8B-Instruct", 0.13),
        ("gpt-5.4-mini", 5.25),
        ("smollm2-135m-instruct", 0.0),
        ("gpt-4o-audio-preview", None),
        ("somebody's-own", None),
    ],
)
def test_cost(model: str, usd: float | None) -> None:
    assert cost(model, MILLION) == (None if usd is None else pytest.approx(usd))


def test_a_table_of_ones_own() -> None:
    assert cost("own", MILLION, {"own": Price(1.0, 2.0)}) == 3.0


def test_every_model_of_the_effort_table_has_a_price() -> None:
    assert all(price_of(row.model) for row in EFFORTS.values())
