"""One way to write a value down, so that equal values have equal bytes and equal digests."""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

JsonValue = Any
"""Anything `json.dumps` accepts: None, bool, int, float (finite), str, list, dict with string keys."""


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: JsonValue) -> str:
    """JSON with sorted keys and no spaces. Raises ValueError on NaN and infinities."""
    return _ENCODER.encode(value)


def digest(value: JsonValue, length: int = 24) -> str:
    """Hexadecimal SHA-256 of the canonical JSON, cut to `length` characters."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()[:length]


def digest_of_words(*words: str | int, length: int) -> str:
    """`digest` of a list of strings and whole numbers: the same, for a fraction of the time."""
    spelled = ",".join([_ENCODER.encode(word) if type(word) is str else str(word) for word in words])
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
