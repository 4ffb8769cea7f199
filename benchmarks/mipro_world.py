# ruff: noqa: E501
"""A scripted task and model for MIPRO: what instruction and demonstrations are worth follows a hidden rule.

A question is a ticket of one of six kinds, to be answered by its kind. The model answers it rightly if what the
prompt is worth for it is more than how hard it is. Known sentences of an instruction are worth something each, so
are known tickets among the demonstrations, and pairs of the two; a demonstration of the question's own kind helps,
one with a wrong answer harms. The rule reads sentences, tickets and answers wherever they stand in the messages,
so that it does not matter how a prompt is put. Everything is a function of the seed.

The same model writes instructions when it is asked for one: a list of texts of the seed, from its beginning.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

TASK = "Sort the ticket: answer with its kind."
KINDS = ("billing", "delivery", "account", "refund", "outage", "feedback")
WORDS = (
    "invoice",
    "parcel",
    "login",
    "money",
    "server",
    "praise",
    "card",
    "courier",
    "password",
    "return",
    "error",
    "idea",
    "late",
    "lost",
    "new",
    "old",
)
HABITS = tuple(
    f"{first} {second}."
    for first in ("Read the ticket twice and", "Before you answer,", "Above all,", "In case of doubt,")
    for second in (
        "look for the product",
        "weigh the last sentence most",
        "ignore greetings",
        "think of what the sender wants done",
        "name the kind in lower case",
        "compare it with the other kinds",
    )
)
"""Sentences that the rule knows."""
TICKET = re.compile(r"ticket (\d{5})")
FIELD = re.compile(r"\[\[ ## (\w+) ## \]\]")

TRAIN, VALIDATION, TEST = 0, 20_000, 40_000
"""Tickets of a split are numbered from here."""
WRITTEN = 64
BASE, HABIT, CLARITY, PAIR, KIND, WRONG, CELL = -0.7, 0.28, 0.22, 0.2, 0.45, 0.8, 0.7
"""What a prompt without anything is worth; spreads of what habits, tickets and pairs add; what a demonstration of
the same kind adds and a wrong one takes; the spread of a single answer about all that. Tickets' difficulties
have a spread of 1."""

Message = Mapping[str, str]


class Reading(NamedTuple):
    """A prompt as the rule sees it: habits of the instruction, (ticket, answer) of demonstrations, the question."""

    habits: frozenset[str]
    shown: frozenset[tuple[int, str]]
    ticket: int


class Row(NamedTuple):
    """One example."""

    ticket: int
    text: str
    kind: str


@cache
def _row(seed: int, ticket: int) -> Row:
    rng = random.Random(f"{seed}/ticket/{ticket}")
    words = " ".join(rng.sample(WORDS, 5))
    return Row(ticket, f"ticket {ticket:05d}: {words}", rng.choice(KINDS))


@cache
def _fixed(*key: object) -> float:
    """The same draw, kept."""
    return _normal(*key)


def _normal(*key: object) -> float:
    """A draw from the standard normal distribution that belongs to this key."""
    bits = hashlib.sha256(repr(key).encode()).digest()
    return math.sqrt(-2 * math.log((int.from_bytes(bits[:8]) + 1) / (2**64 + 1))) * math.cos(
        2 * math.pi * int.from_bytes(bits[8:16]) / 2**64
    )


@dataclass(slots=True)
class World:
    """One task with its model. `calls` counts tickets that were answered, `written` instructions."""

    seed: int
    calls: int = 0
    written: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def rows(self, first: int, count: int) -> list[Row]:
        return [self.row(first + number) for number in range(count)]

    def row(self, ticket: int) -> Row:
        return _row(self.seed, ticket)

    # -- the model ----------------------------------------------------------------------------------

    def answer(self, messages: Sequence[Message]) -> str:
        """The kind it takes the question for, put as the messages ask for it."""
        with self._lock:
            self.calls += 1
        reading = read(messages)
        kind = self.kind(reading)
        return f"[[ ## label ## ]]\n{kind}\n\n[[ ## completed ## ]]" if _asks_for_fields(messages) else kind

    def kind(self, reading: Reading) -> str:
        right = self.row(reading.ticket).kind
        if self.solves(reading):
            return right
        others = [kind for kind in KINDS if kind != right]
        return others[int(abs(_normal(self.seed, "other", reading.ticket)) * 1e6) % len(others)]

    def solves(self, reading: Reading) -> bool:
        hard = _fixed(self.seed, "hard", reading.ticket)
        cell = _normal(self.seed, "cell", sorted(reading.habits), sorted(reading.shown), reading.ticket)
        return self.worth(reading) + CELL * cell > hard

    def worth(self, reading: Reading) -> float:
        """What the prompt is worth for this question."""
        seed, worth = self.seed, BASE
        kind = self.row(reading.ticket).kind
        right = [ticket for ticket, answer in reading.shown if answer == self.row(ticket).kind]
        for habit in sorted(reading.habits):
            worth += HABIT * _fixed(seed, "habit", habit)
        for ticket in sorted(right):
            worth += 0.12 + CLARITY * _fixed(seed, "clarity", ticket)
            for habit in sorted(reading.habits):
                worth += PAIR * _fixed(seed, "pair", habit, ticket % 7) / 2
        if any(self.row(ticket).kind == kind for ticket in right):
            worth += KIND
        return worth - WRONG * (len(reading.shown) - len(right))

    def score(self, instruction: str, shown: Sequence[tuple[str, str]], rows: Sequence[Row]) -> float:
        """The share of these rows that a prompt gets right; `shown` are texts with answers. Not counted."""
        habits, pairs = _habits(instruction), _pairs(shown)
        return sum(self.solves(Reading(habits, pairs, row.ticket)) for row in rows) / len(rows)

    # -- the writer ---------------------------------------------------------------------------------

    def write(self, messages: Sequence[Message]) -> str:
        """An answer to a request for an instruction, or for anything else that leads to one."""
        wanted = _fields_wanted(messages)
        if wanted and "proposed_instruction" not in wanted:
            told = "\n\n".join(f"[[ ## {name} ## ]]\nTickets and their kinds. COMPLETE" for name in wanted)
            return f"{told}\n\n[[ ## completed ## ]]"
        asked = messages[-1]["content"]
        if not wanted and "# Your answer" in asked and "```" not in asked.rsplit("# Your answer", 1)[1]:
            return "Tickets and their kinds."
        with self._lock:
            number, self.written = self.written, self.written + 1
        text = self.instruction(number)
        if wanted:
            return f"[[ ## proposed_instruction ## ]]\n{text}\n\n[[ ## completed ## ]]"
        tag = re.findall(r"```+(\S+)", asked.rsplit("# Your answer", 1)[1])[0]
        return f"Another wording.\n\n```{tag}\n{text}\n```"

    def instruction(self, number: int) -> str:
        """The text that is written as this one: the task and three habits."""
        rng = random.Random(f"{self.seed}/instruction/{number}")
        return " ".join([TASK, *rng.sample(HABITS, 3)])


def read(messages: Sequence[Message]) -> Reading:
    """What the rule needs of a prompt, in whichever form it is put: demonstrations are turns."""
    system = "\n".join(m["content"] for m in messages if m["role"] == "system")
    turns = [m for m in messages if m["role"] != "system"]
    pairs = [
        (one["content"], other["content"])
        for one, other in itertools.pairwise(turns)
        if one["role"] == "user" and other["role"] == "assistant"
    ]
    found = TICKET.findall(turns[-1]["content"])
    return Reading(_habits(system), _pairs(pairs), int(found[-1]))


def _habits(instruction: str) -> frozenset[str]:
    return frozenset(habit for habit in HABITS if habit in instruction)


def _pairs(shown: Sequence[tuple[str, str]]) -> frozenset[tuple[int, str]]:
    return frozenset(
        (int(found[1]), FIELD.sub("", answer).strip())
        for text, answer in shown
        if (found := TICKET.search(text))
    )


def _asks_for_fields(messages: Sequence[Message]) -> bool:
    return "[[ ## label ## ]]" in messages[0]["content"]


def _fields_wanted(messages: Sequence[Message]) -> list[str]:
    """Names of the output fields that DSPy's adapter asks for, none in a plain request."""
    closing = messages[-1]["content"].rsplit("Respond with the corresponding output fields", 1)
    return [name for name in FIELD.findall(closing[1]) if name != "completed"] if len(closing) > 1 else []
