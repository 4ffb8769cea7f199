"""What happens, line by line, as it happens: asked for from a decision on, so that nobody misses one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paretune.console.paging import whole
from paretune.console.view import Asked, View
from paretune.core import events
from paretune.core.events import Decision
from paretune.views.feed import line
from paretune.views.run_view import RunView

AT_FIRST = 120
AT_ONCE = 1000
"""Lines that are told at first, and decisions that are told of in one go."""


@dataclass(frozen=True, slots=True)
class Told:
    """A line of the feed: the decision's place in the log, active seconds, and whom it is about."""

    seq: int
    elapsed: float
    words: str
    tone: str
    candidate: str


def show(asked: Asked) -> Mapping[str, Any]:
    """Decisions from `since` on; without it the newest."""
    start = whole(asked.query.get("since", ""), -1)
    if start < 0:
        return newest(asked)
    end = min(start + AT_ONCE, len(asked.run.decisions))
    told = [found for seq in range(end - 1, start - 1, -1) if (found := _told(asked.run, seq))]
    return {
        "feed": told,
        "next": max(start, end),
        "more": end < len(asked.run.decisions),
        "unfinished": False,
    }


def newest(asked: Asked) -> Mapping[str, Any]:
    """The newest lines, newest first."""
    run, told = asked.run, list[Told]()
    for seq in range(len(run.decisions) - 1, -1, -1):
        found = _told(run, seq)
        if found:
            told.append(found)
        if len(told) == AT_FIRST:
            break
    earlier = bool(told) and told[-1].seq > 0 and len(told) == AT_FIRST
    return {"feed": told, "next": len(run.decisions), "more": False, "unfinished": earlier}


def _told(run: RunView, seq: int) -> Told | None:
    decision, moment = run.decisions[seq], run.moments[seq]
    found = line(decision, run.rows, seq=seq, at=moment.at, rollouts=len(run.ledger.drawn))
    if found is None:
        return None
    about = next((who for who in found.candidates if who in run.rows), "")
    return Told(seq, moment.elapsed, found.text, _tone(decision), about)


def _tone(decision: Decision) -> str:
    """What it means for the run: new on the frontier, accepted, turned down, an end."""
    match decision:
        case events.CandidateAdmitted(step=0):
            return "accepted"
        case events.CandidateAdmitted(gained=[_, *_]) | events.CandidateAdmitted(best=True):
            return "new"
        case events.CandidateAdmitted() | events.GateDecided(passed=True) | events.HeadMoved():
            return "accepted"
        case events.GateDecided() | events.ProposalRejected() | events.RungEnded(stopped=True):
            return "refused"
        case events.ProxyDecided(stopped=True):
            return "refused"
        case events.SearchEnded() | events.BestChosen() | events.RunFinished():
            return "end"
        case _:
            return ""


VIEW = View("feed", "Feed", "feed", show)
