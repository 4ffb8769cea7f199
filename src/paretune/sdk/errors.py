"""What the SDK raises: the kinds that the job classes document, with texts that say what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from paretune.core.errors import Misconfigured, ParetuneError

SHOWN = 500
"""The most characters of a server's answer that an error repeats."""

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that may be gone when the same is asked again."""


class SdkError(ParetuneError, RuntimeError):
    """Something went wrong between here and the server."""

    passing = False
    """True if the same question may well be answered a moment later."""


class NotSubmitted(SdkError):
    """The job has no id yet."""

    def __str__(self) -> str:
        return "the job has not been submitted yet: call submit() first"


class Unreachable(SdkError):
    """Nobody answered, or the answer broke off."""

    passing = True

    def __init__(self, url: str, cause: str) -> None:
        super().__init__(url, cause)
        self.url = url
        self.cause = cause

    def __str__(self) -> str:
        return f"{self.url} did not answer: {self.cause}"


class HTTPError(SdkError):
    """The server answered, with a refusal.

    `message` is what it said, `detail` its JSON answer (None if it was none), `retry_after` seconds.
    """

    def __init__(
        self,
        status: int,
        url: str,
        message: str,
        detail: Any = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(status, url, message, detail, retry_after)
        self.status = status
        self.url = url
        self.message = message
        self.detail = detail
        self.retry_after = retry_after

    @property
    def passing(self) -> bool:  # type: ignore[override]
        return self.status in PASSING

    def __str__(self) -> str:
        hint = " (is SYNTH_API_KEY a key of this server?)" if self.status in (401, 403) else ""
        return f"{self.url} answered {self.status}: {self.message or 'without a text'}{hint}"


class BadAnswer(SdkError):
    """The server said yes to something, but not in the agreed form."""

    passing = True

    def __init__(self, url: str, problem: str) -> None:
        super().__init__(url, problem)
        self.url = url
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.url} answered with {self.problem}"


class InvalidJob(Misconfigured, ValueError):
    """The job document, an argument or the task app has to be mended before anything can run."""


class StillRunning(ParetuneError, TimeoutError):
    """The time to wait is over and the job is not."""


def redact(text: str, secrets: Iterable[str | None]) -> str:
    """`text` with every secret in it blacked out."""
    for secret in sorted((secret for secret in secrets if secret), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
