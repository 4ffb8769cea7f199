"""What failed, by what was said, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from paretune.console.view import Asked, View
from paretune.core import events
from paretune.core.errors import RETRYABLE, FailureKind
from paretune.core.rollout import RolloutKey
from paretune.evaluate.facts import is_rollout, outcome
from paretune.propose.guards import Reason
from paretune.views.flow import ErrorGroup, errors
from paretune.views.run_view import RunView

MOST = 100
"""Groups on the page."""
NAMED = 12
"""Examples of a group that are named."""

ADVICE: Mapping[str, str] = {
    FailureKind.UNREACHABLE: "Nothing listens there: is the task running, and is its address the job's?",
    FailureKind.CLOSED: "The task hangs up in the middle: look at its own log for a crash or a restart.",
    FailureKind.TIMEOUT: "Too slow for the deadline: fewer rollouts at a time, or a longer rollout.timeout.",
    FailureKind.RATE_LIMITED: "More than the other side allows: the run slows down by itself; a lower "
    "rollout.max_concurrent spares it the asking.",
    FailureKind.SERVER_ERROR: "The task raised an error: its own log says which.",
    FailureKind.UNAUTHORISED: "The key is missing or wrong: see ENVIRONMENT_API_KEY, or the proposer's key.",
    FailureKind.REFUSED: "The task does not take the request: paretune check says what it expects.",
    FailureKind.REDIRECT: "The address leads elsewhere: put the final one into the job.",
    FailureKind.NOT_JSON: "The answer is no JSON: is it the task that answers there, or a proxy's page?",
    FailureKind.TOO_LARGE: "The answer is larger than is read: leave long traces out of it.",
    FailureKind.NO_REWARD: "The answer has no reward: paretune check shows where it is looked for.",
    FailureKind.BAD_REWARD: "The reward is no finite number: the evaluator must not answer NaN or text.",
    FailureKind.WRONG_ID: "The answer belongs to another request: the task mixes up what runs at once.",
    FailureKind.TASK_FAILED: "The task says itself that it failed on this example: see its message.",
    FailureKind.EVALUATOR_RAISED: "Your evaluator raised an exception: the message has its last line.",
    FailureKind.BAD_ANSWER: "The answer could not be used: the message says why.",
}
REJECTED: Mapping[str, str] = {
    Reason.PROPOSER_FAILED: "The proposer's model could not be asked: see its address, key and limits.",
    Reason.REFUSED: "The model declined to answer.",
    Reason.TRUNCATED: "The answer was cut off: allow the proposer more tokens.",
    Reason.UNFENCED: "The answer held no text in the asked form: a stronger model follows it.",
    Reason.AMBIGUOUS: "The answer held the same component twice.",
    Reason.UNKNOWN_COMPONENT: "The answer edits a component that is not there, or was not to be edited.",
    Reason.NO_IDEA: "The proposer had nothing to say about these failures.",
    Reason.EMPTY: "A text would have been empty.",
    Reason.UNCHANGED: "The text came back as it was.",
    Reason.STALE: "The text that it edits is too old by now.",
    Reason.CLASH: "It edits what another edit changed meanwhile.",
    Reason.DUPLICATE: "These texts are a candidate already.",
    Reason.REPEATED: "These texts were tried from this parent before.",
    Reason.PLACEHOLDER_LOST: "The text lost a placeholder that the task fills in.",
    Reason.PLACEHOLDER_INVENTED: "The text has a placeholder that nobody fills in.",
    Reason.COPIED_TRAINING_TEXT: "The text says what a training example says; the guard keeps answers out.",
    Reason.TOO_LONG: "The text is over the limit: raise it if the task can bear longer prompts.",
}


@dataclass(frozen=True, slots=True)
class Group:
    """Failures that say the same. `examples` are those that it is known of, `more` are not named."""

    error: ErrorGroup
    examples: list[str]
    more: int
    link: RolloutKey | None
    advice: str
    retried: bool


@dataclass(frozen=True, slots=True)
class Turned:
    """Proposals that were turned down for one reason, before they cost a rollout."""

    reason: str
    count: int
    first: int
    last: int
    detail: str
    advice: str


def show(asked: Asked) -> Mapping[str, Any]:
    run = asked.run
    found = errors(run)
    keys = _keys(asked, found[:MOST])
    return {
        "groups": [_group(error, keys) for error in found[:MOST]],
        "left_out": len(found[MOST:]),
        "attempts": sum(error.attempts for error in found),
        "given_up": len(run.failures),
        "turned": _turned(run),
        "clock": _clock,
    }


def _keys(asked: Asked, found: Iterable[ErrorGroup]) -> dict[str, RolloutKey]:
    """Fact key -> which rollout it is, for those that the groups name."""
    wanted = [key for error in found for key in error.keys]
    facts = asked.store.facts(wanted, asked.run.run.id) if wanted else {}
    return {key: outcome(fact).key for key, fact in facts.items() if is_rollout(fact)}


def _group(error: ErrorGroup, keys: Mapping[str, RolloutKey]) -> Group:
    known = [keys[key] for key in error.keys if key in keys]
    examples = list(dict.fromkeys([*error.examples, *(key.example for key in known)]))
    return Group(
        error=error,
        examples=examples[:NAMED],
        more=max(0, len(examples) - NAMED),
        link=known[0] if known else None,
        advice=ADVICE.get(error.kind, ""),
        retried=error.kind in RETRYABLE,
    )


def _turned(run: RunView) -> list[Turned]:
    found: dict[str, list[tuple[int, events.ProposalRejected]]] = {}
    for seq, decision in enumerate(run.decisions):
        if isinstance(decision, events.ProposalRejected):
            found.setdefault(decision.reason, []).append((seq, decision))
    turned = [
        Turned(reason, len(each), each[0][0], each[-1][0], each[-1][1].detail, REJECTED.get(reason, ""))
        for reason, each in found.items()
    ]
    return sorted(turned, key=lambda group: -group.count)


def _clock(at: float | None) -> str:
    """A second since 1970 as `2026-01-31 12:00:59` (UTC)."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S") if at else "-"


VIEW = View("errors", "Errors", "errors", show, key="x")
