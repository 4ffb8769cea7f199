"""What the checks share: a client, what was learned so far, and one way to fire a rollout."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from paretune.container.answers import read_answer
from paretune.container.client import ContainerClient, ContainerInfo, answers_later
from paretune.container.conformance.findings import Finding, Severity
from paretune.container.messages import RolloutCall, build_request
from paretune.container.wire import Reply
from paretune.core.canonical import JsonValue
from paretune.core.errors import AttemptFailed, FailureKind
from paretune.core.rollout import Answer

AT_ONCE = 4
"""Calls in flight of a volley."""

ExampleData = Mapping[str, JsonValue]
DEFAULT_PROMPT = {"prompt": "Answer the question. Give the answer only."}


@dataclass(frozen=True, slots=True)
class Shot:
    """One rollout that was asked, with what came back."""

    call: RolloutCall
    seconds: float
    reply: Reply | None = None
    body: JsonValue = None
    answer: Answer | None = None
    failure: AttemptFailed | None = None
    later: bool = False


@dataclass
class Bench:
    """The container under test, and what is known about it."""

    client: ContainerClient
    api_key: str | None
    deadline: float
    components: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_PROMPT))
    examples: list[ExampleData] = field(default_factory=list)
    info: ContainerInfo = field(default_factory=lambda: ContainerInfo("", ""))
    size: int | None = None
    rows: bool = False
    findings: list[Finding] = field(default_factory=list)
    stopped: bool = False

    def good(self, name: str, explanation: str) -> None:
        self.findings.append(Finding(name, True, "error", explanation))

    def bad(self, name: str, explanation: str, fix: str, severity: Severity = "error") -> None:
        self.findings.append(Finding(name, False, severity, explanation, fix))

    def call(
        self, example: ExampleData, components: Mapping[str, str] | None = None, rollout_id: str = ""
    ) -> RolloutCall:
        """A rollout call with a new id unless one is given."""
        name = rollout_id or "check_" + uuid.uuid4().hex
        return RolloutCall(
            rollout_id=name,
            run_id="check",
            candidate_id="check",
            components=components or self.components,
            example_data=example,
            policy={"provider": "check", "model": "check"},
            program_task=self.info.task_id if self.rows else "",
        )

    async def fire(self, call: RolloutCall) -> Shot:
        """Ask for this rollout. What goes wrong is part of the shot, not raised."""
        began = time.monotonic()
        reply: Reply | None = None
        body: JsonValue = None
        later = False
        try:
            async with asyncio.timeout(self.deadline):
                request = build_request(call)
                reply = await self.client.wire.exchange("POST", "/rollout", request, total=self.deadline + 1)
                body = self.client.wire.read(reply, "POST /rollout")
                later = answers_later(reply, body)
                if later:
                    body = await self.client.finish(body, call.rollout_id)
            answer = read_answer(body, call.rollout_id)
        except (AttemptFailed, TimeoutError) as error:
            failure = error if isinstance(error, AttemptFailed) else self._late(later)
            return Shot(call, time.monotonic() - began, reply, body, None, failure, later)
        return Shot(call, time.monotonic() - began, reply, body, answer, None, later)

    async def volley(self, calls: Sequence[RolloutCall]) -> list[Shot]:
        """Fire all of these, a few at a time; the shots in the order of the calls."""
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(call: RolloutCall) -> Shot:
            async with slots:
                return await self.fire(call)

        return list(await asyncio.gather(*(one(call) for call in calls)))

    def _late(self, later: bool) -> AttemptFailed:
        what = "accepted the rollout but never finished it" if later else "gave no answer"
        return AttemptFailed(FailureKind.TIMEOUT, f"POST /rollout {what} within {self.deadline:g} s")
