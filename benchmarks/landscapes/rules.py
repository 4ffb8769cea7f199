"""Independent lines: a bookkeeping clerk's glossary. What one line says is right or wrong by itself.

A note names one to three words of the trade and a region; the clerk must know the account of each word.

* The clerk knows some words already. The others need a line, with the right account.
* Some words stand on another account in one region: a line for that region goes before the general line. The
  feedback tells region and account but not which of the two it is, and a guess may spoil the other.
* Where two certain words meet, a line must say which one decides.
* Two lines that say different things about the same are worse than none.
* Advice is never needed and misleads on some notes. It comes in with edits.
* A note bears a glossary of so many characters. Some lines come in wordy; wordy lines can be shortened.

Edits of different lines do not disturb each other, save for the length: a union of two edits is nearly always
right. That is what this landscape is for, beside `ordered` and `interacting`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

from benchmarks.landscapes.landscape import (
    Candidate,
    Example,
    Hint,
    Landscape,
    Reflection,
    body,
    show,
    uniform,
)

REGIONS = ("north", "south", "east", "west")
_HEADS = ["bri", "lat", "ost", "mur", "kel", "fen", "gor", "dap", "tiv", "sel", "hob", "nar"]
_TAILS = ["ndle", "cher", "ler", "row", "pin", "wick", "ban", "stow"]
WORDY = " (seen on more than one note, so look for it before anything else)"
ADVICE = (
    "round amounts are mostly fees",
    "the first word of a note is rarely the one that counts",
    "book on the higher account when in doubt",
    "small amounts need no second look",
    "notes with a date are corrections",
    "two words mean two bookings",
)
N_ADVICE = 30
_LINE = re.compile(r"^\* ([^:\n]+): ([^(\n]+?)(?: \(.*\))?$", re.MULTILINE)


@dataclass(frozen=True)
class Note(Example):
    words: tuple[str, ...]
    region: str
    bears: int


@dataclass(frozen=True)
class Line:
    """`key` is what it is about, `value` what it says."""

    key: str
    value: str
    wordy: bool = False

    def __str__(self) -> str:
        return f"* {self.key}: {self.value}{WORDY if self.wordy else ''}"


def general(word: str) -> str:
    return f'"{word}"'


def regional(word: str, region: str) -> str:
    return f'"{word}" in the {region}'


def meeting(one: str, other: str) -> str:
    return '"{}" beside "{}"'.format(*sorted((one, other)))


def read(text: str) -> list[Line]:
    """The lines of a glossary, wherever they stand in the text."""
    return [Line(m[1], m[2], m[0].endswith(")")) for m in _LINE.finditer(text)]


class World(Landscape[Note]):
    n_words = 46
    n_known = 20
    n_regional = 16
    n_meetings = 20
    share_of_meetings = 0.12
    misled = 0.08

    def lay_out(self, rng: random.Random) -> None:
        self.words = rng.sample([head + tail for head in _HEADS for tail in _TAILS], self.n_words)
        self.accounts = {word: rng.randrange(100, 1000) for word in self.words}
        self.known = frozenset(rng.sample(self.words, self.n_known))
        places = [(word, region) for word in self.words for region in REGIONS]
        self.exceptions = {place: rng.randrange(100, 1000) for place in rng.sample(places, self.n_regional)}
        pairs = rng.sample(list(combinations(sorted(self.words), 2)), self.n_meetings)
        self.decides = {pair: rng.choice(pair) for pair in pairs}
        self._read: dict[str, dict[str, set[str]]] = {}

    def draw_example(self, split: str, number: int, rng: random.Random) -> Note:
        if rng.random() < self.share_of_meetings:
            words = list(rng.choice(sorted(self.decides)))
        else:
            # A few words are frequent, and the rest of the language turns up now and then.
            weights = [1 / (rank + 2) for rank in range(self.n_words)]
            words = rng.choices(self.words, weights, k=rng.choice((1, 1, 2)))
        words = list(dict.fromkeys(words))
        region = rng.choice(REGIONS)
        if rng.random() < 0.15:
            words[0], region = rng.choice(sorted(self.exceptions))
        query = f"{split} note {number}, {region}: " + " + ".join(words)
        return Note(
            f"{split}-{number}", query, tuple(dict.fromkeys(words)), region, 3_000 + rng.randrange(6_000)
        )

    def component_names(self) -> tuple[str, ...]:
        n = self.settings.components
        return ("glossary",) if n == 1 else tuple(f"glossary-{i + 1}" for i in range(n))

    def frame(self, name: str) -> tuple[str, str]:
        return (
            f"You book notes on accounts. This is your {name}.",
            f"End of the {name}. Answer with one account.",
        )

    def seed_candidate(self) -> dict[str, str]:
        return {name: "\n".join(self.frame(name)) for name in self.component_names()}

    def ideal_candidate(self) -> dict[str, str]:
        lines = [Line(general(w), f"account {self.accounts[w]}") for w in self.words if w not in self.known]
        lines += [Line(regional(*place), f"account {number}") for place, number in self.exceptions.items()]
        lines += [Line(meeting(*pair), f'"{word}" decides') for pair, word in self.decides.items()]
        texts = {}
        for i, name in enumerate(self.component_names()):
            opening, closing = self.frame(name)
            own = lines[i :: self.settings.components]
            texts[name] = "\n".join([opening, *map(str, own), closing])
        return texts

    def account(self, word: str, region: str) -> int:
        return self.exceptions.get((word, region), self.accounts[word])

    def judge(self, candidate: Candidate, example: Note) -> str:
        says = self._says(candidate)
        for word in example.words:
            complaint = self._booked(says, word, example.region)
            if complaint:
                return complaint
        for pair in combinations(sorted(example.words), 2):
            decides = self.decides.get(pair)
            if decides and says.get(meeting(*pair)) != {f'"{decides}" decides'}:
                return f'Where "{pair[0]}" and "{pair[1]}" meet, the booking follows "{decides}".'
        for number in range(N_ADVICE):
            if f"advice {number}" in says and uniform(self.seed, "misled", number, example.id) < self.misled:
                return f"The clerk was misled by advice {number}."
        if sum(map(len, candidate.values())) > example.bears:
            return "The glossary is too long to be read for this note."
        return ""

    def _booked(self, says: dict[str, set[str]], word: str, region: str) -> str:
        """What is wrong with the account of this word, if anything."""
        right = self.account(word, region)
        said = says.get(regional(word, region)) or says.get(general(word))
        if said == {f"account {right}"}:
            return ""
        if said is None and word in self.known and right == self.accounts[word]:
            return ""
        return f'On a note from the {region}, "{word}" belongs on {right}.'

    def _says(self, candidate: Candidate) -> dict[str, set[str]]:
        text = "\n".join(
            body(candidate[name], self.frame(name)) or candidate[name] for name in sorted(candidate)
        )
        says = self._read.get(text)
        if says is None:
            says = {}
            for line in read(text):
                says.setdefault(line.key, set()).add(line.value)
            self._read[text] = says
        return says

    def answer(self, example: Note, right: bool) -> str:
        number = self.account(example.words[0], example.region)
        return str(number if right else number + 1)

    def brevity(self, candidate: Candidate) -> float:
        return max(0.0, 1 - sum(map(len, candidate.values())) / 12_000)


class ReflectionLM(Reflection[World]):
    hints: ClassVar = {
        "book": re.compile(r'On a note from the (\w+), "(\w+)" belongs on (\d+)\.'),
        "meet": re.compile(r'Where "(\w+)" and "(\w+)" meet, the booking follows "(\w+)"\.'),
        "misled": re.compile(r"The clerk was misled by advice (\d+)\."),
        "long": re.compile(r"(The glossary is too long) to be read"),
    }

    def rewrite(
        self, bodies: dict[str, str], complaints: Sequence[Hint], rng: random.Random
    ) -> dict[str, str]:
        follow: dict[str, Callable[..., list[Line]]] = {
            "book": self._book,
            "meet": self._meet,
            "misled": self._dismiss,
            "long": self._shorten,
        }
        new = {}
        for name, inside in bodies.items():
            lines = list(dict.fromkeys(read(inside)))
            if rng.random() >= 0.05:  # else it gives the text back as it was
                for kind, *told in dict.fromkeys(complaints):
                    if rng.random() < 0.85:
                        lines = follow[kind](lines, rng, *told)
                lines = self._slip(lines, rng)
            new[name] = "\n".join(map(str, lines))
        return new

    def _book(self, lines: list[Line], rng: random.Random, region: str, word: str, number: str) -> list[Line]:
        """A general line for a new word, mostly; for a known one a regional line, or the other way round."""
        keys = {line.key for line in lines}
        usual = general(word) not in keys
        key = general(word) if (rng.random() < 0.75) == usual else regional(word, region)
        if regional(word, region) in keys:
            key = regional(word, region)
        value = f"account {int(number) + (rng.random() < 0.05)}"
        return _put(lines, Line(key, value, rng.random() < 0.35))

    def _meet(self, lines: list[Line], rng: random.Random, one: str, other: str, word: str) -> list[Line]:
        chosen = rng.choice((one, other)) if rng.random() < 0.1 else word
        return _put(lines, Line(meeting(one, other), f'"{chosen}" decides', rng.random() < 0.35))

    def _dismiss(self, lines: list[Line], rng: random.Random, number: str) -> list[Line]:
        return [line for line in lines if line.key != f"advice {number}"]

    def _shorten(self, lines: list[Line], rng: random.Random, told: str) -> list[Line]:
        """Some wordy lines are cut short; without any, two lines go."""
        wordy = [line for line in lines if line.wordy]
        if wordy:
            cut = set(rng.sample(wordy, min(8, len(wordy))))
            return [Line(line.key, line.value) if line in cut else line for line in lines]
        gone = set(rng.sample(lines, min(2, len(lines))))
        return [line for line in lines if line not in gone]

    def _slip(self, lines: list[Line], rng: random.Random) -> list[Line]:
        """What a careless writer does besides: gives advice, loses a line."""
        if rng.random() < 0.25:
            number = rng.randrange(N_ADVICE)
            lines = _put(lines, Line(f"advice {number}", ADVICE[number % len(ADVICE)]))
        if lines and rng.random() < 0.12:
            lost = rng.randrange(len(lines))
            lines = [*lines[:lost], *lines[lost + 1 :]]
        return lines


def _put(lines: list[Line], new: Line) -> list[Line]:
    """The line in the place of all that were about the same, or at the end."""
    keys = [line.key for line in lines]
    place = keys.index(new.key) if new.key in keys else len(lines)
    kept = [line for line in lines if line.key != new.key]
    return [*kept[:place], new, *kept[place:]]


if __name__ == "__main__":
    show(World, ReflectionLM)
