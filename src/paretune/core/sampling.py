"""Drawing minibatches by epochs, and dealing examples into splits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
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
    order = _epoch(len(items), epoch, seed)
    padded = order + order[: per_epoch * size - len(order)]
    return [items[place] for place in padded[part * size : (part + 1) * size]]


@lru_cache(4)
def _epoch(count: int, epoch: int, seed: int) -> tuple[int, ...]:
    order = list(range(count))
    stream(seed, "epoch", epoch).shuffle(order)
    return tuple(order)


def deal(items: Sequence[T], count: int, *, seed: int, purpose: str) -> tuple[list[T], list[T]]:
    """`count` items drawn at random, and the rest; both keep the given order."""
    picked = set(stream(seed, purpose).sample(range(len(items)), count))
    return (
        [item for i, item in enumerate(items) if i in picked],
        [item for i, item in enumerate(items) if i not in picked],
    )
