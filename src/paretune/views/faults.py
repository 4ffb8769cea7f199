"""Failed attempts by what was said: one message about several examples, seconds or ids is one fault."""

from __future__ import annotations

import re
from bisect import insort
from dataclasses import dataclass, field
from functools import lru_cache

from paretune.store.base import Attempt
from paretune.views.calls import second

KEYS = 5
LONGEST = 300
"""Characters of a message that tell it from others."""

_QUOTED = r"\"[^\"]*\"|'[^']*'"
_IDS = r"\b(?=[\w-]*\d)[\w-]*[0-9a-f]{6,}[\w-]*\b|\b[a-z]+[_-][\w-]*\d[\w-]*\b"
_MASKED = re.compile(f"({_QUOTED})|({_IDS})|" + r"\d+(?:[.,:]\d+)*", re.IGNORECASE)

Signature = tuple[str, str, str]
"""Who was called (`calls.ROLES`), the failure's kind, and its message with `...`, `ID` and `N` for what is
quoted, an id or a number."""


@dataclass(slots=True)
class Fault:
    """How often attempts failed in one way, from when to when (seconds since 1970), and what the first of
    them said. `keys` are those of the facts that the first five asked for."""

    attempts: int = 0
    first: float = 0.0
    last: float = 0.0
    message: str = ""
    _earliest: list[tuple[float, int, str, str]] = field(default_factory=list)

    @property
    def keys(self) -> list[str]:
        return [key for _, _, key, _ in self._earliest]

    def add(self, attempt: Attempt) -> None:
        """One more that failed so."""
        ended = attempt.ended
        assert ended is not None
        at = second(ended.at)
        self.attempts += 1
        self.last = max(self.last, at)
        insort(self._earliest, (at, attempt.place, attempt.begun.key, ended.message[:LONGEST]))
        del self._earliest[KEYS:]
        self.first, _, _, self.message = self._earliest[0]


@lru_cache(maxsize=4096)
def signature(role: str, kind: str, message: str) -> Signature:
    """What this failure has in common with others."""
    return role, kind, _MASKED.sub(_mask, message[:LONGEST])


def _mask(found: re.Match[str]) -> str:
    quoted, name = found.groups()
    return f"{quoted[0]}...{quoted[0]}" if quoted else "ID" if name else "N"
