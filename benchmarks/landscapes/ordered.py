"""Edits that do not add up: a procedure of steps, where their order and the wording of each one matter.

A claim needs up to four steps. The procedure is prose: each line is a paragraph of several steps, joined by
words that mean nothing and change whenever the paragraph is rewritten.

* A needed step must be there, once. Said twice, in two places or wordings, it is as good as not said.
* Its wording (`at once`, `by hand`, ...) must be one this claim accepts. One wording of a step suits nearly
  every claim, the others suit some; feedback tells one that this claim accepts, which need not be the best.
* The steps a claim needs must come in one hidden order, and some steps must not come before others
  even where nobody needs them.
* A long paragraph loses its last steps on impatient claims.

An edit rewrites, moves or splits whole lines. Two edits of one parent often touch the same line; a union of
their lines then says steps twice and in the wrong order.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
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

_VERBS = ["weigh", "open", "count", "mark", "seal", "lift", "turn", "check", "store", "wrap"]
_NOUNS = ["crate", "label", "pallet", "ticket", "drawer", "valve", "basket", "ledger"]
WORDINGS = ("at once", "by hand", "in full", "once more")
OPENINGS = ("First ", "Begin: ", "Here, ", "Now ")
JOINTS = (", then ", "; after that ", ", and next ", "; only then ")
_STEP = re.compile(rf"\b([a-z]+ the [a-z]+) ({'|'.join(WORDINGS)})\b")


@dataclass(frozen=True)
class Claim(Example):
    """`needs` in their order; `after`: pairs of which the second may not come before the first."""

    needs: tuple[str, ...]
    after: tuple[tuple[str, str], ...]
    patience: int


@dataclass(frozen=True)
class Paragraph:
    """Steps with their wordings, and the line they were read from; empty once they were changed."""

    steps: tuple[tuple[str, str], ...]
    line: str = ""

    def written(self, rng: random.Random) -> str:
        if self.line:
            return self.line
        text = rng.choice(OPENINGS)
        for i, (step, wording) in enumerate(self.steps):
            text += (rng.choice(JOINTS) if i else "") + f"{step} {wording}"
        return text + "."


def read(text: str) -> list[Paragraph]:
    """The paragraphs that hold steps."""
    found = (Paragraph(tuple(_STEP.findall(line)), line) for line in text.splitlines())
    return [paragraph for paragraph in found if paragraph.steps]


class World(Landscape[Claim]):
    n_steps = 19
    n_kinds = 24
    n_initial = 6
    accepts = (0.97, 0.55, 0.4, 0.25)

    def lay_out(self, rng: random.Random) -> None:
        if self.settings.components != 1:
            raise ValueError("this landscape has one component")
        steps = [f"{verb} the {noun}" for verb in _VERBS for noun in _NOUNS]
        self.order = rng.sample(steps, self.n_steps)
        self.rank = {step: i for i, step in enumerate(self.order)}
        self.liked = {step: rng.sample(WORDINGS, len(WORDINGS)) for step in self.order}
        self.kinds = [self._kind(rng) for _ in range(self.n_kinds)]
        self._read: dict[str, dict[str, list[tuple[int, int, str]]]] = {}

    def _kind(self, rng: random.Random) -> tuple[list[str], list[tuple[str, str]]]:
        """What this kind of claim needs, and what must not come before it."""
        needs = sorted(rng.sample(self.order, rng.choice((1, 2, 2, 3, 3, 4))), key=self.rank.__getitem__)
        later = [step for step in self.order if self.rank[step] > self.rank[needs[-1]]]
        return needs, [(needs[-1], rng.choice(later))] if later and rng.random() < 0.5 else []

    def draw_example(self, split: str, number: int, rng: random.Random) -> Claim:
        kind = min(rng.randrange(self.n_kinds), rng.randrange(self.n_kinds))
        needs, after = self.kinds[kind] if rng.random() >= 0.1 else ([], [])
        query = f"{split} claim {number} of kind {kind}"
        return Claim(f"{split}-{number}", query, tuple(needs), tuple(after), rng.randint(4, 8))

    def component_names(self) -> tuple[str, ...]:
        return ("procedure",)

    def frame(self, name: str) -> tuple[str, str]:
        return "Settle every claim by this procedure.", "Answer with the settlement alone."

    def seed_candidate(self) -> dict[str, str]:
        """A few steps in no good order, in wordings that are not the worst."""
        rng = random.Random(f"{self.seed}/initial")
        steps = [(step, rng.choice(self.liked[step][1:3])) for step in rng.sample(self.order, self.n_initial)]
        return self._text([Paragraph(tuple(steps[i : i + 3])) for i in range(0, len(steps), 3)], rng)

    def ideal_candidate(self) -> dict[str, str]:
        steps = [(step, self.liked[step][0]) for step in self.order]
        paragraphs = [Paragraph(tuple(steps[i : i + 4])) for i in range(0, len(steps), 4)]
        return self._text(paragraphs, random.Random(self.seed))

    def _text(self, paragraphs: list[Paragraph], rng: random.Random) -> dict[str, str]:
        opening, closing = self.frame("procedure")
        return {"procedure": "\n".join([opening, *(p.written(rng) for p in paragraphs), closing])}

    def suits(self, step: str, wording: str, claim: str) -> bool:
        share = self.accepts[self.liked[step].index(wording)]
        return uniform(self.seed, "suits", step, wording, claim) < share

    def judge(self, candidate: Candidate, example: Claim) -> str:
        said = self._said(candidate)
        for step in example.needs:
            if step not in said:
                return f"Nobody was told to {step}."
            if len(said[step]) > 1:
                return f"The procedure says more than once to {step}."
            _, within, wording = said[step][0]
            if within >= example.patience:
                return f"In its long paragraph nobody got as far as to {step}."
            if not self.suits(step, wording, example.id):
                fits = [w for w in self.liked[step] if self.suits(step, w, example.id)] or self.liked[step][
                    :1
                ]
                better = fits[int(len(fits) * uniform(self.seed, "told", step, example.id))]
                return f'To {step} was taken wrongly; "{better}" would have been understood.'
        for one, other in (*pairwise(example.needs), *example.after):
            if other in said and max(s[0] for s in said[one]) > min(s[0] for s in said[other]):
                return f"It was too early to {other}: to {one} comes before it."
        return ""

    def _said(self, candidate: Candidate) -> dict[str, list[tuple[int, int, str]]]:
        """Step -> where in the procedure, where in its paragraph, and how it is said."""
        text = candidate["procedure"]
        said = self._read.get(text)
        if said is None:
            said = {}
            place = 0
            for paragraph in read(body(text, self.frame("procedure")) or text):
                for within, (step, wording) in enumerate(paragraph.steps):
                    if step in self.rank:
                        said.setdefault(step, []).append((place, within, wording))
                    place += 1
            self._read[text] = said
        return said

    def answer(self, example: Claim, right: bool) -> str:
        return "settled" if right else "sent back"

    def brevity(self, candidate: Candidate) -> float:
        return max(0.0, 1 - sum(map(len, candidate.values())) / 3_000)


Steps = list[list[tuple[str, str]]]


class ReflectionLM(Reflection[World]):
    hints: ClassVar = {
        "missing": re.compile(r"Nobody was told to ([a-z]+ the [a-z]+)\."),
        "twice": re.compile(r"says more than once to ([a-z]+ the [a-z]+)\."),
        "lost": re.compile(r"nobody got as far as to ([a-z]+ the [a-z]+)\."),
        "taken": re.compile(r'To ([a-z]+ the [a-z]+) was taken wrongly; "([a-z ]+)" would'),
        "early": re.compile(r"too early to ([a-z]+ the [a-z]+): to ([a-z]+ the [a-z]+) comes"),
    }

    def rewrite(
        self, bodies: dict[str, str], complaints: Sequence[Hint], rng: random.Random
    ) -> dict[str, str]:
        follow: dict[str, Callable[..., None]] = {
            "missing": self._insert,
            "twice": self._say_once,
            "lost": self._split,
            "taken": self._reword,
            "early": self._move,
        }
        (inside,) = bodies.values()
        before = read(inside)
        steps: Steps = [list(paragraph.steps) for paragraph in before]
        if rng.random() >= 0.05:  # else it gives the text back as it was
            for kind, *told in _agreed(complaints, rng):
                if rng.random() < 0.85:
                    follow[kind](steps, rng, *told)
            self._slip(steps, rng)
        old = {paragraph.steps: paragraph for paragraph in before}
        after = [old.get(tuple(own), Paragraph(tuple(own))) for own in steps if own]
        return {"procedure": "\n".join(paragraph.written(rng) for paragraph in after)}

    def _insert(self, steps: Steps, rng: random.Random, step: str) -> None:
        """Where it belongs as far as the writer can tell, or anywhere."""
        if any(step == own for paragraph in steps for own, _ in paragraph):
            return
        liked = self.world.liked.get(step, list(WORDINGS))
        new = (step, liked[0] if rng.random() < 0.4 else rng.choice(liked))
        if not steps:
            steps.append([new])
            return
        rank = self.world.rank
        places = [(p, i) for p, paragraph in enumerate(steps) for i in range(len(paragraph) + 1)]
        later = [
            (p, i) for p, i in places if i < len(steps[p]) and rank.get(steps[p][i][0], 0) > rank.get(step, 0)
        ]
        sensible = later[0] if later else (len(steps) - 1, len(steps[-1]))
        p, i = sensible if rng.random() < 0.5 else rng.choice(places)
        steps[p].insert(i, new)

    def _say_once(self, steps: Steps, rng: random.Random, step: str) -> None:
        places = _places(steps, step)
        kept = rng.choice(places) if places else None
        for p, i in reversed(places):
            if (p, i) != kept:
                del steps[p][i]

    def _split(self, steps: Steps, rng: random.Random, step: str) -> None:
        for p, _ in _places(steps, step)[:1]:
            if len(steps[p]) > 1:
                half = (len(steps[p]) + 1) // 2
                steps[p : p + 1] = [steps[p][:half], steps[p][half:]]

    def _reword(self, steps: Steps, rng: random.Random, step: str, wording: str) -> None:
        for p, i in _places(steps, step):
            steps[p][i] = (step, wording)

    def _move(self, steps: Steps, rng: random.Random, other: str, one: str) -> None:
        """The late one forward, or the early one back."""
        step, anchor, behind = rng.choice(((one, other, 0), (other, one, 1)))
        source = _places(steps, step)
        if not source or not _places(steps, anchor):
            return
        p, i = source[0]
        moved = steps[p].pop(i)
        p, i = _places(steps, anchor)[0]
        steps[p].insert(i + behind, moved)

    def _slip(self, steps: Steps, rng: random.Random) -> None:
        """What a careless writer does besides: another wording, another order, a step lost."""
        full = [paragraph for paragraph in steps if paragraph]
        if full and rng.random() < 0.15:
            paragraph = rng.choice(full)
            i = rng.randrange(len(paragraph))
            paragraph[i] = (paragraph[i][0], rng.choice(WORDINGS))
        if full and rng.random() < 0.12:
            paragraph = rng.choice(full)
            i, j = rng.randrange(len(paragraph)), rng.randrange(len(paragraph))
            paragraph[i], paragraph[j] = paragraph[j], paragraph[i]
        if full and rng.random() < 0.08:
            paragraph = rng.choice(full)
            del paragraph[rng.randrange(len(paragraph))]


def _places(steps: Steps, step: str) -> list[tuple[int, int]]:
    return [(p, i) for p, own in enumerate(steps) for i, (name, _) in enumerate(own) if name == step]


def _agreed(complaints: Sequence[Hint], rng: random.Random) -> list[Hint]:
    """Each complaint once; of several wordings wanted for one step, the one wanted most."""
    wanted: dict[str, Counter[str]] = {}
    rest = []
    for complaint in complaints:
        if complaint[0] == "taken":
            wanted.setdefault(complaint[1], Counter())[complaint[2]] += 1
        else:
            rest.append(complaint)
    for step, votes in wanted.items():
        most = [wording for wording, count in votes.items() if count == max(votes.values())]
        rest.append(("taken", step, rng.choice(most)))
    return list(dict.fromkeys(rest))


if __name__ == "__main__":
    show(World, ReflectionLM)
