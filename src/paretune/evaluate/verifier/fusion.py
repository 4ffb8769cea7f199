"""The reward of a rollout that was judged: the environment's, the verifier's, or both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from paretune.core.canonical import JsonValue, digest
from paretune.core.errors import AttemptFailed, FailureKind, Misconfigured
from paretune.core.rollout import Answer
from paretune.evaluate.verifier.graph import Verdict
from paretune.evaluate.verifier.judge import Mark
from paretune.evaluate.verifier.rubric import PARTS, Graph

Source = Literal["task_app", "judge", "fused"]
ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True)
class Fusion:
    """Where the reward comes from. Weights are shares: only their ratios count.

    `task_app`: the environment's reward as it is; the verdict is an objective and feedback. `judge`: the
    mean of the verdict's parts by `event` and `outcome`, or their plain mean if both are 0. `fused`: the
    mean of all three by their weights.
    """

    source: Source = "task_app"
    env: float = 1.0
    event: float = 0.0
    outcome: float = 0.0

    @property
    def identity(self) -> str:
        return digest(asdict(self), 8)

    def refuse_for(self, graph: Graph) -> None:
        """Raises Misconfigured if a part counts that the graph does not judge."""
        missing = [part for part in PARTS if self._own(part) and part not in graph.parts()]
        if self.source != "task_app" and missing:
            name = "weight_event" if missing[0] == "events" else "weight_outcome"
            raise Misconfigured(
                f"judge.{name}",
                f"above 0, but nothing judges the {missing[0]}: the rubric has no such criteria, or they are "
                "switched off",
            )

    def _own(self, part: str) -> float:
        return self.event if part == "events" else self.outcome

    def reward(self, environment: float, verdict: Verdict) -> float:
        """Raises AttemptFailed(VERIFIER) if a part is missing that counts."""
        if self.source == "task_app":
            return environment
        weighed = [(self._own(part), verdict.part(part)) for part in PARTS]
        if self.source == "judge" and not any(weight for weight, _ in weighed):
            weighed = [(1.0, value) for _, value in weighed if value is not None]
        if self.source == "fused":
            weighed.append((self.env, environment))
        counted = [(weight, value) for weight, value in weighed if weight]
        if not counted or any(value is None for _, value in counted):
            raise AttemptFailed(FailureKind.VERIFIER, "no verdict: a part that counts was not judged")
        total = sum(weight for weight, _ in counted)
        return sum(weight * value for weight, value in counted if value is not None) / total

    def fused(self, answer: Answer, verdict: Verdict) -> Answer:
        """The answer with its reward, the parts as objectives, and the reasons. Raises as `reward` does."""
        parts = {str(part): value for part in PARTS if (value := verdict.part(part)) is not None}
        reasons = told(verdict)
        return replace(
            answer,
            reward=self.reward(answer.reward, verdict),
            objectives={**answer.objectives, ENVIRONMENT: answer.reward, **parts},
            feedback=f"{answer.feedback}\n\n{reasons}" if answer.feedback else reasons,
            trace=_with_verdict(answer.trace, _record(verdict)),
        )


def without_verdict(answer: Answer, reason: str) -> Answer:
    """An answer whose reward does not depend on the verdict that failed."""
    return replace(
        answer,
        objectives={**answer.objectives, ENVIRONMENT: answer.reward},
        trace=_with_verdict(answer.trace, {"failed": {"verifier": reason}}),
    )


def told(verdict: Verdict) -> str:
    """What the verifier says, as text."""
    rewards = [f"{part} {value:.2f}" for part in PARTS if (value := verdict.part(part)) is not None]
    return "\n".join([f"Verifier: {', '.join(rewards)}", *(_line(mark) for mark in verdict.marks)])


def _line(mark: Mark) -> str:
    place = f" (event {mark.event})" if mark.event else ""
    return f"- {mark.criterion}{place} {mark.score:.2f}: {mark.explanation}"


def _record(verdict: Verdict) -> dict[str, Any]:
    record: dict[str, Any] = {
        "events": verdict.events,
        "outcome": verdict.outcome,
        "marks": [asdict(mark) for mark in verdict.marks],
    }
    return {**record, "failed": dict(verdict.failed)} if verdict.failed else record


def _with_verdict(trace: JsonValue, record: Mapping[str, JsonValue]) -> JsonValue:
    if trace is None:
        return {"verdict": dict(record)}
    if isinstance(trace, dict):
        return {**trace, "verdict": dict(record)}
    return {"trace": trace, "verdict": dict(record)}
