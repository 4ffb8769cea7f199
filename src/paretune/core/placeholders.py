"""The `{name}` placeholders of a pattern."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

_PLACEHOLDER = re.compile(r"(?<!\{)(\{+)([A-Za-z_][A-Za-z0-9_]*)\}")


def placeholders(text: str) -> tuple[str, ...]:
    """The `{name}` placeholders of a text, each once, in order.

    Names are identifiers. Doubled braces stand for themselves, as in `str.format`, and braces around
    anything else, as in JSON, are text.
    """
    found = (match[2] for match in _PLACEHOLDER.finditer(text) if len(match[1]) % 2)
    return tuple(dict.fromkeys(found))


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with a value in place of each placeholder that has one. Values are not read again."""

    def value(match: re.Match[str]) -> str:
        braces, name = match[1], match[2]
        return braces[:-1] + values[name] if len(braces) % 2 and name in values else match[0]

    return _PLACEHOLDER.sub(value, text)


def mentions(text: str, names: Collection[str]) -> bool:
    """True if somebody who fills these placeholders by plain search would find one in the text."""
    return any("{" + name + "}" in text for name in names)
