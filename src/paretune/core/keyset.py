"""A set of very many keys in little memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set

import numpy as np

LOOSE = 4096
"""So many keys are kept as Python keeps a set; more are packed."""


class KeySet(Set[str]):
    """A set of texts (without a NUL at their end) that only grows: four times smaller than a Python set.

    The newest keys are a set, the others sorted arrays of bytes, each at least twice as long as the next one,
    so that a key is moved a number of times that grows with the logarithm of their number.
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._loose: set[str] = set()
        self._packed: list[np.ndarray] = []
        self.update(keys)

    def missing(self, keys: Iterable[str]) -> set[str]:
        """Those of `keys` that are not in the set."""
        left = set(keys) - self._loose
        if not left or not self._packed:
            return left
        asked = list(left)
        raw = np.array([key.encode("utf-8", "surrogatepass") for key in asked])
        found = np.zeros(len(asked), dtype=bool)
        for packed in self._packed:
            places = np.searchsorted(packed, raw)
            places[places == len(packed)] = 0
            found |= packed[places] == raw
        if not found.any():
            return left
        return {key for key, is_there in zip(asked, found.tolist(), strict=True) if not is_there}

    def update(self, keys: Iterable[str]) -> None:
        """Add these."""
        self.extend(self.missing(keys))

    def extend(self, missing: Set[str]) -> None:
        """Add these, of which none is in the set."""
        self._loose |= missing
        if len(self._loose) > LOOSE:
            self._pack()

    def _pack(self) -> None:
        new = np.array(sorted(key.encode("utf-8", "surrogatepass") for key in self._loose))
        self._loose = set()
        while self._packed and len(self._packed[-1]) < 2 * len(new):
            new = np.concatenate([self._packed.pop(), new])
            new.sort(kind="stable")
        self._packed.append(new)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and not self.missing([key])

    def __eq__(self, other: object) -> bool:
        return Set.__eq__(self, other)

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self._loose) + sum(map(len, self._packed))

    def __iter__(self) -> Iterator[str]:
        yield from self._loose
        for packed in self._packed:
            yield from (key.decode("utf-8", "surrogatepass") for key in packed.tolist())
