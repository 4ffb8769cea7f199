"""The decision log: everything that the run chose, each line under an address of its own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from paretune.console.paging import candidate_of, page_of, whole
from paretune.console.view import Asked, View
from paretune.core.events import (
    KINDS,
    Decision,
    LaneResumed,
    ProxyCalibrated,
    ProxyDecided,
    RungEnded,
    StepStarted,
    to_record,
)
from paretune.views.feed import line
from paretune.views.run_view import Moment, Row, RunView

SIZE = 200
"""Lines of a page."""
NAMING = ("candidate", "child", "head", "best", "parent", "parents", "incumbent", "rival", "baseline")
"""Fields of decisions that name candidates, the one that it is about first."""
TEXTS: Mapping[str, tuple[str, ...]] = {
    kind: tuple(each.name for each in fields(of) if each.type in ("str", "dict[str, str]"))
    for kind, of in KINDS.items()
}
"""Kind of decision -> its fields that are texts, or texts by component."""
EVERYTHING = "everything"
FILTERS = ("kind", "candidate", "text", "order")


@dataclass(frozen=True, slots=True)
class Entry:
    """Decision number `seq`, in words and as it stands in the record."""

    seq: int
    kind: str
    moment: Moment | None
    words: str
    about: Row | None
    record: str


def show(asked: Asked) -> Mapping[str, Any]:
    run, query = asked.run, asked.query
    order = "old" if query.get("order") == "old" else "new"
    found = list(_found(run, query))
    if order == "new":
        found.reverse()
    start = _start(found, query, order)
    page = page_of(found, {"page": str(start // SIZE + 1)} if start is not None else query, SIZE)
    kinds = Counter(decision.kind for decision in run.decisions)
    kept = {name: query[name] for name in FILTERS if query.get(name)}
    return {
        "page": page,
        "entries": [_entry(run, seq) for seq in page.items],
        "kinds": [(kind, kinds[kind]) for kind in KINDS if kinds[kind]],
        "turns": 0 if query.get("kind") else kinds[LaneResumed.kind],
        "everything": EVERYTHING,
        "order": order,
        "kept": kept,
        "filtered": bool(kept.keys() - {"order"}),
        "wanted": whole(query.get("from", ""), -1),
    }


def _found(run: RunView, query: Mapping[str, str]) -> Iterator[int]:
    """Numbers of the decisions that the filters let through, in their order."""
    kind, text = query.get("kind", ""), query.get("text", "").casefold().strip()
    who = candidate_of(run, query["candidate"].strip()).id if query.get("candidate", "").strip() else ""
    for seq, decision in enumerate(run.decisions):
        if kind not in ("", EVERYTHING) and decision.kind != kind:
            continue
        if not kind and isinstance(decision, LaneResumed):
            continue
        if who and who not in _named(decision):
            continue
        if text and not _says(run, decision, text):
            continue
        yield seq


def _start(found: list[int], query: Mapping[str, str], order: str) -> int | None:
    """The place of the decision that `from` asks for, or of the next one that the filters let through."""
    wanted = whole(query.get("from", ""), -1)
    if wanted < 0 or not found:
        return None
    ahead = [at for at, seq in enumerate(found) if (seq >= wanted if order == "old" else seq <= wanted)]
    return ahead[0] if ahead else len(found) - 1


def _named(decision: Decision) -> list[str]:
    """Ids of the candidates that it names."""
    found: list[str] = []
    for name in NAMING:
        value = getattr(decision, name, None)
        if value:
            found.extend(value if isinstance(value, list) else [value])
    return found


def _says(run: RunView, decision: Decision, text: str) -> bool:
    """True if the words, or a text of the record, hold this; case aside."""
    if text in decision.kind or text in _words(run, decision).casefold():
        return True
    for name in TEXTS[decision.kind]:
        value = getattr(decision, name)
        if text in (value if isinstance(value, str) else "\n".join(value.values())).casefold():
            return True
    return False


def _words(run: RunView, decision: Decision) -> str:
    """The feed's line; what the feed leaves out, the log has too."""
    match decision:
        case StepStarted():
            parent = run.rows[decision.parent].index if decision.parent in run.rows else decision.parent
            targets = ", ".join(decision.targets)
            shown = len(decision.minibatch)
            return f"step {decision.step} · from #{parent}, to edit {targets}, {shown} examples"
        case LaneResumed():
            return f"lane {decision.lane} has the turn"
        case RungEnded():
            name = (
                run.rows[decision.candidate].index if decision.candidate in run.rows else decision.candidate
            )
            return f"rung · #{name}: {decision.measured} of {decision.wanted} examples"
        case ProxyCalibrated():
            return (
                f"cheap policy {decision.state} · {decision.reason}: correlation {decision.correlation:.2f}"
            )
        case ProxyDecided(stopped=False):
            seen = f"{decision.measured} of {decision.wanted}"
            return f"goes on · by the cheap policy {decision.difference:+.3f} after {seen} examples"
    told = line(decision, run.rows)
    return told.text if told else decision.kind.replace("_", " ")


def _entry(run: RunView, seq: int) -> Entry:
    decision = run.decisions[seq]
    moment = run.moments[seq] if seq < len(run.moments) else None
    about = next((run.rows[who] for who in _named(decision) if who in run.rows), None)
    record = json.dumps(to_record(decision), indent=1, ensure_ascii=False)
    return Entry(seq, decision.kind, moment, _words(run, decision), about, record)


def pages(run: RunView) -> list[dict[str, str]]:
    """The newest first, all kinds but turns of lanes."""
    count = -(-sum(not isinstance(decision, LaneResumed) for decision in run.decisions) // SIZE)
    return [{}, *({"page": str(number)} for number in range(1, count + 1))]


VIEW = View("events", "Events", "events", show, key="e", pages=pages)
