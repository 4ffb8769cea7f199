"""What calls of one policy cost, and waiting for what other calls hold of the budget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from paretune.core.budget import Ledger
from paretune.core.rollout import Identity
from paretune.store.base import Role


@dataclass(frozen=True, slots=True)
class Tier:
    """Rollouts by one policy: their identity, the role that books them, and what each reserves at most.

    `price` is in USD; `tokens` is None where nobody knows.
    """

    identity: Identity
    role: Role = "rollout"
    price: Callable[[], float] = lambda: 0.0
    tokens: int | None = None


async def released(ledger: Ledger) -> None:
    """Returns when a call that holds some of this budget has come home."""
    home = asyncio.get_running_loop().create_future()
    ledger.when_released(lambda: None if home.done() else home.set_result(None))
    await home
