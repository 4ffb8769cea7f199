"""For tests of the SDK: keys to look for, a clock that jumps, and every method played both ways."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

API_KEY = "sk-api-0123456789"
TASK_KEY = "env-key-9876543210"


@dataclass
class FakeTime:
    """Sleeping takes none of yours."""

    now: float = 1000.0
    naps: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)


@dataclass(frozen=True)
class Twin:
    """Plays a method as it is, or its twin for asyncio."""

    suffix: str

    def __call__(self, thing: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        if not self.suffix:
            return getattr(thing, method)(*args, **kwargs)
        return asyncio.run(getattr(thing, method + self.suffix)(*args, **kwargs))
