"""JSON of unknown shape as people read it: chat messages as a conversation, the rest as a tree that folds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

MOST_NODES = 2_000
MOST_TEXT = 20_000
DEEPEST = 24
"""Of a value with more nodes, longer texts or deeper nesting the rest is left out, and that is said."""

SMALL = 12
"""What has no more nodes than this is shown unfolded."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. `calls` are (tool, arguments) of tool calls, `more` what else it holds."""

    role: str
    text: str
    calls: tuple[tuple[str, str], ...] = ()
    more: Node | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """`text` is the value of a leaf, or says what is inside. `open`: shown unfolded, because a conversation
    is in there (`said`), or little at all."""

    kind: Literal["text", "value", "list", "object", "messages", "cut"]
    name: str = ""
    text: str = ""
    children: tuple[Node, ...] = ()
    messages: tuple[Message, ...] = ()
    open: bool = False
    said: bool = False
    size: int = 1


def shape(value: Any, name: str = "") -> Node:
    """The tree of a JSON value."""
    return _Shaper().node(value, name, 0)


def raw(value: Any, most: int = 200_000) -> str:
    """The value as indented JSON; its start, where it is longer than `most` characters."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=_plain)
    return text if len(text) <= most else f"{text[:most]}\n[{len(text) - most:,} more characters]"


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)


class _Shaper:
    def __init__(self) -> None:
        self._left = MOST_NODES

    def node(self, value: Any, name: str, depth: int) -> Node:
        self._left -= 1
        if isinstance(value, str):
            return Node("text", name, _cut(value))
        if not isinstance(value, Mapping | list | tuple):
            return Node("value", name, json.dumps(value))
        if not value:
            return Node("value", name, "nothing in it" if isinstance(value, Mapping) else "empty list")
        said = _conversation(value)
        if said:
            shown, rest = said[: max(1, self._left)], len(said) - max(1, self._left)
            messages = tuple(self._message(one, depth) for one in shown)
            left_out = (Node("cut", text=f"{rest:,} more messages"),) if rest > 0 else ()
            return Node("messages", name, _count(len(said), "message"), left_out, messages, open=True)
        if depth >= DEEPEST:
            return Node("cut", name, "nested too deeply to be shown here")
        return self._branch(value, name, depth)

    def _branch(self, value: Mapping[Any, Any] | list[Any] | tuple[Any, ...], name: str, depth: int) -> Node:
        mapping = isinstance(value, Mapping)
        items = value.items() if isinstance(value, Mapping) else ((str(i), v) for i, v in enumerate(value))
        children: list[Node] = []
        for key, inner in items:
            if self._left <= 0:
                children.append(Node("cut", text=f"{len(value) - len(children):,} more"))
                break
            children.append(self.node(inner, str(key), depth + 1))
        said = any(child.kind == "messages" or child.said for child in children)
        size = 1 + sum(child.size for child in children)
        text = _count(len(value), "field" if mapping else "item")
        kind: Literal["object", "list"] = "object" if mapping else "list"
        return Node(kind, name, text, tuple(children), open=said or size <= SMALL, said=said, size=size)

    def _message(self, value: Mapping[str, Any], depth: int) -> Message:
        self._left -= 1
        content, calls = value.get("content"), _calls(value.get("tool_calls"))
        known = {"role", *({"tool_calls"} if calls else ())}
        text = _said(content)
        if text is not None:
            known.add("content")
        rest = {
            key: inner for key, inner in value.items() if key not in known and inner not in (None, "", [])
        }
        more = self.node(rest, "", depth + 1) if rest and self._left > 0 and depth < DEEPEST else None
        return Message(_cut(str(value["role"]), 80), _cut(text or ""), calls, more)


def _conversation(value: Any) -> list[Mapping[str, Any]]:
    """The messages that this value is, if it is a list of them, or a single one."""
    listed = [value] if isinstance(value, Mapping) else value
    return list(listed) if all(map(_is_message, listed)) else []


def _is_message(value: Any) -> bool:
    if not isinstance(value, Mapping) or not isinstance(value.get("role"), str):
        return False
    return isinstance(value.get("content"), str | list) or isinstance(value.get("tool_calls"), list)


def _said(content: Any) -> str | None:
    """The text of a message; None where it holds something else."""
    if content is None or isinstance(content, str):
        return content or ""
    parts = content if isinstance(content, list) else [None]
    texts = [part.get("text") if isinstance(part, Mapping) else part for part in parts]
    said = [text for text in texts if isinstance(text, str)]
    return "\n".join(said) if len(said) == len(texts) else None


def _calls(calls: Any) -> tuple[tuple[str, str], ...]:
    """(tool, arguments) of each call; empty where they have another shape."""
    found = []
    for call in calls if isinstance(calls, list) else []:
        function = call.get("function", call) if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            return ()
        arguments = function.get("arguments", function.get("input", ""))
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        found.append((_cut(function["name"], 200), _cut(text)))
    return tuple(found)


def _cut(text: str, most: int = MOST_TEXT) -> str:
    return text if len(text) <= most else f"{text[:most]} [{len(text) - most:,} more characters]"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
