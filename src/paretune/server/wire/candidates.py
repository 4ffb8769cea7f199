"""Candidates on the wire: one of them, and pages of them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paretune.core.errors import Misconfigured
from paretune.server.wire.events import known
from paretune.server.wire.prompts import MODES, Prompts, mode_of, prompt_length
from paretune.server.wire.scores import STATUSES, Scores, mutation_type
from paretune.store.jobs import StoredJob
from paretune.views.run_view import Row, RunView

Source = tuple[StoredJob, RunView]
Place = tuple[float, str, int]
"""Where an item stands in its order: the value, the job and the candidate's index break ties."""

MOST = 1_000
INCLUDE = ("artifact_payload", "rationale")
ALGORITHMS = ("gepa", "mipro", "gepa+mipro")
SORTS = {"rank": "rank", "reward": "reward", "score": "reward", "accuracy": "reward"} | {
    "created": "created",
    "created_at": "created",
    "generation": "generation",
}
_SORT = re.compile(rf"(-?)({'|'.join(SORTS)})(?:[_:](asc|desc))?")


@dataclass(frozen=True, slots=True)
class Query:
    """What a client asks of a page. `field` is sorted by, `status`, `mode` and `algorithm` filter."""

    limit: int = 100
    sort: str = "rank"
    field: str = "rank"
    descending: bool = False
    after: Place | None = None
    status: frozenset[str] = frozenset()
    include: frozenset[str] = frozenset()
    mode: str = ""
    algorithm: str = ""

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> Query:
        """From the parameters of a request. Raises Misconfigured, naming the parameter and what it may be."""
        sort = parameters.get("sort") or "rank"
        field, descending = _order(sort)
        return cls(
            limit=_limit(parameters.get("limit") or "100"),
            sort=sort,
            field=field,
            descending=descending,
            after=_after(parameters.get("cursor") or "", field, descending),
            status=_words("status", parameters.get("status") or "", STATUSES),
            include=_words("include", parameters.get("include") or "", INCLUDE),
            mode=_word("mode", parameters.get("mode") or "", MODES),
            algorithm=_word("algorithm", parameters.get("algorithm") or "", ALGORITHMS),
        )


def page(sources: Sequence[Source], query: Query) -> dict[str, Any]:
    """The candidates of these jobs (one, or all of a system) that fit, at most `limit`, and the next cursor.

    Items without the figure that is sorted by come last. While a run goes on, what was told stays told: the
    next page begins after the last item's place.
    """
    found: list[tuple[Place, Row, StoredJob, Scores]] = []
    for job, view in sources:
        searches = ("", job.algorithm, *job.algorithm.split("+"))
        if query.mode not in ("", mode_of(job)) or query.algorithm not in searches:
            continue
        scores = Scores(view)
        for row in view.rows.values():
            if query.status and scores.status(row) not in query.status:
                continue
            place = (_value(row, scores, query), job.id, row.index)
            if query.after is None or place > query.after:
                found.append((place, row, job, scores))
    found.sort(key=lambda one: one[0])
    shown = found[: query.limit]
    more = len(found) > len(shown)
    return {
        "items": [item(job, scores, row, query.include) for _, row, job, scores in shown],
        "next_cursor": _cursor(query, shown[-1][0]) if more and shown else None,
        **_only({"job_id": job.id, "mode": mode_of(job), "algorithm": job.algorithm} for job, _ in sources),
        **_only({"system_id": (job.given.get("system") or {}).get("id")} for job, _ in sources),
        "sort": query.sort,
    }


def one(job: StoredJob, view: RunView, candidate_id: str) -> dict[str, Any] | None:
    """This candidate with all that is known of it; None if the job has none of this id."""
    row = view.rows.get(candidate_id)
    return item(job, Scores(view), row, frozenset(INCLUDE)) if row else None


