"""Errors, named for what the caller does next."""

from __future__ import annotations

from enum import StrEnum


class ParetuneError(Exception):
    """Root of everything this package raises on purpose. Arguments are kept, so errors can be pickled."""


class Misconfigured(ParetuneError, ValueError):
    """The user can mend it: names the field and the fix. CLI exit code 2, HTTP 4xx. Also a `ValueError`,
    the documents' word for a wrong configuration."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.field = field
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"


class NotAvailable(Misconfigured):
    """A known setting whose behaviour is not built yet."""

    def __init__(self, field: str) -> None:
        ParetuneError.__init__(self, field)
        self.field = field
        self.problem = "not available yet"

    def __str__(self) -> str:
        return f"{self.problem}: {self.field}"


class BudgetExceeded(ParetuneError):
    """A reservation does not fit what is left; nothing was asked."""

    def __init__(self, limit: str, wanted: float, left: float) -> None:
        super().__init__(limit, wanted, left)
        self.limit = limit
        self.wanted = wanted
        self.left = left

    def __str__(self) -> str:
        return f"{self.limit}: {self.wanted:g} wanted, {self.left:g} left"


class RunFailed(ParetuneError):
    """The run cannot go on; the cause is named, and `resume` picks it up once mended."""

    def __init__(self, reason: str, cause: str) -> None:
        super().__init__(reason, cause)
        self.reason = reason
        self.cause = cause

    def __str__(self) -> str:
        return f"{self.reason}: {self.cause}"


class Cancelled(ParetuneError):
    """Somebody asked the run to end."""


class Paused(ParetuneError):
    """Somebody asked the run to rest; `resume` goes on."""


class FailureKind(StrEnum):
    """Why a rollout, a verdict or a proposal has no result. Never a score."""

    UNREACHABLE = "unreachable"
    CLOSED = "connection_closed"
    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    UNAUTHORISED = "unauthorised"
    REFUSED = "refused"
    REDIRECT = "redirect"
    NOT_JSON = "not_json"
    TOO_LARGE = "too_large"
    NO_REWARD = "no_reward"
    BAD_REWARD = "bad_reward"
    WRONG_ID = "wrong_id"
    TASK_FAILED = "task_failed"
    EVALUATOR_RAISED = "evaluator_raised"
    BAD_ANSWER = "bad_answer"
    VERIFIER = "no_verdict"


RETRYABLE = frozenset(
    {
        FailureKind.UNREACHABLE,
        FailureKind.CLOSED,
        FailureKind.TIMEOUT,
        FailureKind.RATE_LIMITED,
        FailureKind.SERVER_ERROR,
    }
)
"""Kinds that may pass when asked again; all others would only repeat themselves."""


FREE = frozenset(
    {
        FailureKind.UNREACHABLE,
        FailureKind.RATE_LIMITED,
        FailureKind.UNAUTHORISED,
        FailureKind.REFUSED,
        FailureKind.REDIRECT,
    }
)
"""Kinds by which the far side says that it did not do the work; all others may have cost money."""

OUTCOME_UNKNOWN = frozenset({FailureKind.TIMEOUT, FailureKind.CLOSED})
"""Kinds after which the far side may have done, and charged, the work all the same."""


class AttemptFailed(ParetuneError):
    """One attempt at a call failed. `retry_after` is in seconds, None if the far side said nothing."""

    def __init__(self, kind: FailureKind, message: str, retry_after: float | None = None) -> None:
        super().__init__(kind, message, retry_after)
        self.kind = kind
        self.message = message
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"

    @property
    def retryable(self) -> bool:
        return self.kind in RETRYABLE
