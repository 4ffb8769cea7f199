"""What failed, by what was said, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from paretune.console.view import Asked, View
from paretune.console.views.cost import NAMES
from paretune.core import events
from paretune.core.budget import POLICY
from paretune.core.errors import RETRYABLE, FailureKind
from paretune.core.rollout import RolloutKey
from paretune.evaluate.facts import is_rollout, outcome
from paretune.propose.guards import Reason
from paretune.store.base import Fact
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
    FailureKind.VERIFIER: "The rollout is there, its verdict is not: look at the verifier's own errors.",
}
MODEL_ADVICE: Mapping[str, str] = {
    FailureKind.UNREACHABLE: "Nothing listens there: is the address of the {who}'s model right?",
    FailureKind.CLOSED: "The {who}'s model hangs up in the middle, or a proxy before it does.",
    FailureKind.TIMEOUT: "The {who}'s model is too slow for its deadline: a faster one, or shorter answers.",
    FailureKind.RATE_LIMITED: "More than the {who}'s model allows: the run slows down by itself.",
    FailureKind.SERVER_ERROR: "The {who}'s model failed on its own side: its provider's status says more.",
    FailureKind.UNAUTHORISED: "The {who}'s key is missing or wrong.",
    FailureKind.REFUSED: "The {who}'s model does not take the request: see its name and its parameters.",
    FailureKind.REDIRECT: "The {who}'s address leads elsewhere: put the final one into the job.",
    FailureKind.NOT_JSON: "The answer is no JSON: does the {who}'s model answer there, or a proxy?",
    FailureKind.TOO_LARGE: "The {who}'s answer is larger than is read.",
    FailureKind.BAD_ANSWER: "The {who}'s answer could not be used: the message says why.",
}
"""Where a model was called and not the task; the other kinds are faults of tasks alone."""
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
    Reason.BAD_DEMONSTRATIONS: "The demonstrations were no solved training examples that may be shown.",
    Reason.COPIED_TRAINING_TEXT: "The text says what a training example says; the guard keeps answers out.",
    Reason.TOO_LONG: "The text is over the limit: raise it if the task can bear longer prompts.",
}


@dataclass(frozen=True, slots=True)
class Group:
    """Failures that say the same. `examples` are those that it is known of, `more` are not named; `again`
    says what became of those that nobody gave up, where they are asked for once more."""

    error: ErrorGroup
    examples: list[str]
    more: int
    link: RolloutKey | None
    advice: str
    again: str


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
    facts = _facts(asked, found[:MOST])
    return {
        "groups": [_group(error, facts) for error in found[:MOST]],
        "left_out": len(found[MOST:]),
        "attempts": sum(error.attempts for error in found),
        "given_up": len(run.failures),
        "names": NAMES,
        "turned": _turned(run),
        "clock": _clock,
    }


def _facts(asked: Asked, found: Iterable[ErrorGroup]) -> Mapping[str, Fact]:
    """Those that the groups name, as far as they are known."""
    wanted = [key for error in found for key in error.keys]
    return asked.store.facts(wanted, asked.run.run.id) if wanted else {}


def advice(role: str, kind: str) -> str:
    """What to do about failures of this kind; empty where nothing is known to help."""
    if role in POLICY:
        return ADVICE.get(kind, "")
    return MODEL_ADVICE.get(kind, "").format(who=NAMES.get(role, role))


def _again(error: ErrorGroup, facts: Mapping[str, Fact]) -> str:
    """Success is claimed only where the group names all its attempts, and each has its result by now."""
    if error.given_up or error.kind not in RETRYABLE:
        return ""
    found = [facts[key] for key in error.keys if key in facts]
    all_known = len(found) == error.attempts and all(fact.kind != "failure" for fact in found)
    return "asked again, with success" if all_known else "asked again"


def _group(error: ErrorGroup, facts: Mapping[str, Fact]) -> Group:
    rollouts = [facts[key] for key in error.keys if key in facts and is_rollout(facts[key])]
    known = [outcome(fact).key for fact in rollouts]
    examples = list(dict.fromkeys([*error.examples, *(key.example for key in known)]))
    return Group(
        error=error,
        examples=examples[:NAMED],
        more=max(0, len(examples) - NAMED),
        link=known[0] if known else None,
        advice=advice(error.role, error.kind),
        again=_again(error, facts),
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
