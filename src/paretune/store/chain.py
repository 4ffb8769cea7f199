"""The chain: each decision carries a digest of itself and of everything before it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from paretune.core.canonical import JsonValue

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def chain(previous: str, key: str, body: Mapping[str, JsonValue]) -> str:
    """SHA-256, in hexadecimal, of a decision and the chain before it (before the first one: the run's id).

    Taken over ASCII JSON, whose bytes are the same before and after any store. Raises ValueError on NaN
    and infinities.
    """
    text = _ENCODER.encode([previous, key, dict(body)])
    return hashlib.sha256(text.encode("ascii")).hexdigest()
