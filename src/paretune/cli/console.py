"""Where output goes: tables and colour on a terminal, plain lines elsewhere; texts are never markup."""

from __future__ import annotations

import io
import json
import re
import sys
from typing import Any, Literal

from rich.console import Console
from rich.text import Text

from paretune.core.canonical import finite

_PLAIN_WIDTH = 150
"""Columns of a table that goes to a file or a pipe."""

LINE_VERSION = 1
"""Of the lines that `as_line` writes."""

for _stream in (sys.stdout, sys.stderr):
    if isinstance(_stream, io.TextIOWrapper):
        _stream.reconfigure(errors="replace")

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """Text of a model or task without control characters: it must not steer the terminal."""
    return _CONTROL.sub("�", text)


def say(text: str = "", style: str = "") -> None:
    """One line, or several, exactly as given."""
    out.print(Text(clean(text), style=style))


def complain(text: str) -> None:
    err.print(Text("error: ", style="bold red") + Text(clean(text)))


def note(text: str) -> None:
    err.print(Text(clean(text), style="dim"))


def as_json(value: Any) -> None:
    """Machine-readable output on standard output, one document."""
    sys.stdout.write(json.dumps(finite(value), indent=2, ensure_ascii=False, default=str) + "\n")


def as_line(kind: Literal["submitted", "event", "figures", "result"], who: Any, what: Any) -> None:
    """One line of many on standard output; `who` names the run or job that it is about."""
    line = {"kind": kind, "version": LINE_VERSION, **who, **what}
    # Nothing but ASCII: to some readers of lines U+2028 ends one.
    sys.stdout.write(json.dumps(finite(line), default=str) + "\n")
    sys.stdout.flush()


def one_line(text: str, width: int) -> str:
    """The text on one line, cut to so many characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= width else flat[: width - 3] + "..."
