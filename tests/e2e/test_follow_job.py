"""What is told of a job while it is followed."""

from __future__ import annotations

from typing import Any

from paretune.cli.follow_job import Telling
from paretune.sdk import StreamMessage, StreamType


def status(**told: Any) -> StreamMessage:
    return StreamMessage(StreamType.STATUS, "pl_1", told)


def test_a_score_that_the_new_best_lacks_is_not_the_old_ones() -> None:
    telling = Telling("pl_1")
    telling.handle(status(status="running", best_score=0.25, best_train_score=0.25, eta_seconds=3.0))
    telling.handle(status(status="succeeded", best_score=0.75, best_train_score=None, eta_seconds=None))
    assert telling.figures == {"status": "succeeded", "best_score": 0.75}
