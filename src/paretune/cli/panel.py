"""The lines of a live view, fitted to a terminal of any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.live import Live
from rich.text import Text

from paretune.cli.console import clean, out

LABEL = 10
"""Columns of the labels."""
GAP = "   "
NEWEST = 10
FEED_LEAST = 3
"""Lines of the feed: at most, and at least where there are as many lines as `SHORT`."""
SHORT = 12
A_SECOND = 2
"""Paintings."""


@dataclass(frozen=True, slots=True)
class Row:
    """A label and what it names, part by part; parts that have no room go to the next line.

    Where the terminal is short, rows of a smaller `weight` are left out first.
    """

    label: str
    parts: Sequence[str]
    weight: int = 1
    style: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """What stands on the screen: a title, rows, and below them the newest lines of a feed."""

    title: str
    rows: Sequence[Row] = ()
    feed: Sequence[str] = ()

    def fitted(self, width: int, height: int) -> Text:
        """At most `height` lines, none wider than `width`."""
        blocks = [_block(row, width) for row in self.rows]
        least = 1 + FEED_LEAST if self.feed and height >= SHORT else 0
        room = max(0, height - 1 - least)
        kept = set[int]()
        for at in sorted(range(len(blocks)), key=lambda at: -self.rows[at].weight):
            if len(blocks[at]) <= room:
                kept.add(at)
                room -= len(blocks[at])
        lines = [_cut(Text(clean(self.title), style="bold"), width)]
        lines += [line for at, block in enumerate(blocks) if at in kept for line in block]
        room += least
        newest = self.feed[-min(NEWEST, room - 1) :] if room > 1 else ()
        if newest:
            lines += [Text(), *(_cut(Text(clean(line)), width) for line in newest)]
        return Text("\n").join(lines)


def _block(row: Row, width: int) -> list[Text]:
    room = max(1, width - LABEL)
    lines: list[Text] = []
    for part in row.parts:
        text = _cut(Text(clean(part), style=row.style), room)
        if lines and lines[-1].cell_len + len(GAP) + text.cell_len <= room:
            lines[-1] = Text.assemble(lines[-1], GAP, text)
        else:
            lines.append(text)
    labels = [Text(row.label.ljust(LABEL), style="dim"), *([Text(" " * LABEL)] * (len(lines) - 1))]
    return [_cut(Text.assemble(label, line), width) for label, line in zip(labels, lines, strict=True)]


def _cut(text: Text, width: int) -> Text:
    text.truncate(max(1, width), overflow="ellipsis")
    return text


def screen(panel: Callable[[], Panel]) -> Live:
    """Paints what `panel` gives, now and then; gone at the end, unless `transient` is taken from it."""

    def paint() -> Text:
        # The last column and the last line are left free for what the terminal itself puts there.
        width, height = out.size
        return panel().fitted(width - 1, height - 1)

    return Live(console=out, refresh_per_second=A_SECOND, transient=True, get_renderable=paint)


def watched() -> bool:
    """True if output goes to a terminal on which lines can move."""
    return out.is_terminal and not out.is_dumb_terminal
