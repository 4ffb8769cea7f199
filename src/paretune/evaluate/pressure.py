"""What the answers of the far side say about how much to ask of it. No clock of its own."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field

from paretune.core.errors import AttemptFailed, FailureKind

LEAST_COOLDOWN = 1.0
"""Seconds between two cuts of the limit, at least."""
LEAST_FAILURES = 5
"""Failures to connect in a row that open the circuit, at least."""
FIRST_PROBE, LONGEST_PROBE = 1.0, 30.0
"""Seconds before the first probe of an open circuit, and at most before any other."""

ADDRESS = re.compile(
    r"https?://\S*?(?=[:,;.)\]]*(?:\s|$))"  # a URL, without the punctuation behind it
    r"|\('[^']*', \d+(?:, \d+)*\)"  # as Python writes a socket's address
    r"|\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\](?::\d+)?"
    r"|(?<![\w.-])[\w.-]+:\d+\b"
    r"|\b\d{1,3}(?:\.\d{1,3}){3}\b"
)


def without_address(message: str) -> str:
    """The message with URLs, hosts with a port, and IP addresses taken out."""
    return ADDRESS.sub("[address]", message)


def pushes_back(failure: AttemptFailed) -> bool:
    """True if the far side has too much to do: it says so, says when to come back, or does not get done."""
    slow = failure.kind in (FailureKind.RATE_LIMITED, FailureKind.TIMEOUT)
    return slow or failure.retry_after is not None


@dataclass(slots=True)
class Concurrency:
    """How many calls may be out: halved on push-back, one more after as many successes as it is wide.

    `most` is where it begins and what it never passes. (Additive increase, multiplicative decrease:
    Chiu and Jain 1989.)
    """

    most: int
    now: int = field(init=False)
    _successes: int = 0
    _seconds: float = 0.0
    _cut: float = float("-inf")

    def __post_init__(self) -> None:
        self.now = self.most

    def allow(self, most: int) -> None:
        """From now on so many at most: others want their share."""
        self.now = most if self.now == self.most else min(self.now, most)
        self.most = most

    def succeeded(self, seconds: float) -> None:
        """An answer came after so many seconds."""
        self._seconds = seconds
        if self.now < self.most:
            self._successes += 1
            if self._successes >= self.now:
                self.now, self._successes = self.now + 1, 0

    def pushed_back(self, moment: float) -> None:
        """Half of it, at least 1; once per duration of a call, for one overload is felt by all calls out."""
        if moment - self._cut >= max(LEAST_COOLDOWN, self._seconds):
            self.now, self._successes, self._cut = max(1, self.now // 2), 0, moment


@dataclass(slots=True)
class Circuit:
    """Opens when nobody can connect: then one probe at a time, after waits that double (with jitter).

    `patience` is how many seconds an open circuit waits for an answer; the last probe is at their end.
    """

    patience: float
    failures: int = 0
    opened: float | None = None
    next_probe: float = 0.0
    probing: bool = False
    _wait: float = FIRST_PROBE

    def lets_start(self, moment: float) -> bool:
        return self.opened is None or (not self.probing and moment >= self.next_probe)

    def start(self) -> bool:
        """A call goes out; True if it is a probe."""
        self.probing = self.opened is not None
        return self.probing

    def answered(self) -> None:
        """Somebody was reached: all is well."""
        self.failures, self.opened, self.probing, self.next_probe = 0, None, False, 0.0

    def failed(self, moment: float, *, probe: bool, limit: int, rng: random.Random) -> None:
        """A call could not connect, or a probe brought no answer. `limit`: calls allowed out."""
        self.failures += 1
        if self.opened is None:
            if self.failures < max(LEAST_FAILURES, limit):
                return
            self.opened, self._wait = moment, FIRST_PROBE
        elif probe:
            self.probing, self._wait = False, min(2 * self._wait, LONGEST_PROBE)
        else:
            return  # was out already when the circuit opened
        last = max(moment, self.opened + self.patience)
        self.next_probe = min(last, moment + rng.uniform(self._wait / 2, self._wait))

    def abandoned(self) -> None:
        """The probe ended without telling anything; the next call is one."""
        self.probing = False

    def silent_for(self, moment: float) -> float:
        """Seconds since the circuit opened, 0 while it is closed."""
        return 0.0 if self.opened is None else moment - self.opened

    def given_up(self, moment: float) -> bool:
        return self.opened is not None and moment - self.opened >= self.patience
