"""System specifications: what the owner of a task wants of it, as rules with priorities, read from a file.

JSON and TOML hold `metadata` (`title`, `description`, `scope`), `principles` (`text`, `rationale`), `rules`
(`id`, `title`, `text`, `rationale`, `priority`; `constraints` with `must`, `must_not`, `should`,
`should_not`; `examples` with `kind`, `prompt`, `response`, `description`) and `glossary` (`term`,
`definition`, `aliases`); anything else in them is for other readers. In Markdown each `##` section is a rule:
`(priority 8)` in its heading or `Priority: 8` on a line of its own, a deeper heading `Examples` before its
examples; what stands before the first one is the preamble.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from paretune.core.errors import Misconfigured
from paretune.propose.packet_text import cut

CHARACTERS_A_TOKEN = 4
LARGEST_FILE = 4 * 2**20
NOTE = 60
"""Characters of what `cut` says about what is missing."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as text, its examples apart. `priority` None: nobody gave it one; it comes last."""

    text: str
    priority: float | None = None
    examples: str = ""


@dataclass(frozen=True, slots=True)
class Specification:
    """`preamble` says what the whole is about, `terms` what its words mean."""

    preamble: str = ""
    rules: tuple[Rule, ...] = ()
    terms: tuple[str, ...] = ()

    def within(self, max_tokens: int, *, threshold: float | None = None, examples: bool = True) -> str:
        """The text in at most so many tokens, at four characters each: the rules by falling priority.

        A `threshold` leaves out rules of lower priority and those without one. Where not all fits, terms go
        first, then the examples of the lesser rules, then these rules themselves.
        """
        room = _Room(max_tokens * CHARACTERS_A_TOKEN)
        preamble = _shortened(self.preamble, room.left // 2)
        head = [preamble] if room.take(preamble) else []
        rules = sorted(self.rules, key=_rank)
        if threshold is not None:
            rules = [rule for rule in rules if rule.priority is not None and rule.priority >= threshold]
        held = 0
        while held < len(rules) and room.take(rules[held].text):
            held += 1
        if rules and not held:
            rules[0] = replace(rules[0], text=_shortened(rules[0].text, room.left - 2))
            held = int(room.take(rules[0].text))
        told = [rule.text for rule in rules[:held]]
        for number, rule in enumerate(rules[:held] if examples else []):
            if rule.examples and room.take(rule.examples):
                told[number] += f"\n\n{rule.examples}"
        terms = [term for term in self.terms if room.take(term)] if room.take("Terms:") else []
        words = ["\n".join(["Terms:", *terms])] if terms else []
        return "\n\n".join([*head, *told, *words])


def _shortened(text: str, most: int) -> str:
    """At most so many characters of the text; nothing where that would be little more than a note."""
    if len(text) <= most:
        return text
    return cut(text, most - NOTE) if most >= 2 * NOTE else ""


def _rank(rule: Rule) -> tuple[bool, float]:
    return rule.priority is None, -(rule.priority or 0.0)


@dataclass(slots=True)
class _Room:
    """Characters that are left; what is taken comes with a blank line."""

    left: int

    def take(self, text: str) -> bool:
        size = len(text) + 2
        if not text or size > self.left:
            return False
        self.left -= size
        return True


# -- reading --------------------------------------------------------------------------------------


def load(path: Path, field: str) -> Specification:
    """The specification in a file, by its ending. Raises Misconfigured, naming the `field` that names it."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise Misconfigured(field, f"{path} has more than {LARGEST_FILE} bytes")
        text = path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise Misconfigured(field, f"{path} cannot be read: {error}") from None
    try:
        return read(text, path.suffix.lower())
    except (ValueError, RecursionError) as error:
        raise Misconfigured(field, f"{path} is no specification: {error}") from None


def read(text: str, ending: str) -> Specification:
    """The specification in a text of this ending (`.json`, `.toml`, `.md`). Raises ValueError."""
    if ending in (".md", ".markdown", ".txt"):
        found = _read_markdown(text)
    elif ending in (".json", ".toml"):
        found = _read_table(json.loads(text) if ending == ".json" else tomllib.loads(text))
    else:
        raise ValueError(f"its ending is {ending or 'missing'}, none of .json, .toml, .md")
    if not (found.rules or found.preamble or found.terms):
        raise ValueError("it holds no rules, no principles and no text")
    return found


def _read_table(table: Any) -> Specification:
    if not isinstance(table, Mapping):
        raise ValueError("it is no object with rules")
    about = _mapping(table.get("metadata"), "metadata")
    head = [_text(about.get(name) or table.get(name)) for name in ("title", "description", "scope")]
    principles = [_principle(item) for item in _list(table.get("principles"), "principles")]
    preamble = [*filter(None, head), "\n".join(f"- {text}" for text in principles if text)]
    rules = [_rule(item, f"rules[{n}]") for n, item in enumerate(_list(table.get("rules"), "rules"))]
    terms = [_term(item) for item in _list(table.get("glossary"), "glossary")]
    return Specification("\n\n".join(filter(None, preamble)), tuple(rules), tuple(filter(None, terms)))


def _principle(item: Any) -> str:
    if isinstance(item, str):
        return item.strip()
    return _with(_text(item.get("text")), item.get("rationale")) if isinstance(item, Mapping) else ""


def _term(item: Any) -> str:
    if isinstance(item, str):
        return f"- {item.strip()}"
    if not isinstance(item, Mapping) or not item.get("term"):
        return ""
    aliases = ", ".join(map(_text, _list(item.get("aliases"), "aliases")))
    names = _text(item["term"]) + (f" ({aliases})" if aliases else "")
    return f"- {names}: {_text(item.get('definition'))}"


_CONSTRAINTS = ("must", "must_not", "should", "should_not")


def _rule(item: Any, where: str) -> Rule:
    if isinstance(item, str) and item.strip():
        return Rule(item.strip())
    item = _mapping(item, where)
    priority = _priority(item.get("priority"), where)
    given = _mapping(item.get("constraints"), f"{where}.constraints")
    lines = [
        f"- {name.replace('_', ' ').upper()}: {_text(line)}"
        for name in _CONSTRAINTS
        for line in _list(given.get(name), f"{where}.constraints.{name}")
    ]
    title = ": ".join(filter(None, map(_text, (item.get("id"), item.get("title")))))
    body = [_with(_text(item.get("text")), item.get("rationale")), "\n".join(lines)]
    if not title and not any(body):
        raise ValueError(f"{where} has neither title nor text nor constraints")
    weight = "" if priority is None else f" (priority {priority:g})"
    examples = [_example(one) for one in _list(item.get("examples"), f"{where}.examples")]
    shown = "Examples:\n" + "\n".join(examples) if any(examples) else ""
    return Rule("\n".join(filter(None, [f"## {title or 'Rule'}{weight}", *body])), priority, shown)


def _example(one: Any) -> str:
    if isinstance(one, str):
        return f"- {one}"
    if not isinstance(one, Mapping):
        return ""
    parts = [f"{name}: {_text(one[name])}" for name in ("prompt", "response") if one.get(name)]
    return f"- {_text(one.get('kind')) or 'example'}: " + _with("; ".join(parts), one.get("description"))


def _with(text: str, why: Any) -> str:
    return f"{text} ({_text(why)})".strip() if why else text


def _priority(value: Any, where: str) -> float | None:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise ValueError(f"{where}.priority must be a number, not {value!r:.40}")


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if value is not None and not isinstance(value, Mapping):
        raise ValueError(f"{where} must be a table")
    return value or {}


def _list(value: Any, where: str) -> Sequence[Any]:
    if isinstance(value, str):
        return [value]
    if value is not None and not isinstance(value, list):
        raise ValueError(f"{where} must be a list")
    return value or []


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


# -- Markdown -------------------------------------------------------------------------------------

_HEADING = re.compile(r" {0,3}(#{1,6})\s+(.*?)\s*#*")
_IN_HEADING = re.compile(r"[\[(]\s*priority\s*:?\s*(-?\d+(?:\.\d+)?)\s*[\])]", re.IGNORECASE)
_ON_A_LINE = re.compile(r"\W*priority\W+(-?\d+(?:\.\d+)?)\W*", re.IGNORECASE)
_FENCE = re.compile(r" {0,3}(```+|~~~+)")


def _read_markdown(text: str) -> Specification:
    sections = list(_sections(text.replace("\r\n", "\n").split("\n")))
    preamble = "\n".join(sections[0]).strip()
    return Specification(preamble, tuple(_markdown_rule(lines) for lines in sections[1:]))


def _sections(lines: Sequence[str]) -> Iterator[list[str]]:
    """The lines before the first `##`, then those of each, with their headings."""
    section: list[str] = []
    for line, heading in _headings(lines):
        if heading == 2:
            yield section
            section = []
        section.append(line)
    yield section


def _headings(lines: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Each line with its level as a heading; 0 for text, and for anything in a code block."""
    fence = ""
    for line in lines:
        mark, heading = _FENCE.match(line), _HEADING.fullmatch(line)
        if mark and not fence:
            fence = mark[1]
        elif mark and line.strip().startswith(fence):
            fence = ""
        yield line, len(heading[1]) if heading and not fence else 0


def _markdown_rule(lines: Sequence[str]) -> Rule:
    found = _IN_HEADING.search(lines[0])
    priority, text, examples = float(found[1]) if found else None, list[str](), list[str]()
    part = text
    for line, heading in _headings(lines):
        if heading > 2:
            part = examples if line.strip("# ").casefold().startswith("example") else text
        on_a_line = _ON_A_LINE.fullmatch(line.strip())
        if priority is None and on_a_line and part is text and not heading:
            priority = float(on_a_line[1])
        part.append(line)
    return Rule("\n".join(text).strip(), priority, "\n".join(examples).strip())
