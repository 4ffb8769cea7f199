"""One way to write a value down, so that equal values have equal bytes and equal digests."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Mapping
from json.encoder import encode_basestring
from typing import Any

JsonValue = Any
"""Anything `json.dumps` accepts: None, bool, int, float (finite), str, list, dict with string keys."""


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: JsonValue) -> str:
    """JSON with sorted keys and no spaces. Raises ValueError on NaN and infinities."""
    return _ENCODER.encode(value)


class Written(Mapping[str, JsonValue]):
    """A JSON object by its canonical text, read when somebody looks at it."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __getitem__(self, name: str) -> JsonValue:
        return json.loads(self.text)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(json.loads(self.text))

    def __len__(self) -> int:
        return len(json.loads(self.text))


def digest(value: JsonValue, length: int = 24) -> str:
    """Hexadecimal SHA-256 of the canonical JSON, cut to `length` characters."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()[:length]


def digest_of_words(*words: str | int, length: int) -> str:
    """`digest` of a list of strings and whole numbers: the same, for a fraction of the time."""
    spelled = ",".join([encode_basestring(word) if isinstance(word, str) else str(word) for word in words])
    return hashlib.sha256(f"[{spelled}]".encode("utf-8", "surrogatepass")).hexdigest()[:length]


def stream(seed: int, purpose: str, *index: int | str) -> random.Random:
    """A random stream of its own for one purpose; the same name always gives the same draws."""
    return random.Random(digest([seed, purpose, *index], 64))


def finite(value: JsonValue) -> JsonValue:
    """JSON knows no infinities: an interval without bounds has nulls."""
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
