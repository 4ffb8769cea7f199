"""The one rollout request that both dialects of the task-container contract accept.

The public v2 model refuses unknown keys, the older contract reads `env.seed` and
`policy.config.prompt_template`; every key here is known to the first and enough for the second.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from paretune.container.answers import read_answer
from paretune.core.canonical import JsonValue
from paretune.core.errors import Misconfigured
from paretune.core.placement import Turn, as_messages, as_text

__all__ = ["Message", "RolloutCall", "build_request", "read_answer"]

ROLLOUT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
POLICY_FIELDS = (
    "api_family",
    "base_url",
    "inference_url",
    "disable_reasoning",
    "tool_call_style",
    "proxy_mode",
    "credential_mode",
)
"""Policy settings that the v2 model knows by name; all others travel in `policy.config` only."""

CREDENTIALS = frozenset({"access_token", "api_key", "apikey", "authorization", "bearer_token", "secret_key"})
CREDENTIAL_ENDINGS = ("_api_key", "_secret", "_password")


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the prompt: the component that holds its text, its role and its place.

    Or, with `demonstrations`, all the turns that show a component's demonstrations: their roles and their
    place, before the question, follow from what they are.
    """

    component: str
    role: str
    order: int
    demonstrations: bool = False


@dataclass(frozen=True, slots=True)
class RolloutCall:
    """One rollout to ask a container for.

    `example_data` holds `{"seed": int}`, or `{"task": row, "task_id": id}` with the container's own row.
    `policy` holds public settings only (model, provider, temperature, ...). `rollout_id` is 1 to 128
    URL-safe characters and stays the same when the call is repeated. `program_task` is the task id of
    the container itself; without it the row's id is sent in its place. `as_candidate` False leaves the
    texts out of `candidate`: they are messages, and not fields of the container's own program.
    `hosts` (component -> component) names demonstrations that stand as text in another component.
    """

    rollout_id: str
    run_id: str
    candidate_id: str
    components: Mapping[str, str]
    example_data: Mapping[str, JsonValue]
    messages: tuple[Message, ...] = ()
    policy: Mapping[str, JsonValue] = field(default_factory=dict)
    env_name: str = ""
    env_config: Mapping[str, JsonValue] = field(default_factory=dict)
    program_task: str = ""
    as_candidate: bool = True
    hosts: Mapping[str, str] = field(default_factory=dict)


def build_request(call: RolloutCall) -> dict[str, JsonValue]:
    """The body of POST /rollout.

    Raises Misconfigured for a credential among the settings, an id that is not URL-safe, a message
    without its component, demonstrations that are none, or example data of neither shape.
    """
    return example_part(call) | candidate_part(call)


def candidate_part(call: RolloutCall) -> dict[str, JsonValue]:
    """The part of the body that is the same for all examples of a candidate. Raises Misconfigured."""
    refuse_credentials("policy", call.policy)
    refuse_credentials("env_config", call.env_config)
    texts, template = _written(call)
    part: dict[str, JsonValue] = {
        "submission_mode": "sync",
        "run_id": call.run_id,
        "mode": "eval",
        "policy": _policy(call, template),
    }
    candidate = texts if call.as_candidate else {}
    if candidate:
        overlay = {"candidate": candidate, "metadata": {"candidate_id": call.candidate_id}}
        part |= {"candidate": candidate, "candidate_overlay": overlay}
    return part


def example_part(call: RolloutCall) -> dict[str, JsonValue]:
    """The rest: what names the rollout and its example. Raises Misconfigured."""
    if not ROLLOUT_ID.fullmatch(call.rollout_id):
        raise Misconfigured("rollout_id", f"{call.rollout_id!r} is not 1 to 128 URL-safe characters")
    seed, task = _example(call.example_data)
    task_id = call.program_task or str(call.example_data.get("task_id", ""))
    metadata: dict[str, JsonValue] = {"candidate_id": call.candidate_id, "evaluation_arm": "primary"}
    if seed is not None:
        metadata["seed"] = seed
    part: dict[str, JsonValue] = {
        "rollout_id": call.rollout_id,
        "trace_correlation_id": call.rollout_id,
        "env": _env(call, seed),
        "metadata": metadata,
    }
    if task_id:
        part["task_id"] = task_id
    if task is not None:
        part["task"] = dict(task)
    return part


