"""Reading a rollout answer: leniently where dialects differ, strictly where a score would be wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping

from paretune.container.body import clean, storable
from paretune.core.canonical import JsonValue
from paretune.core.errors import AttemptFailed, FailureKind
from paretune.core.rollout import Answer, Usage

REWARD_PLACES = (
    ("reward_info", "outcome_reward"),
    ("reward_info", "score"),
    ("metrics", "outcome_reward"),
    ("metrics", "outcome_score"),
    ("metrics", "mean_return"),
    ("summary", "outcome_reward"),
    ("", "reward"),
)
"""Where the reward may stand, the first that is there counts; the first is the documented one."""

PLAIN_REWARD = frozenset({"reward", "outcome_reward"})
FAILED = frozenset(
    {"failed", "failure", "fail", "error", "errored", "cancelled", "canceled", "terminated", "expired"}
    | {"timeout", "timed_out", "aborted", "crashed", "rejected"}
)
FAILED_ENDINGS = ("_error", "_failed", "_timeout")
ACTIVE = frozenset(
    {"queued", "pending", "running", "in_progress", "starting", "submitted", "paused", "accepted"}
)
TEXTS = {
    "feedback": ("feedback", "critique"),
    "input": ("input", "inputs", "query", "text"),
    "output": ("output", "generatedoutputs", "answer", "prediction", "response"),
    "expected": ("expected", "label", "gold", "target"),
}
NOT_TOLD = Usage()
NO_ID = "(this rollout)"
MAX_TEXT = 20_000
MAX_TRACE = 1_000_000


def read_answer(body: JsonValue, rollout_id: str) -> Answer:
    """The Answer in the body of a finished rollout, parsed JSON.

    Raises AttemptFailed: NOT_JSON (not an object), WRONG_ID (an id is there and is another one),
    TASK_FAILED (a status says so), NO_REWARD, BAD_REWARD (also for an objective).
    """
    if not isinstance(body, dict):
        raise AttemptFailed(FailureKind.NOT_JSON, f"the answer is a JSON {_kind(body)}, not an object")
    check_id(body, rollout_id)
    _refuse_failure(body)
    reward = _reward(body)
    texts = _texts(body)
    return Answer(
        reward,
        objectives=_objectives(body),
        feedback=texts["feedback"],
        input=texts["input"],
        output=texts["output"],
        expected=texts["expected"],
        trace=_trace(body, rollout_id),
        usage=_usage(body),
    )


def check_id(body: Mapping[str, JsonValue], rollout_id: str) -> None:
    """Raises AttemptFailed(WRONG_ID) if the body names another rollout; a missing id is tolerated."""
    for name in ("rollout_id", "trace_correlation_id"):
        found = body.get(name)
        if found is not None and found != rollout_id:
            message = (
                f"{name} is {_short(found)}, but {rollout_id!r} was asked: an answer to another question"
            )
            raise AttemptFailed(FailureKind.WRONG_ID, message)


def is_active(body: JsonValue) -> bool:
    """True if the body says that the rollout is still queued or running."""
    return isinstance(body, dict) and _word(body.get("status")) in ACTIVE


def has_failed(body: Mapping[str, JsonValue]) -> str:
    """The status word by which the body calls the rollout a failure, or an empty string."""
    for name in ("status", "success_status"):
        word = _word(body.get(name))
        if word in FAILED or word.endswith(FAILED_ENDINGS):
            return f"{name} {word}"
    return "aborted" if body.get("aborted") is True else ""


def _refuse_failure(body: Mapping[str, JsonValue]) -> None:
    word = has_failed(body)
    if word:
        detail = failure_detail(body)
        message = f"the task says {word}" + (f": {detail}" if detail else ", without a reason")
        raise AttemptFailed(FailureKind.TASK_FAILED, message)


def failure_detail(body: Mapping[str, JsonValue]) -> str:
    """What the body says about its failure, in one line of at most 300 characters."""
    metadata = _object(body, "metadata")
    for value in (
        body.get("status_detail"),
        body.get("error"),
        body.get("detail"),
        body.get("message"),
        metadata.get("failure"),
        metadata.get("error"),
        metadata.get("error_type"),
    ):
        if value:
            return _text(value, 300).replace("\n", " ")
    return ""


def _reward(body: Mapping[str, JsonValue]) -> float:
    found_null = ""
    for group, name in REWARD_PLACES:
        place = _object(body, group) if group else body
        if name not in place:
            continue
        path = f"{group}.{name}" if group else name
        if place[name] is None:
            found_null = found_null or path
            continue
        return _number(place[name], path)
    if found_null:
        raise AttemptFailed(FailureKind.BAD_REWARD, f"{found_null} is null, not a number")
    said = failure_detail(body)
    raise AttemptFailed(
        FailureKind.NO_REWARD,
        f"no reward: reward_info.outcome_reward is missing; the answer has {_keys(body)}"
        + (f" and says: {said}" if said else ""),
    )


def _number(value: JsonValue, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        message = f"{path} is the {_kind(value)} {_short(value)}, not a number"
        raise AttemptFailed(FailureKind.BAD_REWARD, message)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise AttemptFailed(FailureKind.BAD_REWARD, f"{path} is {number}, not a finite number")
    return number


def _objectives(body: Mapping[str, JsonValue]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in _objective_pairs(body):
        plain = clean(name)
        if plain not in PLAIN_REWARD and plain not in found and value is not None:
            found[plain] = _number(value, f"objective {plain}")
    return found


def _objective_pairs(body: Mapping[str, JsonValue]) -> Iterator[tuple[str, JsonValue]]:
    for name, value in _object(_object(body, "reward_info"), "outcome_objectives").items():
        yield str(name), value
    listed = body.get("objective_scores")
    if isinstance(listed, dict):
        yield from ((str(name), value) for name, value in listed.items())
    for item in listed if isinstance(listed, list) else []:
        if isinstance(item, dict) and isinstance(item.get("objective"), str):
            yield item["objective"], item.get("value")


def _texts(body: Mapping[str, JsonValue]) -> dict[str, str]:
    sources = list(_side_sources(body))
    texts = {name: _first_text(sources, keys) if sources else "" for name, keys in TEXTS.items()}
    if not texts["feedback"]:
        texts["feedback"] = _other_side_info(body.get("actionable_side_info"))
    if not texts["output"]:
        texts["output"] = _artifact(body) or _last_response(body)
    return texts


def _side_sources(body: Mapping[str, JsonValue]) -> Iterator[dict[str, JsonValue]]:
    side = body.get("actionable_side_info")
    for value in (
        *(side if isinstance(side, list) else [side]),
        _object(body, "reward_info").get("details"),
        body.get("metadata"),
        body.get("summary"),
    ):
        if isinstance(value, dict):
            yield {_plain(key): inner for key, inner in value.items()}


def _first_text(sources: list[dict[str, JsonValue]], keys: tuple[str, ...]) -> str:
    for source in sources:
        for key in keys:
            value = source.get(key)
            if value is not None and value != "":
                return _text(value, MAX_TEXT)
    return ""


def _other_side_info(side: JsonValue) -> str:
    """Side information under names of its own is feedback as it stands."""
    if isinstance(side, dict):
        known = {key for keys in TEXTS.values() for key in keys}
        side = {key: value for key, value in side.items() if _plain(key) not in known and value is not None}
    elif isinstance(side, list):
        side = [item for item in side if not isinstance(item, dict)]
    return _text(side, MAX_TEXT) if side else ""


def _artifact(body: Mapping[str, JsonValue]) -> str:
    listed = body.get("artifact")
    for item in listed if isinstance(listed, list) else []:
        if isinstance(item, dict) and item.get("content"):
            return _text(item["content"], MAX_TEXT)
    return ""


def _last_response(body: Mapping[str, JsonValue]) -> str:
    for response in reversed(list(_responses(body))):
        content = _object(response, "message").get("content")
        if content:
            return _text(content, MAX_TEXT)
    return ""


def _responses(body: Mapping[str, JsonValue]) -> Iterator[Mapping[str, JsonValue]]:
    history = _object(body, "trace").get("event_history")
    for event in history if isinstance(history, list) else []:
        if isinstance(event, dict) and isinstance(event.get("llm_response"), dict):
            yield event["llm_response"]


def _trace(body: Mapping[str, JsonValue], rollout_id: str) -> JsonValue:
    """Without the rollout's id, which tells a proposer nothing and would make equal packets differ."""
    trace = body.get("trace") or body.get("trajectories") or None
    if trace is None:
        return None
    trace = storable(trace)
    text = json.dumps(trace, ensure_ascii=False)
    if rollout_id and rollout_id in text:
        text = text.replace(rollout_id, NO_ID)
        trace = json.loads(text)
    if len(text) > MAX_TRACE:
        return {"cut": True, "characters": len(text), "start": text[:MAX_TRACE]}
    return trace


