"""The one retry loop: full jitter, the far side's own wish first, no clock of its own."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from paretune.core.errors import AttemptFailed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`attempts` in all; waits grow from `base` seconds by doubling up to `cap` seconds.

    `Retry-After` is followed up to `longest_wait` seconds; a longer wish ends the attempts.
    """

    attempts: int = 4
    base: float = 0.25
    cap: float = 20.0
    longest_wait: float = 120.0

    def wait(self, attempt: int, error: AttemptFailed, rng: random.Random) -> float | None:
        """Seconds to wait after attempt number `attempt` (from 1), None to give up."""
        if attempt >= self.attempts or not error.retryable:
            return None
        jitter = self.jitter(attempt, rng)
        if error.retry_after is None:
            return jitter
        return None if error.retry_after > self.longest_wait else error.retry_after + jitter

    def jitter(self, attempt: int, rng: random.Random) -> float:
        """Seconds, from 0 to what the doubling has come to after attempt number `attempt`."""
        return rng.uniform(0.0, min(self.cap, self.base * 2.0 ** min(attempt - 1, 60)))


async def retrying(
    call: Callable[[int], Awaitable[T]],
    policy: RetryPolicy,
    *,
    sleep: Callable[[float], Awaitable[None]],
    rng: random.Random,
) -> T:
    """Await `call(attempt)` for attempt 1, 2, ... until it returns or the policy gives up.

    Raises the last AttemptFailed.
    """
    attempt = 1
    while True:
        try:
            return await call(attempt)
        except AttemptFailed as error:
            wait = policy.wait(attempt, error, rng)
            if wait is None:
                raise
        await sleep(wait)
        attempt += 1
