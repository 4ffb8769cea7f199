"""Three-way merge of texts that are JSON, key by key."""

from __future__ import annotations

import json
import re
from typing import Any


class JsonClash(Exception):
    """Both sides changed the same value differently."""


def merge_json(base: str, ours: str, theirs: str) -> str | None:
    """The merged text in the layout of `ours`; None if the three are not JSON objects or lists.

    Raises JsonClash.
    """
    try:
        values = [json.loads(text) for text in (base, ours, theirs)]
        if not all(isinstance(value, dict | list) for value in values):
            return None
    except (ValueError, RecursionError):
        return None
    try:
        for text in (base, ours, theirs):
            json.loads(text, object_pairs_hook=_unambiguous)
        merged = _merged(*values)
        return ours if _same(merged, values[1]) else _laid_out(merged, values[1], ours, theirs)
    except RecursionError:
        raise JsonClash from None


def same_json(merged: str, expected: str, *others: str) -> bool:
    """True if both are JSON of one value with its keys in one order, and all are indented alike."""
    indents = [re.match(r"\s*.\s*", text) for text in (merged, expected, *others)]
    try:
        same = _same(json.loads(merged), json.loads(expected))
    except (ValueError, RecursionError):
        return False
    return same and len({found[0] for found in indents if found}) == 1


_GONE = object()


def _merged(base: Any, ours: Any, theirs: Any) -> Any:
    """Raises JsonClash where both sides changed the same value differently."""
    if _same(theirs, base) or _same(ours, theirs):
        return ours
    if _same(ours, base):
        return theirs
    old = {} if base is _GONE else base
    if isinstance(old, dict) and isinstance(ours, dict) and isinstance(theirs, dict):
        return _objects(old, ours, theirs)
    if isinstance(base, list) and isinstance(ours, list) and isinstance(theirs, list):
        return _lists(base, ours, theirs)
    raise JsonClash


def _objects(base: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    merged = {}
    for key in _ordered(list(base), list(ours), list(theirs)):
        value = _merged(base.get(key, _GONE), ours.get(key, _GONE), theirs.get(key, _GONE))
        if value is not _GONE:
            merged[key] = value
    return merged


def _lists(base: list[Any], ours: list[Any], theirs: list[Any]) -> list[Any]:
    """Items are kept or gone, never changed; so what both replaced is a clash."""
    old, mine, late = ({json.dumps(item): item for item in items} for items in (base, ours, theirs))
    if len(old) < len(base) or len(mine) < len(ours) or len(late) < len(theirs):
        raise JsonClash  # equal items cannot be told apart
    replaced = old.keys() - mine.keys() - late.keys()
    if replaced and mine.keys() - old.keys() != late.keys() - old.keys():
        raise JsonClash
    items = {**late, **mine}
    order = _ordered(list(old), list(mine), list(late))
    return [items[item] for item in order if item not in old or (item in mine and item in late)]


def _ordered(base: list[str], ours: list[str], theirs: list[str]) -> list[str]:
    """All items of ours and theirs: what one side alone has stands behind the same item as there, ours first.

    A new order is a change, too; raises JsonClash if both made one.
    """
    common = set(base) & set(ours) & set(theirs)
    old, mine, late = ([item for item in side if item in common] for side in (base, ours, theirs))
    if mine not in (old, late) and late != old:
        raise JsonClash
    lead, other = (ours, theirs) if late in (old, mine) else (theirs, ours)
    order = list(lead)
    at = 0
    for item in other:
        if item in lead:
            at = order.index(item) + 1
            continue
        while at < len(order) and order[at] not in base and order[at] not in other:
            at += 1
        order.insert(at, item)
        at += 1
    return order


def _laid_out(value: Any, mine: Any, ours: str, theirs: str) -> str:
    """`value` written as `ours` writes `mine`: indentation, separators, escapes, blanks around it."""
    indent = re.search(r"\n([ \t]+)\S", ours)
    escaped = any("\\u" in text for text in (ours, theirs))
    compact = ours.strip() == _compact(mine, escaped) != json.dumps(mine, ensure_ascii=escaped)
    if compact:
        text = _compact(value, escaped)
    else:
        text = json.dumps(value, ensure_ascii=escaped, indent=indent[1] if indent else None)
    start = len(ours) - len(ours.lstrip())
    return ours[:start] + text + ours[len(ours.rstrip()) :]


def _compact(value: Any, escaped: bool) -> str:
    return json.dumps(value, ensure_ascii=escaped, separators=(",", ":"))


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object. Raises JsonClash if a key is there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise JsonClash
    return found


def _same(one: Any, other: Any) -> bool:
    """Equal in value, kind and order of keys: `1` is not `true`."""
    if one is _GONE or other is _GONE:
        return one is other
    return json.dumps(one) == json.dumps(other)