def item(job: StoredJob, scores: Scores, row: Row, include: frozenset[str] = frozenset()) -> dict[str, Any]:
    """One candidate. What is unknown is left out."""
    artifact = Prompts.of(job, scores.view.run.job).artifact(row.components)
    seeds, rewards = scores.by_example(row, "pareto") if row.mean is not None else ([], [])
    best = scores.best
    told = {
        "candidate_id": row.id,
        "version_id": row.id,
        "job_id": job.id,
        "candidate_type": mutation_type(row.origin),
        "mutation_type": mutation_type(row.origin),
        "origin": row.origin,
        "artifact_kind": artifact.kind,
        "candidate_content": artifact.content,
        "artifact_preview": artifact.content[:200],
        "optimization_mode": mode_of(job),
        "status": scores.status(row),
        "state": row.state,
        "reason": row.reason or None,
        "rank": scores.ranks.get(row.id),
        "index": row.index,
        "generation": row.generation,
        "step": row.step,
        "parents": list(row.parents),
        "parent_id": row.parents[0] if row.parents else None,
        "is_best": best is not None and row.id == best.id,
        "is_pareto": row.id in scores.frontier,
        "reward": scores.train(row),
        "train_reward": scores.train(row),
        "validation_reward": scores.validation(row),
        "minibatch_reward": scores.minibatch(row),
        "objectives": scores.objectives(row),
        "prompt_length": prompt_length(row.components),
        "instance_scores": rewards or None,
        "seeds": seeds or None,
        "artifact_payload": artifact.payload if "artifact_payload" in include else None,
        "rationale": row.rationale if "rationale" in include else None,
    }
    return known(told)


def _only(sources: Any) -> dict[str, Any]:
    """What all of them share; None where they differ."""
    found: dict[str, Any] = {}
    for source in sources:
        for key, value in source.items():
            found[key] = value if found.get(key, value) == value else None
    return found


# -- order and cursors ----------------------------------------------------------------------------


def _value(row: Row, scores: Scores, query: Query) -> float:
    """What is sorted by, ascending."""
    values = {
        "rank": scores.ranks.get(row.id),
        "reward": scores.train(row),
        "created": row.index,
        "generation": row.generation,
    }
    value = values[query.field]
    if value is None:
        return float("inf")
    return -float(value) if query.descending else float(value)


def _order(sort: str) -> tuple[str, bool]:
    match = _SORT.fullmatch(sort)
    if match is None or (match[1] and match[3]):
        allowed = (
            "rank, reward (highest first), created, generation; with `-` before, or `_asc` or `_desc` after"
        )
        raise Misconfigured("sort", f"{sort[:80]!r} is none of: {allowed}")
    field = SORTS[match[2]]
    if match[3]:
        return field, match[3] == "desc"
    return field, bool(match[1]) or field == "reward"


def _cursor(query: Query, place: Place) -> str:
    value = None if place[0] == float("inf") else place[0]
    text = json.dumps([query.field, query.descending, value, *place[1:]])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _after(cursor: str, field: str, descending: bool) -> Place | None:
    if not cursor:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        of_field, of_descending, value, job_id, index = json.loads(text)
        place = (float("inf") if value is None else float(value), str(job_id), int(index))
    except (ValueError, TypeError) as error:
        raise Misconfigured("cursor", "give the `next_cursor` of the page before, or leave it out") from error
    if (of_field, of_descending) != (field, descending):
        raise Misconfigured("cursor", f"it belongs to a page sorted by {of_field}; keep `sort` as it was")
    return place


def _limit(text: str) -> int:
    limit = int(text) if text.isascii() and text.isdecimal() and len(text) <= len(str(MOST)) else 0
    if not 1 <= limit <= MOST:
        raise Misconfigured("limit", f"a whole number from 1 to {MOST}, not {text!r}")
    return limit


def _words(name: str, text: str, allowed: Sequence[str]) -> frozenset[str]:
    return frozenset(_word(name, word.strip(), allowed) for word in text.split(",") if word.strip())


def _word(name: str, word: str, allowed: Sequence[str]) -> str:
    if word and word not in allowed:
        raise Misconfigured(name, f"{word[:80]!r} is none of: {', '.join(allowed)}")
    return word
