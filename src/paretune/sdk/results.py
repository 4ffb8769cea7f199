"""A job's results, folded from its events. Both families of event names say the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from paretune.sdk.models import as_number

BEST = frozenset({"prompt.learning.best.prompt", "learning.policy.gepa.candidate.new_best"})
TOP = frozenset({"prompt.learning.top.prompt.content", "learning.policy.gepa.candidate.evaluated"})
FINAL = frozenset({"prompt.learning.final.results", "learning.policy.gepa.job.completed"})
VALIDATION = frozenset({"prompt.learning.validation.scored", "learning.policy.gepa.validation.completed"})
COMPLETE = frozenset(
    {
        "prompt.learning.gepa.complete",
        "prompt.learning.mipro.complete",
        "mipro.job.completed",
        "learning.policy.mipro.job.completed",
    }
)


def results(events: Iterable[Mapping[str, Any]], status: Mapping[str, Any]) -> dict[str, Any]:
    """`best_prompt`, `best_score`, `top_prompts`, `optimized_candidates`, `attempted_candidates` and
    `validation_results`; what no event told is taken from the job's status, or is None or empty.
    """
    best: dict[str, Any] = {}
    final: dict[str, Any] = {}
    tops: dict[int, dict[str, Any]] = {}
    validation: dict[Any, dict[str, Any]] = {}
    for event in events:
        kind, data = event.get("type") or event.get("event_type"), event.get("data")
        if not isinstance(data, Mapping):
            continue
        if kind in BEST or kind in COMPLETE:
            best.update(_best(data))
        elif kind in TOP and isinstance(data.get("rank"), int):
            # Without a rank it is a candidate on its way, not one of the winners.
            tops[data["rank"]] = {**tops.get(data["rank"], {}), **_top(data)}
        elif kind in FINAL:
            final.update({key: value for key, value in data.items() if value is not None})
        elif kind in VALIDATION:
            rank = data["rank"] if isinstance(data.get("rank"), int) else f"unranked {len(validation)}"
            validation[rank] = {**validation.get(rank, {}), **data}
    optimized = final.get("optimized_candidates") or []
    return {
        "best_prompt": status.get("best_prompt"),
        "best_score": as_number(status.get("best_score")),
        **best,
        **_best(final),
        "top_prompts": [tops[rank] for rank in sorted(tops)] or _ranked(optimized),
        "optimized_candidates": list(optimized),
        "attempted_candidates": list(final.get("attempted_candidates") or []),
        "validation_results": list(validation.values()),
    }


def text_of_rank(found: Mapping[str, Any], rank: int) -> str | None:
    """The text of the prompt with this rank (1 is the best); None if there is none. ValueError below 1."""
    if rank < 1:
        raise ValueError(f"rank begins with 1, got {rank}")
    for top in found["top_prompts"]:
        if top.get("rank") == rank and (text := _text_of(top)):
            return text
    best = found.get("best_prompt")
    if rank > 1 or not best:
        return None
    return best if isinstance(best, str) else _text_of(best)


def _best(data: Mapping[str, Any]) -> dict[str, Any]:
    objectives = data.get("outcome_objectives")
    scores = (
        data.get("best_score"),
        data.get("best_full_score"),
        data.get("best_minibatch_score"),
        objectives.get("reward") if isinstance(objectives, Mapping) else None,
        data.get("outcome_reward"),
    )
    score = next((found for value in scores if (found := as_number(value)) is not None), None)
    told = {"best_prompt": data.get("best_prompt"), "best_score": score}
    return {key: value for key, value in told.items() if value is not None}


def _top(data: Mapping[str, Any]) -> dict[str, Any]:
    names = ("rank", "train_accuracy", "val_accuracy", "template", "pattern", "full_text")
    return {name: data[name] for name in names if data.get(name) is not None}


def _ranked(candidates: Any) -> list[dict[str, Any]]:
    """Where the winners were not told one by one: the candidates of the last event, in their order."""
    rows = []
    for place, candidate in enumerate(candidates if isinstance(candidates, list) else []):
        if isinstance(candidate, Mapping):
            score = candidate.get("score")
            accuracy = score.get("accuracy") if isinstance(score, Mapping) else None
            row = {**candidate, "rank": candidate.get("rank") or place + 1, "train_accuracy": accuracy}
            rows.append({**row, "full_text": _text_of(candidate)})
    return sorted(rows, key=lambda row: row["rank"] if isinstance(row["rank"], int) else len(rows))


def _text_of(prompt: Any) -> str | None:
    """`[role | name]` and the content of each section or message; a written-out text as it is."""
    if not isinstance(prompt, Mapping):
        return None
    if isinstance(text := prompt.get("full_text"), str) and text:
        return text
    for inner in ("template", "pattern", "object", "data"):
        if text := _text_of(prompt.get(inner)):
            return text
    for name in ("sections", "prompt_sections", "messages", "text_replacements"):
        if isinstance(parts := prompt.get(name), list) and parts:
            blocks = [_block(part) for part in parts if isinstance(part, Mapping)]
            return "\n\n".join(blocks) or None
    return None


def _block(part: Mapping[str, Any]) -> str:
    if "new_text" in part:
        return f"[{part.get('apply_to_role') or 'system'}]\n{part['new_text']}"
    content = part.get("pattern") or part.get("content") or ""
    name = f" | {part['name']}" if part.get("name") else ""
    return f"[{part.get('role') or 'system'}{name}]\n{content}"
