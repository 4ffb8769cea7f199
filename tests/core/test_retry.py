import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.core.errors import RETRYABLE, AttemptFailed, FailureKind
from paretune.core.retry import RetryPolicy, retrying

policies = st.builds(
    RetryPolicy,
    attempts=st.integers(1, 8),
    base=st.floats(0, 5),
    cap=st.floats(0, 30),
    longest_wait=st.just(60.0),
)
kinds = st.sampled_from(FailureKind)
wishes = st.none() | st.floats(0, 100)


@given(policies, st.integers(1, 9), kinds, wishes, st.randoms(use_true_random=False))
def test_waits_stay_within_jitter_after_what_the_far_side_asked_for(
    policy: RetryPolicy, attempt: int, kind: FailureKind, wish: float | None, rng: random.Random
) -> None:
    wait = policy.wait(attempt, AttemptFailed(kind, "", retry_after=wish), rng)
    hopeless = kind not in RETRYABLE or attempt >= policy.attempts or (wish or 0.0) > policy.longest_wait
    assert (wait is None) == hopeless
    if wait is not None:
        least = wish or 0.0
        assert least <= wait <= least + min(policy.cap, policy.base * 2 ** (attempt - 1)) + 1e-9


def test_jitter_is_full() -> None:
    rng, error = random.Random(0), AttemptFailed(FailureKind.TIMEOUT, "")
    waits = [RetryPolicy(base=1.0).wait(3, error, rng) or 0.0 for _ in range(2000)]
    assert min(waits) < 0.1
    assert max(waits) > 3.9
    assert sum(waits) / len(waits) == pytest.approx(2.0, abs=0.1)


class FarSide:
    """Fails as told, then answers; remembers when it was asked and what was slept."""

    def __init__(self, *failures: AttemptFailed) -> None:
        self.failures = list(failures)
        self.asked: list[int] = []
        self.slept: list[float] = []

    async def call(self, attempt: int) -> str:
        self.asked.append(attempt)
        if self.failures:
            raise self.failures.pop(0)
        return "answer"

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def retried(self, policy: RetryPolicy) -> str:
        return await retrying(self.call, policy, sleep=self.sleep, rng=random.Random(0))


async def test_asks_again_until_there_is_an_answer() -> None:
    busy = AttemptFailed(FailureKind.RATE_LIMITED, "busy", retry_after=7.0)
    far = FarSide(busy, AttemptFailed(FailureKind.CLOSED, "gone"))
    assert await far.retried(RetryPolicy()) == "answer"
    assert far.asked == [1, 2, 3]
    assert 7.0 <= far.slept[0] <= 7.25
    assert 0.0 <= far.slept[1] <= 0.5


async def test_raises_the_last_failure_when_attempts_are_used_up() -> None:
    far = FarSide(*(AttemptFailed(FailureKind.SERVER_ERROR, str(n)) for n in range(1, 9)))
    with pytest.raises(AttemptFailed, match="server_error: 3"):
        await far.retried(RetryPolicy(attempts=3))
    assert far.asked == [1, 2, 3]
    assert len(far.slept) == 2


@pytest.mark.parametrize(
    "failure",
    [
        AttemptFailed(FailureKind.UNAUTHORISED, "wrong key", retry_after=1.0),
        AttemptFailed(FailureKind.RATE_LIMITED, "come back tomorrow", retry_after=86_400.0),
    ],
    ids=["hopeless", "too long"],
)
async def test_gives_up_at_once_where_waiting_does_not_help(failure: AttemptFailed) -> None:
    far = FarSide(failure)
    with pytest.raises(AttemptFailed):
        await far.retried(RetryPolicy())
    assert (far.asked, far.slept) == ([1], [])


async def test_other_errors_are_not_retried() -> None:
    async def broken(attempt: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await retrying(broken, RetryPolicy(), sleep=FarSide().sleep, rng=random.Random(0))
