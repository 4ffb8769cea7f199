"""How rollouts are written down as facts, and read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from json.encoder import encode_basestring
from typing import Any

from paretune.core.canonical import JsonValue, Written, canonical_json
from paretune.core.errors import FailureKind
from paretune.core.example import Split
from paretune.core.rollout import Answer, Failure, Identity, Outcome, Rollout, RolloutKey, Usage
from paretune.store.base import Fact

ROLLOUT_VERSION = 1


def rollout_fact(rollout: Rollout, seconds: float, paid_by: str = "", at: str = "") -> Fact:
    """The paid result; the seconds it took, retries included, stand beside the body, which is canonical."""
    answer = rollout.answer
    if _plain(answer):
        written = Written(_spelled(rollout.key, answer))
        return Fact(rollout.key.id, "rollout", written, "", paid_by, seconds, at)
    body: dict[str, JsonValue] = {
        "version": ROLLOUT_VERSION,
        "key": _key_record(rollout.key),
        "reward": answer.reward,
        "objectives": dict(answer.objectives),
        "feedback": answer.feedback,
        "input": answer.input,
        "output": answer.output,
        "expected": answer.expected,
        "trace": answer.trace,
        "usage": {
            "prompt_tokens": answer.usage.prompt_tokens,
            "completion_tokens": answer.usage.completion_tokens,
            "cost_usd": answer.usage.cost_usd,
        },
    }
    return Fact(rollout.key.id, "rollout", body, "", paid_by, seconds, at)


def failure_fact(failure: Failure, seconds: float, *, after: int) -> Fact:
    """A failure, good for this run only. `after` is the number of decisions at the time."""
    body: dict[str, JsonValue] = {
        "version": ROLLOUT_VERSION,
        "key": _key_record(failure.key),
        "failure": failure.kind.value,
        "message": failure.message,
        "attempts": failure.attempts,
        "after": after,
    }
    return Fact(failure.key.id, "failure", body, seconds=seconds)


def is_rollout(fact: Fact) -> bool:
    """True for the result of a rollout, or its failure; False for proposals and theirs."""
    return fact.key.startswith("r_")


def outcome(fact: Fact) -> Outcome:
    """The outcome in this fact. Raises ValueError if it is of another kind or a newer version."""
    body = rollout_body(fact)
    key = _key(body["key"])
    if fact.kind == "failure":
        return Failure(key, FailureKind(body["failure"]), body["message"], body["attempts"])
    answer = Answer(
        reward=body["reward"],
        objectives=body["objectives"],
        feedback=body["feedback"],
        input=body["input"],
        output=body["output"],
        expected=body["expected"],
        trace=body["trace"],
        usage=Usage(**body["usage"]),
    )
    return Rollout(key, answer)


def rollout_body(fact: Fact) -> Mapping[str, JsonValue]:
    """The body of a rollout's fact, or of its failure. Raises ValueError as `outcome` does."""
    body = fact.body
    if fact.kind not in ("rollout", "failure") or body["version"] > ROLLOUT_VERSION:
        raise ValueError(f"fact {fact.key} is a {fact.kind} of version {body.get('version')}")
    return body


def kept_outcome(fact: Fact, result: Outcome) -> Outcome:
    """This result as `outcome` will read it from its fact once that is stored: keys in canonical order."""
    if isinstance(fact.body, Written):
        return result
    text = canonical_json(fact.body).encode("utf-8", "backslashreplace")
    return outcome(fact._replace(body=json.loads(text)))


def _plain(answer: Answer) -> bool:
    """True if writing it down and reading it again changes nothing."""
    usage = answer.usage
    if answer.trace is not None or answer.objectives or type(answer.reward) is not float:
        return False
    if type(usage.prompt_tokens) is not int or type(usage.completion_tokens) is not int:
        return False
    if usage.cost_usd is not None and type(usage.cost_usd) is not float:
        return False
    texts = (answer.feedback, answer.input, answer.output, answer.expected)
    return {*map(type, texts)} == {str} and "".join(texts).isascii()


def _spelled(key: RolloutKey, answer: Answer) -> str:
    """The body of a plain answer's fact in canonical JSON: most answers are plain, and each is written."""
    usage, who, text = answer.usage, key.identity, encode_basestring
    price = "null" if usage.cost_usd is None else repr(usage.cost_usd)
    return (
        f'{{"expected":{text(answer.expected)},"feedback":{text(answer.feedback)},"input":{text(answer.input)},'
        f'"key":{{"candidate":{text(key.candidate)},"example":{text(key.example)},'
        f'"identity":{{"evaluator":{text(who.evaluator)},"policy":{text(who.policy)},"task":{text(who.task)}}},'
        f'"replicate":{key.replicate},"split":{text(key.split)}}},'
        f'"objectives":{{}},"output":{text(answer.output)},"reward":{answer.reward!r},"trace":null,'
        f'"usage":{{"completion_tokens":{usage.completion_tokens},"cost_usd":{price},'
        f'"prompt_tokens":{usage.prompt_tokens}}},"version":{ROLLOUT_VERSION}}}'
    )


def priced(usage: Usage, reserved_usd: float) -> Usage:
    """What to book for a call: one that does not say what it cost is booked at the price reserved for it."""
    if usage.cost_usd is not None or not reserved_usd:
        return usage
    return replace(usage, cost_usd=reserved_usd)


def _key_record(key: RolloutKey) -> dict[str, JsonValue]:
    who = key.identity
    return {
        "candidate": key.candidate,
        "example": key.example,
        "split": key.split.value,
        "replicate": key.replicate,
        "identity": {"task": who.task, "evaluator": who.evaluator, "policy": who.policy},
    }


def _key(record: dict[str, Any]) -> RolloutKey:
    identity = Identity(**record["identity"])
    return RolloutKey(
        record["candidate"], record["example"], Split(record["split"]), record["replicate"], identity
    )
