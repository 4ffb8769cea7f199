"""Where a run is in its loop: the six phases, with what has been done in each and which goes on now."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from paretune.core import events
from paretune.core.events import Decision
from paretune.views.run_view import RunView

SELDOM = (events.LaneResumed, events.LanesChanged, events.ProxyCalibrated)
"""Bookkeeping of lanes and of the cheap policy; what went on before them goes on."""
FRONTIER = (
    events.CandidateAdmitted,
    events.CandidateRetired,
    events.EvaluationDeferred,
    events.GateDecided,
    events.HeadMoved,
    events.ProxyDecided,
    events.RungEnded,
    events.TrialEnded,
    events.ValidationEnded,
)


@dataclass(frozen=True, slots=True)
class Phase:
    """`now`: goes on at this moment; `done`: has happened (and may again while the run goes on)."""

    words: str
    state: Literal["now", "done", "waiting"]
    told: str


def phases(view: RunView, covered: int) -> list[Phase]:
    """In the order of the loop. `covered` pareto examples are won by somebody."""
    count = Counter(type(decision) for decision in view.decisions)
    running = view.run.status == "running"
    out = Counter[str](begun.role for begun in view.in_flight if running)
    now = _now(view, out)
    drawn, failed = len(view.ledger.drawn), len(view.failures)
    origins, refused = made(view), count[events.ProposalRejected]
    asked, known = view.ledger.role("proposal").calls, view.ledger.role("proposal").reused
    told = {
        "initialize": str(view.run.job.get("proposer", "")).split(" ")[0] or "-",
        "deploy": f"{drawn:,} drawn" + (f", {out['rollout']} in flight" if out["rollout"] else ""),
        "verify": f"{drawn - failed - len(view.cheap):,} scored, {failed:,} failed",
        "frontier": f"{covered} of {len(view.splits['pareto'])} covered, {_pool(view)} in the pool",
        "dissect": f"{_counted(asked, 'packet')} read"
        + (f", {known:,} more known from earlier runs" if known else "")
        + (f", {out['proposal']} being read" if out["proposal"] else ""),
        "propose": ", ".join(_counted(number, noun) for noun, number in origins.items())
        + f", {refused:,} refused",
    }
    happened = {
        "initialize": bool(view.decisions),
        "deploy": drawn > 0,
        "verify": drawn > 0,
        "frontier": count[events.CandidateAdmitted] > 0,
        "dissect": asked + known > 0,
        "propose": count[events.ChildProposed] + count[events.OptionAdded] > 0 or refused > 0,
    }
    words = {**WORDS, "propose": PROPOSE.get(algorithm(view), WORDS["propose"])}
    return [
        Phase(told_as, "now" if name in now else "done" if happened[name] else "waiting", told[name])
        for name, told_as in words.items()
    ]


def made(view: RunView) -> dict[str, int]:
    """Mutation, merge (edits that were carried onto another head are among them) and, where there were any,
    ablation; of MIPRO options and combinations of them -> how many were made. A text that was proposed twice
    counts twice."""
    gepa, mipro = {"mutation": 0, "merge": 0}, {"option": 0, "combination": 0}
    found = {"gepa": gepa, "mipro": mipro}.get(algorithm(view), {**gepa, **mipro})
    kinds = {"join": "merge", "trial": "combination"}
    for decision in view.decisions:
        if isinstance(decision, events.ChildProposed):
            kind = kinds.get(decision.origin, decision.origin)
            found[kind] = found.get(kind, 0) + 1
        elif isinstance(decision, events.OptionAdded):
            found["option"] += 1
        elif isinstance(decision, events.HeadMoved):
            found["merge"] += decision.reason == "joined"
    return found


def algorithm(view: RunView) -> str:
    """`gepa`, `mipro` or `gepa+mipro`."""
    return str(view.run.job.get("algorithm", "gepa"))


PROPOSE = {
    "mipro": "propose instructions, demonstrations and combinations",
    "gepa+mipro": "propose mutations, merges and combinations",
}
WORDS = {
    "initialize": "initialize proposer",
    "deploy": "deploy rollouts",
    "verify": "terminate and verify",
    "frontier": "update pareto frontier",
    "dissect": "dissect traces and side information",
    "propose": "propose mutations and merges",
}


def _now(view: RunView, out: Counter[str]) -> set[str]:
    """What goes on: calls that are out tell it, and where there are none, the last decision."""
    if view.run.status != "running":
        return set()
    now = set[str]()
    if out["rollout"]:
        now |= {"deploy", "verify"}
    if out["proposal"]:
        now |= {"dissect", "propose"}
    return now or {_after(_last(view))}


def _after(last: Decision | None) -> str:
    match last:
        case None:
            return "initialize"
        case events.StepStarted():
            return "dissect"
        case events.ProposalRejected() | events.StepSkipped() | events.OptionAdded() | events.Bootstrapped():
            return "propose"
        case _ if isinstance(last, FRONTIER):
            return "frontier"
        case _:
            return "deploy"


def _last(view: RunView) -> Decision | None:
    return next((d for d in reversed(view.decisions) if not isinstance(d, SELDOM)), None)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _pool(view: RunView) -> int:
    return sum(row.mean is not None for row in view.rows.values())
