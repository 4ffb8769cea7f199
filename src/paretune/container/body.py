"""Bytes to JSON, with limits: what a stranger sends must not take the reader down."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

from paretune.core.canonical import JsonValue
from paretune.core.errors import Misconfigured

MAX_DEPTH = 200
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""NUL and lone surrogates: legal in JSON, refused by databases and by UTF-8."""


_ENCODER = json.JSONEncoder(allow_nan=False)


class NotJson(ValueError):
    """The bytes are not JSON that can be used; the message says why."""


def parse_json(data: bytes) -> JsonValue:
    """The JSON in UTF-8 `data`, at most 200 levels deep. NaN and infinities are read as floats.

    Raises NotJson.
    """
    try:
        text = data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise NotJson(f"invalid UTF-8 at byte {error.start}") from None
    if not text or text.isspace():
        raise NotJson("an empty body")
    try:
        value = json.loads(text)
    except RecursionError:
        raise NotJson("JSON nested absurdly deep") from None
    except ValueError as error:
        raise NotJson(f"not JSON: {error}") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and deeper_than(value, MAX_DEPTH):
        raise NotJson(f"JSON nested deeper than {MAX_DEPTH} levels")
    return value


def json_text(value: JsonValue) -> str:
    """JSON as it goes out. Raises Misconfigured("request") for what JSON cannot say."""
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError) as error:
        raise Misconfigured("request", f"cannot be written as JSON: {error}") from error


def deeper_than(value: JsonValue, limit: int) -> bool:
    """True if lists and objects in `value` are nested more than `limit` levels."""
    level = [value]
    for _ in range(limit + 1):
        inner: list[JsonValue] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        if not inner:
            return False
        level = inner
    return True


def storable(value: JsonValue) -> JsonValue:
    """The same JSON without what no store takes: NaN becomes None, a lone surrogate U+FFFD."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {clean(str(key)): storable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [storable(inner) for inner in value]
    return value


def clean(text: str) -> str:
    """Text without NUL and lone surrogates."""
    if text.isascii() and "\x00" not in text:
        return text
    return UNSTORABLE.sub("\ufffd", text)
