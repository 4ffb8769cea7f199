"""Values in JSON and back as they were: what JSON has no word for is written as an object with one tag."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping
from typing import Any

TAG = "~"
"""`{"~": kind, "is": value}`. Dictionaries are tagged unless all keys are strings, none of them this."""


class Unwritable(TypeError):
    """Nothing that JSON, or a tag, has a word for."""


def write(value: Any) -> Any:
    """A JSON value that `read` makes equal to this one again: None, booleans, numbers, strings, bytes,
    lists, tuples, sets, frozen sets and dictionaries of those. A subclass becomes what it is one of.
    Raises Unwritable."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, bytes):
        return {TAG: "bytes", "is": value.hex()}
    if isinstance(value, list):
        return [write(item) for item in value]
    for kind in (tuple, set, frozenset):
        if isinstance(value, kind):
            items = value if kind is tuple else sorted(value, key=repr)
            return {TAG: kind.__name__, "is": [write(item) for item in items]}
    if isinstance(value, dict):
        if TAG not in value and all(isinstance(key, str) for key in value):
            return {key: write(item) for key, item in value.items()}
        return {TAG: "dict", "is": [[write(key), write(item)] for key, item in value.items()]}
    raise Unwritable(f"{type(value).__name__} is nothing that JSON can hold")


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "bytes": bytes.fromhex,
    "tuple": lambda items: tuple(read(item) for item in items),
    "set": lambda items: {read(item) for item in items},
    "frozenset": lambda items: frozenset(read(item) for item in items),
    "dict": lambda pairs: {read(key): read(item) for key, item in pairs},
}


def read(value: Any) -> Any:
    """What `write` was given. Raises ValueError on a tag that it does not write."""
    if isinstance(value, list):
        return [read(item) for item in value]
    if not isinstance(value, dict):
        return value
    if TAG not in value:
        return {key: read(item) for key, item in value.items()}
    reader = _READERS.get(str(value[TAG]))
    if reader is None:
        raise ValueError(f"no value is written as {value[TAG]!r}")
    return reader(value["is"])


def plain(value: Any) -> Any:
    """The nearest that JSON has, for readers who do not know the tags: lists for tuples and sets, text for
    keys and bytes. What `write` refuses stays as it is."""
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return [plain(item) for item in sorted(value, key=repr)]
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): plain(item) for key, item in value.items()}
    return (
        write(value)
        if isinstance(value, numbers.Number)
        else value.hex()
        if isinstance(value, bytes)
        else value
    )
