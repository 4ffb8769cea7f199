"""Drawing minibatches by epochs, and dealing examples into splits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from paretune.core.canonical import stream

T = TypeVar("T")


def minibatch(items: Sequence[T], size: int, index: int, *, seed: int) -> list[T]:
    """The `index`-th minibatch of an endless row of shuffled epochs, each item once per epoch.

    An epoch's last minibatch is filled up with items from the same epoch's beginning. With fewer items
    than `size` all of them are returned.
    """
    size = min(size, len(items))
    per_epoch = -(-len(items) // size)
    epoch, part = divmod(index, per_epoch)
    order = list(items)
    stream(seed, "epoch", epoch).shuffle(order)
    padded = order + order[: per_epoch * size - len(order)]
    return padded[part * size : (part + 1) * size]


def deal(items: Sequence[T], count: int, *, seed: int, purpose: str) -> tuple[list[T], list[T]]:
    """`count` items drawn at random, and the rest; both keep the given order."""
    picked = set(stream(seed, purpose).sample(range(len(items)), count))
    return (
        [item for i, item in enumerate(items) if i in picked],
        [item for i, item in enumerate(items) if i not in picked],
    )
