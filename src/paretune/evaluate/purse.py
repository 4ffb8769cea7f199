"""Waiting for what other calls hold of the budget."""

from __future__ import annotations

import asyncio

from paretune.core.budget import Ledger


async def released(ledger: Ledger) -> None:
    """Returns when a call that holds some of this budget has come home."""
    home = asyncio.get_running_loop().create_future()
    ledger.when_released(lambda: None if home.done() else home.set_result(None))
    await home
