"""What an instruction is written from, as part of a proposal's key."""

from __future__ import annotations

from dataclasses import replace

import pytest

from paretune.core.candidate import Candidate
from paretune.core.canonical import digest
from paretune.engine.proposals import packet_record
from paretune.propose.base import Evidence, Grounding, Packet, Scored, Surface

BASE = Grounding(
    rows=("one", "two"),
    program="a classifier",
    module="says the label",
    demonstrations=(Evidence("7", 1.0, True, input="in", output="out"),),
    tip="be brief",
    history=(Scored({"text": "Say it."}, 0.5, 20),),
)
CHANGES = [
    {"rows": ("one", "three")},
    {"program": ""},
    {"module": "says more"},
    {"demonstrations": (Evidence("7", 1.0, True, input="in", output="another"),)},
    {"tip": "be long"},
    {"history": (Scored({"text": "Say it."}, 0.5, 25),)},
    {"history": (Scored({"text": "Say it."}, 0.75, 20),)},
]


def packet(grounding: Grounding | None) -> Packet:
    return Packet(Candidate({"text": "Say it."}), ("text",), (), Surface(), grounding=grounding)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_another_grounding_is_another_proposal(change: dict[str, object]) -> None:
    other = replace(BASE, **change)  # type: ignore[arg-type]
    keys = {digest(packet_record(packet(g))) for g in (None, Grounding(), BASE, other)}
    assert len(keys) == 4


def test_without_grounding_the_record_is_as_it_was() -> None:
    assert "grounding" not in packet_record(packet(None))
