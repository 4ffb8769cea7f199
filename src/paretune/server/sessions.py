"""Browsers that signed in: a random token stands for the key that somebody has."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

from paretune.server.keys import KeyRing
from paretune.store import StoredKey

SECONDS = 7 * 86_400
"""So long a session lasts."""
MOST = 10_000
"""Of more, those that began first end."""


@dataclass(slots=True)
class Sessions:
    """By the digests of their tokens, in memory only: a server that is started anew asks for keys again.

    A session may what its key may, and ends with it. Every method may be called from any thread.
    """

    keys: KeyRing
    clock: Callable[[], float] = time.monotonic
    _of: dict[bytes, tuple[str, float]] = field(default_factory=dict)
    """Digest -> the key's id, and when the session ends; the oldest first."""
    _lock: Lock = field(default_factory=Lock)

    def begin(self, key: str) -> str:
        """The token of a new session; empty if the key lets nobody in."""
        found, now = self.keys.check(key), self.clock()
        if found is None:
            return ""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._of[_digest(token)] = found.id, now + SECONDS
            while len(self._of) > MOST or next(iter(self._of.values()))[1] <= now:
                del self._of[next(iter(self._of))]
        return token

    def check(self, token: str) -> StoredKey | None:
        """The live key that this session began with."""
        key_id, end = self._of.get(_digest(token), ("", 0.0))
        return self.keys.live(key_id) if self.clock() < end else None

    def end(self, token: str) -> None:
        with self._lock:
            self._of.pop(_digest(token), None)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
