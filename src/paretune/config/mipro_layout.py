"""What a rollout budget lays out for a MIPRO task of one stage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paretune.core.errors import Misconfigured

_ONLINE_FROM, _REFERENCE_FROM = 10, 20


@dataclass(frozen=True, slots=True)
class Trials:
    """Iterations, and evaluations in each of them."""

    iterations: int
    evaluations: int


def _between(least: int, value: int, most: int) -> int:
    return max(least, min(most, value))


def trial_layout(budget: int) -> Trials:
    """Raises Misconfigured if there is no budget."""
    if budget <= 0:
        raise Misconfigured("rollout_budget", "rollout_budget must be positive")
    pool = _between(5, budget // 3, 50)
    evaluations = _between(3, budget // (2 * pool), 10)
    iterations = _between(5, budget // (5 * pool), 20)
    return Trials(
        _between(5, budget // (pool * evaluations), 20), _between(3, budget // (pool * iterations), 10)
    )


def seed_layout(
    budget: int,
    *,
    bootstrap: list[int] | None,
    online: list[int] | None,
    test: list[int] | None,
    reference: list[int] | None,
) -> dict[str, list[int]]:
    """Pools that are not given. The reference begins behind all others: it must share no seed with them."""
    bootstrap = bootstrap or list(range(_between(3, budget // 10, 10)))
    online = online or _count_from(_ONLINE_FROM, _between(5, budget // 3, 50))
    test = test or []
    first = max(_REFERENCE_FROM, 1 + max([*bootstrap, *online, *test]))
    reference = reference or _count_from(first, _between(5, budget // 5, 30))
    return {"bootstrap": bootstrap, "online": online, "test": test, "reference": reference}


def _count_from(first: int, count: int) -> list[int]:
    return list(range(first, first + count))


def plain_messages(messages: Iterable[Any]) -> list[dict[str, str]]:
    """Each as {role, content}. Raises Misconfigured if there is none."""
    plain = []
    for message in messages:
        given = _fields(message)
        content = given.get("content") or given.get("pattern") or ""
        plain.append({"role": str(given.get("role") or "user"), "content": str(content)})
    if not plain:
        raise Misconfigured(
            "initial_prompt_messages", "initial_prompt_messages must contain at least one message"
        )
    return plain


def _fields(message: Any) -> Mapping[str, Any]:
    if isinstance(message, Mapping):
        return message
    if hasattr(message, "__dict__"):
        return dict(vars(message))
    raise Misconfigured("initial_prompt_messages", f"a message has role and content, not {type(message)}")


def baseline_instruction(messages: Sequence[Mapping[str, str]]) -> str:
    """The first system text, else the first user text."""
    for role in ("system", "user"):
        for message in messages:
            if message["role"] == role and message["content"].strip():
                return message["content"].strip()
    return "Complete the task."
