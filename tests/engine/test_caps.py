"""Caps that are raised while a run rests."""

from __future__ import annotations

import pytest

from paretune.core.errors import Misconfigured
from paretune.engine.caps import Caps, extend
from support.runs import CASES, carry


def test_a_form_gives_caps_and_leaves_what_is_empty() -> None:
    caps = Caps.from_texts(
        {"max_cost_usd": " 2.5 ", "max_total_tokens": "1000", "max_seconds": "", "other": "x"}
    )
    assert caps == Caps(max_cost_usd=2.5, max_total_tokens=1000)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("max_cost_usd", "-1"),
        ("max_cost_usd", "nan"),
        ("max_cost_usd", "1e999"),
        ("max_total_tokens", "1.5"),
        ("max_total_tokens", "0"),
        ("max_seconds", "<b>"),
    ],
)
def test_what_is_no_cap_is_refused(name: str, text: str) -> None:
    with pytest.raises(Misconfigured, match=name):
        Caps.from_texts({name: text})


async def test_caps_are_put_on_record_unless_they_are_spent() -> None:
    done = await carry(CASES["classic"](3))
    run = done.store.run(done.run_id)
    extend(run, done.store, Caps(max_seconds=9e9))
    assert done.store.run(run.id).job["limits"] == {**run.job["limits"], "seconds": 9e9}
    with pytest.raises(Misconfigured):
        extend(run, done.store, Caps())
