"""Which training examples an iteration looks at."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from paretune.core.errors import Misconfigured
from paretune.core.sampling import minibatch
from paretune.library.types import DataId, DataInst

if TYPE_CHECKING:
    from paretune.library.loaders import DataLoader
    from paretune.library.state import GEPAState


@runtime_checkable
class BatchSampler(Protocol[DataId, DataInst]):
    """Draws minibatches. May be asked several times in one iteration, for several proposals."""

    def next_minibatch_ids(
        self, loader: DataLoader[DataId, DataInst], state: GEPAState[Any, Any]
    ) -> list[DataId]:
        """Ids of `loader`."""
        ...


class EpochShuffledBatchSampler(BatchSampler[DataId, DataInst]):
    """Every example once an epoch, in an order of the epoch's own; iteration `state.i` takes the `i`-th part.

    Nothing but the seed, the iteration and the number of examples says what is drawn, so a resumed run
    draws what it would have drawn. `rng` gives the seed, once. A further draw in the same iteration is the
    epoch's following part, from the end back to the beginning. An epoch's last part is filled up from its
    first; a training set smaller than a minibatch is one. Raises Misconfigured on a size below 1.
    """

    def __init__(self, minibatch_size: int, rng: random.Random | None = None) -> None:
        if minibatch_size < 1:
            raise Misconfigured("minibatch_size", f"must be 1 or more, not {minibatch_size!r}")
        self.minibatch_size = minibatch_size
        self.seed = 0 if rng is None else rng.getrandbits(63)
        self._iteration: int | None = None
        self._draws = 0

    def next_minibatch_ids(
        self, loader: DataLoader[DataId, DataInst], state: GEPAState[Any, Any]
    ) -> list[DataId]:
        """Raises ValueError without examples."""
        ids = list(loader.all_ids())
        if not ids:
            raise ValueError("there are no training examples to draw a minibatch from")
        if state.i != self._iteration:
            self._iteration, self._draws = state.i, 0
        parts = -(-len(ids) // self.minibatch_size)
        epoch, part = divmod(max(state.i, 0), parts)
        place = epoch * parts + (part + self._draws) % parts
        self._draws += 1
        return minibatch(ids, self.minibatch_size, place, seed=self.seed)