def refuse_credentials(name: str, value: JsonValue) -> None:
    """Raises Misconfigured if a key anywhere in `value` is the name of a raw credential."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            plain = str(key).strip().lower().replace("-", "_")
            if plain in CREDENTIALS or plain.endswith(CREDENTIAL_ENDINGS):
                raise Misconfigured(
                    f"{name}.{key}", "a credential must not travel in a request; set it where the task runs"
                )
            refuse_credentials(f"{name}.{key}", inner)
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            refuse_credentials(f"{name}[{place}]", inner)


def _example(data: Mapping[str, JsonValue]) -> tuple[int | None, Mapping[str, JsonValue] | None]:
    """The seed and the task row; at least one is there. A row may carry its seed."""
    task = data.get("task")
    if task is not None and not isinstance(task, Mapping):
        raise Misconfigured("example.task", "must be the container's row, an object")
    seed = data.get("seed") if task is None else data.get("seed", task.get("seed"))
    if isinstance(seed, bool) or not isinstance(seed, int):
        seed = None
    if seed is None and task is None:
        raise Misconfigured("example", 'holds neither "seed" (a whole number) nor "task" (a row)')
    return seed, task


def _env(call: RolloutCall, seed: int | None) -> dict[str, JsonValue]:
    env: dict[str, JsonValue] = {"config": dict(call.env_config)}
    if seed is not None:
        env["seed"] = seed
    if call.env_name:
        env["env_name"] = call.env_name
    return env


def _policy(call: RolloutCall, template: JsonValue) -> dict[str, JsonValue]:
    settings = {key: value for key, value in call.policy.items() if value is not None}
    policy: dict[str, JsonValue] = {
        "provider": str(settings.get("provider", "")),
        "model": str(settings.get("model", "")),
        "config": {**settings, "prompt_template": template},
    }
    limit = settings.get("max_tokens", settings.get("max_completion_tokens"))
    if isinstance(limit, int) and not isinstance(limit, bool):
        policy["max_tokens"] = limit
    policy |= {key: settings[key] for key in POLICY_FIELDS if key in settings}
    return policy


def _written(call: RolloutCall) -> tuple[dict[str, str], JsonValue]:
    """The texts with their demonstrations in place, and the candidate as the older contract reads it.

    With messages: an object with `messages`, `sections` (the same list) and the joined `text`. Without:
    the text of the only component, or component name -> text when there are several.
    """
    ordered = sorted(call.messages, key=lambda message: message.order)
    shown = [message.component for message in ordered if message.demonstrations]
    for name in [*(message.component for message in ordered), *call.hosts]:
        if name not in call.components:
            raise Misconfigured("initial_prompt.messages", f"the candidate has no component {name!r}")
    try:
        components = as_text(call.components, call.hosts)
        turns = as_messages([(message.component, message.role) for message in ordered], components, shown)
    except ValueError as error:
        raise Misconfigured("the demonstrations of the candidate", str(error)) from error
    texts = {name: text for name, text in components.items() if name not in shown}
    if not ordered:
        return texts, next(iter(texts.values())) if len(texts) == 1 else texts
    messages: list[JsonValue] = [_message(turn, order) for order, turn in enumerate(turns)]
    return texts, {
        "id": call.candidate_id,
        "name": call.candidate_id,
        "messages": messages,
        "sections": messages,
        "text": "\n\n".join(f"[{turn.role}]\n{turn.text}" for turn in turns),
    }


def _message(turn: Turn, order: int) -> dict[str, JsonValue]:
    return {
        "role": turn.role,
        "name": turn.name,
        "content": turn.text,
        "pattern": turn.text,
        "order": order,
    }
