"""API keys: a token that is shown once, and its digest, which is all that is kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from typing import get_args

from paretune.core.errors import Misconfigured
from paretune.store import Jobs, Scope, StoredKey
from paretune.store.jobs import timestamp

SCOPES: tuple[Scope, ...] = get_args(Scope)
"""From the least to the most that a key may do."""

FRESH_SECONDS = 1.0
"""So long the keys are not read again: a key that another process revokes passes no longer than this."""


def allows(key: StoredKey, scope: Scope) -> bool:
    """True if the key may do what needs this scope: each scope may all that those before it may."""
    return SCOPES.index(key.scope) >= SCOPES.index(scope)


class KeyRing:
    """The keys of a store, for all threads of this process."""

    def __init__(self, jobs: Jobs, clock: Callable[[], float] = time.monotonic) -> None:
        self._jobs = jobs
        self._clock = clock
        self._known: tuple[float, list[StoredKey]] | None = None

    def make(self, name: str, scope: str) -> tuple[StoredKey, str]:
        """A new key and its token, which nobody can read again. Raises Misconfigured on an unknown scope."""
        known = next((each for each in SCOPES if each == scope), None)
        if known is None:
            raise Misconfigured("scope", f"one of {', '.join(SCOPES)}, not {scope!r}")
        token = f"pt_{secrets.token_urlsafe(32)}"
        key = StoredKey(f"key_{secrets.token_hex(4)}", name, _digest(token), known, timestamp())
        self._jobs.add_key(key)
        self._known = None
        return key, token

    def revoke(self, key_id: str) -> StoredKey:
        """Raises UnknownKey."""
        key = self._jobs.revoke_key(key_id)
        self._known = None
        return key

    def check(self, token: str) -> StoredKey | None:
        """The live key of this token. One that was just made elsewhere passes at once."""
        digest = _digest(token)
        return _live(self._keys(), digest) or _live(self._read(), digest)

    def live(self, key_id: str) -> StoredKey | None:
        """The key of this id, unless it was revoked."""
        return next((key for key in self._keys() if key.id == key_id and not key.revoked_at), None)

    @property
    def at_hand(self) -> bool:
        """True while `any` answers from what was read last."""
        known = self._known
        return known is not None and self._clock() - known[0] < FRESH_SECONDS

    def any(self) -> bool:
        """True if there ever was a key: once the last one is revoked nobody passes, rather than everybody."""
        return bool(self._keys())

    def _keys(self) -> list[StoredKey]:
        known = self._known
        if known is not None and self._clock() - known[0] < FRESH_SECONDS:
            return known[1]
        return self._read()

    def _read(self) -> list[StoredKey]:
        # The time before the reading: what is revoked during it counts from there.
        began = self._clock()
        keys = self._jobs.keys()
        self._known = began, keys
        return keys


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _live(keys: list[StoredKey], digest: str) -> StoredKey | None:
    """Compares with every key, and each in constant time, so that the time taken says nothing of any."""
    found = None
    for key in keys:
        same = hmac.compare_digest(key.digest, digest)
        if same and not key.revoked_at:
            found = key
    return found