def _usage(body: Mapping[str, JsonValue]) -> Usage:
    total = _object(body, "usage")
    parts = [total] if total else [_object(response, "usage") for response in _responses(body)]
    if not parts:
        return NOT_TOLD
    prompt = sum(_count(part, "prompt_tokens", "input_tokens") for part in parts)
    completion = sum(_count(part, "completion_tokens", "output_tokens") for part in parts)
    if not prompt and not completion:
        prompt = sum(_count(part, "total_tokens") for part in parts)
    costs = [cost for part in parts if (cost := _cost(part)) is not None]
    return Usage(prompt, completion, sum(costs) if costs and len(costs) == len(parts) else None)


def _count(part: Mapping[str, JsonValue], *names: str) -> int:
    for name in names:
        value = part.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12:
            return int(value)
    return 0


def _cost(part: Mapping[str, JsonValue]) -> float | None:
    value = part.get("cost_usd")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        return None
    return float(value)


def _text(value: JsonValue, limit: int) -> str:
    if not isinstance(value, str):
        value = json.dumps(storable(value), ensure_ascii=False)
    text = clean(value)
    return text if len(text) <= limit else text[:limit] + " [cut]"


def _object(body: Mapping[str, JsonValue], name: str) -> Mapping[str, JsonValue]:
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def _word(value: JsonValue) -> str:
    return value.strip().lower() if isinstance(value, str) else ""


def _plain(key: JsonValue) -> str:
    return str(key).lower().replace("_", "").replace(" ", "")


def _keys(body: Mapping[str, JsonValue]) -> str:
    names = sorted(clean(str(key)) for key in body)[:12]
    return "the keys " + ", ".join(names) if names else "no keys at all"


def _short(value: JsonValue) -> str:
    return _text(json.dumps(storable(value), ensure_ascii=False), 80)


def _kind(value: JsonValue) -> str:
    kinds = {bool: "boolean", str: "string", list: "list", dict: "object", type(None): "null"}
    return kinds.get(type(value), "number")
