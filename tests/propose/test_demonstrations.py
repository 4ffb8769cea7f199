"""Demonstrations as a component: what proposers do with it, and what the guards let in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from paretune.core.candidate import Candidate
from paretune.core.demonstrations import Demonstration, dump, load
from paretune.core.rollout import Usage
from paretune.llm.chat import Completion
from paretune.propose.base import Evidence, Packet, Proposal, Surface
from paretune.propose.demonstrations import MOST_OFFERED, MOST_SHOWN, offered
from paretune.propose.guards import Reason, Rejected, check
from paretune.propose.operators import OperatorProposer
from paretune.propose.packet_text import render
from paretune.propose.reflect import ReflectiveProposer

SURFACE = Surface(
    {"system": (), "user": ("query",)},
    {"system": "system", "user": "user"},
    formats={"demonstrations": "demonstrations"},
)
QUESTION = "Where does the ferry number {} to the northern islands leave from tomorrow morning?"
GATED = tuple(Evidence(f"g{n}", 0.0, False, QUESTION.format(n), "No idea.", f"quay {n}") for n in range(3))
FURTHER = tuple(
    Evidence(f"f{n}", float(n % 2), n % 2 == 1, QUESTION.format(10 + n), f"Quay {n}.", f"quay {n % 3}")
    for n in range(9)
)
OWN = Demonstration("An older one?", "quay 7", "f99")


def packet(
    shown: Sequence[Demonstration] = (), targets: Sequence[str] = ("demonstrations",), **changes: Any
) -> Packet:
    parent = {"system": "Help travellers.", "user": "Q: {query}", "demonstrations": dump(shown)}
    known = Packet(Candidate(parent), tuple(targets), GATED, SURFACE, examples=FURTHER, draw="0/1")
    return replace(known, **changes)


def let_in(*shown: Demonstration, of: Packet | None = None) -> str:
    proposal = Proposal({"demonstrations": dump(shown)}, usage=Usage(5))
    return check(proposal, of or packet(), training=[*GATED, *FURTHER])["demonstrations"]


def one(evidence: Evidence, output: str = "") -> Demonstration:
    return Demonstration(evidence.input, output or evidence.expected)


# -- guards ---------------------------------------------------------------------------------------


def test_examples_outside_the_minibatch_may_be_shown_word_for_word() -> None:
    text = let_in(one(FURTHER[0]), one(FURTHER[1], FURTHER[1].output), one(FURTHER[1 + 2]))
    assert [(d.example, d.output) for d in load(text)] == [
        ("f0", "quay 0"),
        ("f1", "Quay 1."),
        ("f3", "quay 0"),
    ]
    spaced = Proposal({"demonstrations": json.dumps(json.loads(text))})
    assert check(spaced, packet())["demonstrations"] == text, "one text for one list"
    assert let_in(of=packet([OWN])) == "[]"
    assert let_in(OWN, one(FURTHER[0]), of=packet([OWN]))


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        ([one(GATED[0])], "no solved example"),
        ([Demonstration(GATED[0].input + " ", "quay 0")], "no solved example"),
        ([one(FURTHER[0], "quay 9")], "no solved example"),
        ([one(FURTHER[0], FURTHER[0].output)], "no solved example"),  # it failed
        ([Demonstration("Invented?", "quay 1")], "no solved example"),
        ([one(FURTHER[0]), one(FURTHER[0])], "twice"),
        ([one(FURTHER[1]), one(FURTHER[1], FURTHER[1].output)], "twice"),
    ],
)
def test_anything_else_is_turned_down(shown: list[Demonstration], why: str) -> None:
    with pytest.raises(Rejected, match=why) as rejection:
        let_in(*shown)
    assert (rejection.value.reason, rejection.value.usage) == (Reason.BAD_DEMONSTRATIONS, Usage(5))


@pytest.mark.parametrize("text", ["Input: a", "{}", '[{"input": "a"}]'])
def test_what_is_no_list_is_turned_down(text: str) -> None:
    with pytest.raises(Rejected, match="component 'demonstrations'"):
        check(Proposal({"demonstrations": text}), packet())


def test_there_are_not_too_many() -> None:
    many = [Evidence(f"m{n}", 0.0, False, f"question {n}", "", "x") for n in range(MOST_SHOWN + 1)]
    with pytest.raises(Rejected, match="at most 8"):
        let_in(*map(one, many), of=packet(examples=tuple(many)))
    assert let_in(*map(one, many[:-1]), of=packet(examples=tuple(many)))


def test_what_a_container_would_fill_again_is_not_shown() -> None:
    caught = Evidence("x", 0.0, False, "Say {query}!", "", "quay 1")
    with pytest.raises(Rejected, match="no solved example"):
        let_in(one(caught), of=packet(examples=(caught,)))


def test_an_instruction_may_not_quote_what_is_shown() -> None:
    told = packet([one(FURTHER[0])], targets=("system",))
    with pytest.raises(Rejected) as rejection:
        check(Proposal({"system": f"Help. {FURTHER[0].input}"}), told, training=FURTHER)
    assert rejection.value.reason is Reason.COPIED_TRAINING_TEXT


# -- the operators --------------------------------------------------------------------------------


def edited(shown: Sequence[Demonstration], targets: Sequence[str], draw: int) -> Mapping[str, str]:
    told = packet(shown, targets, draw=f"0/{draw}")
    proposal = asyncio.run(OperatorProposer().propose(told))
    check(proposal, told, training=[*GATED, *FURTHER])
    return proposal.components


def test_operators_add_swap_drop_and_turn_what_is_shown() -> None:
    kinds = set()
    now = (one(FURTHER[0]), one(FURTHER[4]), one(FURTHER[8]))
    for draw in range(40):
        components = edited(now, ["demonstrations"], draw)
        assert set(components) == {"demonstrations"}
        new = [d.plain for d in load(components["demonstrations"])]
        old = [d.plain for d in now]
        if sorted(new) == sorted(old):
            kinds.add("turned")
        else:
            kinds.add("added" if len(new) > 3 else "dropped" if set(new) < set(old) else "swapped")
    assert kinds == {"turned", "added", "dropped", "swapped"}


def test_operators_put_examples_where_they_belong() -> None:
    found = [edited((), ["system", "user", "demonstrations"], draw) for draw in range(40)]
    assert any("demonstrations" in texts and len(texts) > 1 for texts in found), "both at once"
    for texts in found:
        prose = [text for name, text in texts.items() if name != "demonstrations"]
        assert not any("ferry number" in text for text in prose)


# -- the reflective proposer ----------------------------------------------------------------------


@dataclass
class Scripted:
    says: str
    asked: list[Sequence[Mapping[str, str]]] = field(default_factory=list)
    identity: str = "scripted"

    async def complete(self, messages: Sequence[Mapping[str, str]]) -> Completion:
        self.asked.append(messages)
        return Completion(self.says, "stop", Usage(9))


def answered(says: str, of: Packet) -> Proposal:
    return asyncio.run(ReflectiveProposer(Scripted(f"Why.\n```demonstrations\n{says}\n```")).propose(of))


def test_a_model_chooses_by_number_from_what_it_is_shown() -> None:
    told = packet([OWN])
    choice = offered(told, "demonstrations")
    assert choice[0] == OWN
    assert {d.example for d in choice[1:]} == {e.example for e in FURTHER}
    assert len({d.output for d in choice[1:7]}) >= 5, "different answers first"
    prompt = render(told)[1]["content"]
    assert "```demonstrations\n[1]\n```" in prompt
    for number, shown in enumerate(choice, 1):
        assert f"## Example {number}\n\nInput:\n\n```\n{shown.plain}\n```" in prompt
    texts = answered("[3, 1]", told).components
    assert load(texts["demonstrations"]) == (choice[2], OWN)
    assert check(Proposal(texts), told, training=FURTHER) == {**told.parent.components, **texts}
    assert answered("[]", told).components == {"demonstrations": "[]"}
    assert answered(dump([OWN]), told).components == {"demonstrations": dump([OWN])}


@pytest.mark.parametrize("says", ["[0]", "[99]", "3, 1", '["f1"]', "[true]", "(the list of numbers)"])
def test_a_choice_that_is_none_is_turned_down(says: str) -> None:
    with pytest.raises(Rejected) as rejection:
        answered(says, packet())
    assert (rejection.value.reason, rejection.value.usage) == (Reason.BAD_DEMONSTRATIONS, Usage(9))


def test_the_offer_is_short_and_other_packets_are_as_they_were() -> None:
    many = tuple(Evidence(f"m{n}", 0.0, False, f"question {n}", "", "x") for n in range(50))
    long = Evidence("long", 0.0, False, "q" * 5_000, "", "x")
    assert len(offered(packet(examples=many), "demonstrations")) == MOST_OFFERED
    assert offered(packet(examples=(long,)), "demonstrations") == []
    prompt = render(packet(targets=("system",)))[1]["content"]
    assert "Solved examples" not in prompt
    assert "list of numbers" not in prompt
