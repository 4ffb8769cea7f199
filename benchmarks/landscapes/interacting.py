"""Texts that must agree: three components of a form robot, where changing one alone breaks what worked.

`schema` declares each field's key and each group's style, `reader` writes by them, `checker` looks them up. A
form needs one or two fields, each in two of the three components (its link), and for each of them:

* both components know the field, and under the same key;
* both use the same style for the field's group (dates, amounts, ...);
* key and style are clear on this form: one key of a field and one style of a group nearly always are, the
  others on some forms only.

At first the schema declares every field, mostly under a key that is not the best; the others know a part, not
always by the schema's key. Making a component agree with its neighbour pays at once. A better key or style
pays only where all components that use it change together: alone, the change loses what worked. The feedback
tells the better one all the same.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from benchmarks.landscapes.landscape import (
    Candidate,
    Example,
    Hint,
    Landscape,
    Reflection,
    Settings,
    body,
    show,
    stream,
    uniform,
)

COMPONENTS = ("schema", "reader", "checker")
LINKS = (("schema", "reader"), ("reader", "checker"), ("schema", "checker"))
VERBS = {"schema": "is declared as", "reader": "is read into", "checker": "is checked at"}
STYLES = {
    "dates": ("day first", "year first", "month by name", "week number"),
    "amounts": ("plain", "grouped", "in cents", "with currency"),
    "names": ("family first", "given first", "initials", "capitals"),
    "places": ("city only", "with country", "postal code", "coordinates"),
}
_FIELDS = {
    "dates": ["order", "ship", "due", "birth", "entry"],
    "amounts": ["net", "gross", "tax", "fee", "refund"],
    "names": ["buyer", "seller", "agent", "clerk", "driver"],
    "places": ["pickup", "delivery", "return", "home", "depot"],
}
N_KEYS = 4
_KEY = re.compile(r"^- ([\w ]+?) (?:is declared as|is read into|is checked at) <(\w+)>$", re.MULTILINE)
_STYLE = re.compile(r"^- All (\w+) are written (.+?)\.$", re.MULTILINE)


@dataclass(frozen=True)
class Form(Example):
    """`needs`: fields with the two components that have to agree on each."""

    needs: tuple[tuple[str, tuple[str, str]], ...]


@dataclass(frozen=True)
class Part:
    """What one component says: field -> key, group -> style. None where it says two things."""

    keys: Mapping[str, str | None]
    styles: Mapping[str, str | None]

    @classmethod
    def read(cls, text: str) -> Part:
        return cls(_each_once(_KEY.findall(text)), _each_once(_STYLE.findall(text)))

    def written(self, name: str) -> str:
        lines = [f"- All {group} are written {style}." for group, style in self.styles.items() if style]
        lines += [f"- {field} {VERBS[name]} <{key}>" for field, key in self.keys.items() if key]
        return "\n".join(lines)


def _each_once(pairs: Sequence[tuple[str, str]]) -> dict[str, str | None]:
    said: dict[str, str | None] = {}
    for name, value in pairs:
        said[name] = value if said.get(name, value) == value else None
    return said


class World(Landscape[Form]):
    defaults = Settings(components=3)
    sizes = (0, 1, 1, 1, 1, 1, 1, 2)
    known = 0.65
    clear = (0.97, 0.8, 0.7, 0.6)
    clear_style = (0.98, 0.9, 0.82, 0.75)

    def lay_out(self, rng: random.Random) -> None:
        if self.settings.components != len(COMPONENTS):
            raise ValueError("this landscape has three components")
        self.group = {f"{word} {group[:-1]}": group for group, words in _FIELDS.items() for word in words}
        self.fields = rng.sample(sorted(self.group), len(self.group))
        self.keys = {
            field: [f"{field[:2]}{rng.randrange(10, 100)}{i}" for i in range(N_KEYS)] for field in self.fields
        }
        self.styles = {group: rng.sample(styles, len(styles)) for group, styles in STYLES.items()}
        self._read: dict[str, Part] = {}

    def draw_example(self, split: str, number: int, rng: random.Random) -> Form:
        n, many = rng.choice(self.sizes), len(self.fields)
        fields = [self.fields[min(rng.randrange(many), rng.randrange(many))] for _ in range(n)]
        needs = tuple((field, rng.choice(LINKS)) for field in dict.fromkeys(fields))
        query = f"{split} form {number}: " + (", ".join(dict.fromkeys(fields)) or "no fields")
        return Form(f"{split}-{number}", query, needs)

    def component_names(self) -> tuple[str, ...]:
        return COMPONENTS

    def frame(self, name: str) -> tuple[str, str]:
        return f"You are the {name} of a form robot.", f"This was all for the {name}."

    def seed_candidate(self) -> dict[str, str]:
        """Everything is declared and agreed in style, little of it well; reader and checker know a part."""
        rng = stream(self.seed, "initial")
        styles: dict[str, str | None] = {group: rng.choice(own[1:3]) for group, own in self.styles.items()}
        declared: dict[str, str | None] = {
            field: self.keys[field][rng.choice((0, 0, 1, 1, 2, 3))] for field in sorted(self.fields)
        }
        parts = {"schema": Part(declared, styles)}
        for name in ("reader", "checker"):
            known = [field for field in sorted(self.fields) if rng.random() < self.known]
            keys = {f: declared[f] if rng.random() < 0.6 else rng.choice(self.keys[f]) for f in known}
            parts[name] = Part(keys, styles)
        return self._text(parts)

    def ideal_candidate(self) -> dict[str, str]:
        best = Part(
            {f: own[0] for f, own in self.keys.items()}, {g: own[0] for g, own in self.styles.items()}
        )
        return self._text(dict.fromkeys(COMPONENTS, best))

    def _text(self, parts: Mapping[str, Part]) -> dict[str, str]:
        texts = {}
        for name in COMPONENTS:
            opening, closing = self.frame(name)
            texts[name] = f"{opening}\n{parts[name].written(name)}\n{closing}"
        return texts

    def judge(self, candidate: Candidate, example: Form) -> str:
        parts = {name: self._part(candidate[name], name) for name in COMPONENTS}
        for field, (one, other) in example.needs:
            group = self.group[field]
            first, second = parts[one].styles.get(group), parts[other].styles.get(group)
            if first is None or first != second:
                return f"Style of {group}: {one} has {first or 'none'}, {other} has {second or 'none'}."
            first, second = parts[one].keys.get(field), parts[other].keys.get(field)
            if first is None or first != second:
                return f"Key of {field}: {one} has {first or 'none'}, {other} has {second or 'none'}."
            complaint = self._unclear(example, field, first, str(parts[one].styles[group]))
            if complaint:
                return complaint
        return ""

    def _unclear(self, example: Form, field: str, key: str, style: str) -> str:
        """What could not be told apart on this form, though both components agree on it."""
        keys, styles = self.keys[field], self.styles[self.group[field]]
        share = self.clear[keys.index(key)] if key in keys else 0.0
        if uniform(self.seed, "clear", key, example.id) >= share:
            return f"Key of {field}: <{key}> was mistaken for another; <{keys[0]}> would be clear everywhere."
        share = self.clear_style[styles.index(style)] if style in styles else 0.0
        if uniform(self.seed, "clear", style, example.id) >= share:
            group = self.group[field]
            return f"Style of {group}: ({style}) was misread; ({styles[0]}) would be clear everywhere."
        return ""

    def _part(self, text: str, name: str) -> Part:
        part = self._read.get(text)
        if part is None:
            part = self._read[text] = Part.read(body(text, self.frame(name)) or text)
        return part

    def answer(self, example: Form, right: bool) -> str:
        return "filed" if right else "refused"

    def brevity(self, candidate: Candidate) -> float:
        return max(0.0, 1 - sum(map(len, candidate.values())) / 6_000)


class ReflectionLM(Reflection[World]):
    """Components that it may edit at the same time it changes together; the others it cannot touch."""

    hints: ClassVar = {
        "differ": re.compile(r"(Key|Style) of ([\w ]+): (\w+) has ([\w ]+), (\w+) has ([\w ]+)\."),
        "unclear": re.compile(
            r"(Key|Style) of ([\w ]+): [<(][\w ]+[>)] was \w[\w ]*; [<(]([\w ]+)[>)] would"
        ),
    }

    def rewrite(
        self, bodies: dict[str, str], complaints: Sequence[Hint], rng: random.Random
    ) -> dict[str, str]:
        parts = {name: Part.read(inside) for name, inside in bodies.items()}
        keys = {name: dict(part.keys) for name, part in parts.items()}
        styles = {name: dict(part.styles) for name, part in parts.items()}
        if rng.random() >= 0.05:  # else it gives the texts back as they were
            for kind, what, about, *told in dict.fromkeys(complaints):
                said = keys if what == "Key" else styles
                if rng.random() < 0.85:
                    if kind == "differ":
                        self._agree(said, about, told, rng)
                    elif len(said) > 1 or rng.random() < 0.3:
                        for own in said.values():
                            own[about] = told[0]
            for own in keys.values():
                self._slip(own, rng)
        return {name: Part(keys[name], styles[name]).written(name) for name in bodies}

    def _agree(
        self, said: dict[str, dict[str, str | None]], about: str, told: list[str], rng: random.Random
    ) -> None:
        """What is edited takes over what the other has; if both are edited, one gives way."""
        one, first, other, second = told
        values = {one: first, other: second}
        edited = [name for name in (one, other) if name in said]
        fixed = [values[name] for name in (one, other) if name not in said and values[name] != "none"]
        offers = fixed or [value for value in values.values() if value != "none"]
        if not offers and about in self.world.keys:
            offers = list(self.world.keys[about])
        if offers:
            value = rng.choice(offers)
            for name in edited:
                said[name][about] = value

    def _slip(self, keys: dict[str, str | None], rng: random.Random) -> None:
        """What a careless writer does besides: another key, a field lost."""
        if keys and rng.random() < 0.1:
            field = rng.choice(sorted(keys))
            keys[field] = rng.choice(self.world.keys.get(field, ["lost"]))
        if keys and rng.random() < 0.06:
            del keys[rng.choice(sorted(keys))]


if __name__ == "__main__":
    show(World, ReflectionLM)
