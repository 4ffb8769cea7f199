"""Where examples come from: a loader knows their ids and fetches them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Protocol, cast, runtime_checkable

from paretune.library.types import DataId, DataInst


class ComparableHashable(Hashable, Protocol):
    """An id that can be sorted too; being hashable is all that is asked of one here."""

    def __lt__(self, other: Any, /) -> bool: ...


@runtime_checkable
class DataLoader(Protocol[DataId, DataInst]):
    """Examples by id. Ids are hashable and stay what they are for the whole run."""

    def all_ids(self) -> Sequence[DataId]:
        """Every id there is now, always in the same order; may grow between two calls."""
        ...

    def fetch(self, ids: Sequence[DataId]) -> list[DataInst]:
        """The examples of these ids, in their order."""
        ...

    def __len__(self) -> int: ...


class MutableDataLoader(DataLoader[DataId, DataInst], Protocol):
    """A loader that takes more examples while the run goes on."""

    def add_items(self, items: list[DataInst]) -> None: ...


class ListDataLoader(MutableDataLoader[int, DataInst]):
    """A sequence in memory; an example's id is its position."""

    def __init__(self, items: Sequence[DataInst]) -> None:
        self.items = list(items)

    def all_ids(self) -> Sequence[int]:
        return list(range(len(self.items)))

    def fetch(self, ids: Sequence[int]) -> list[DataInst]:
        return [self.items[place] for place in ids]

    def __len__(self) -> int:
        return len(self.items)

    def add_items(self, items: Sequence[DataInst]) -> None:
        self.items.extend(items)


def ensure_loader(data_or_loader: Sequence[DataInst] | DataLoader[DataId, DataInst]) -> DataLoader[Any, Any]:
    """A loader as it is, a sequence in a ListDataLoader. Raises TypeError on anything else."""
    if isinstance(data_or_loader, DataLoader):
        return cast(DataLoader[Any, Any], data_or_loader)
    if isinstance(data_or_loader, Sequence):
        return ListDataLoader(data_or_loader)
    raise TypeError(
        "examples come as a list or as a loader with all_ids, fetch and __len__, "
        f"not as {type(data_or_loader).__name__}; where it can be iterated, list(...) makes one"
    )
