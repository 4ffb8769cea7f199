"""What happened, decision by decision, in a line each: for people who watch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from paretune.core import events
from paretune.core.candidate import CandidateId
from paretune.core.events import Decision
from paretune.views.run_view import Row, RunView


@dataclass(frozen=True, slots=True)
class FeedLine:
    """`seq` is the decision's place in the log, `at` its ISO time, `kind` its kind; `text` is plain."""

    seq: int
    at: str
    kind: str
    candidates: tuple[CandidateId, ...]
    text: str


def feed(view: RunView, since: int = 0) -> list[FeedLine]:
    """The lines from decision `since` on."""
    found = []
    for seq in range(since, len(view.decisions)):
        decision, at = view.decisions[seq], view.moments[seq].at
        told = line(decision, view.rows, seq=seq, at=at, rollouts=len(view.ledger.drawn))
        if told:
            found.append(told)
    return found


def line(
    decision: Decision,
    rows: Mapping[CandidateId, Row],
    *,
    seq: int = 0,
    at: str = "",
    rollouts: int | None = None,
) -> FeedLine | None:
    """None for what nobody watches for. `rows` name the candidates, `rollouts` are those of the whole run."""
    names = {
        candidate: f"#{rows[candidate].index}" if candidate in rows else candidate
        for candidate in _who(decision)
    }
    text = _text(decision, [*names.values()], rollouts)
    return FeedLine(seq, at, decision.kind, tuple(names), text) if text else None


def _who(decision: Decision) -> list[CandidateId]:
    """The candidate that it is about, then those beside it."""
    match decision:
        case events.ChildProposed():
            return [decision.child, *decision.parents]
        case events.GateDecided() | events.EvaluationDeferred():
            return [decision.child]
        case events.CandidateAdmitted() | events.RungEnded() | events.CandidateRetired():
            return [decision.candidate]
        case events.ValidationStarted():
            return [decision.candidate]
        case events.ValidationEnded():
            return [decision.candidate, decision.incumbent]
        case events.HeadMoved():
            return [decision.head]
        case events.ProposalRejected():
            return [decision.parent]
        case events.BestChosen() | events.RunFinished():
            return [decision.best]
        case _:
            return []


def _text(decision: Decision, names: list[str], rollouts: int | None) -> str:
    name, *beside = names or [""]
    match decision:
        case events.RunStarted():
            return "started"
        case events.StepSkipped():
            return f"skipped · step {decision.step}: {_words(decision.reason)}"
        case events.ProposalRejected():
            return f"refused · a proposal from {name}: {_words(decision.reason)}"
        case events.ChildProposed():
            return f"proposed · {name} from {' and '.join(beside)}" if beside else f"proposed · {name}"
        case events.GateDecided(passed=True):
            return f"accepted · {name}"
        case events.GateDecided():
            return f"turned down · {name}{_on_pairs(decision)}"
        case events.CandidateAdmitted():
            return _measured(decision, name)
        case events.EvaluationDeferred():
            return f"deferred · {name}: {decision.wanted} rollouts wanted, {decision.left} left"
        case events.RungEnded(stopped=True):
            return f"stopped · {name} after {decision.measured} of {decision.wanted} examples"
        case events.CandidateRetired():
            return f"retired · {name}"
        case _:
            return _lanes(decision, name, beside) or _end(decision, name, rollouts)


def _on_pairs(gate: events.GateDecided) -> str:
    """Both means on the examples that were compared; the record has sums."""
    if not gate.pairs:
        return ""
    before, after = gate.before / gate.pairs, gate.after / gate.pairs
    return f": {before:.3f} -> {after:.3f} on {_counted(gate.pairs, 'example')}"


def _measured(decision: events.CandidateAdmitted, name: str) -> str:
    if not decision.step:
        return f"measured · the initial prompt: {decision.mean:.3f} on {_counted(decision.scored, 'example')}"
    better = f", better than any before on {_cells(decision.gained)}" if decision.gained else ""
    leads = ", leads" if decision.best else ""
    return f"measured · {name}: {decision.mean:.3f} on {_counted(decision.scored, 'example')}{better}{leads}"


def _cells(gained: list[str]) -> str:
    """`2 examples, 1 objective`: cells of the frontier, by what they are."""
    kinds = Counter(cell.partition(":")[0] for cell in gained)
    nouns = {"pair": "pair of example and objective"}
    several = {"pair": "pairs of example and objective"}
    return ", ".join(_counted(n, nouns.get(kind, kind), several.get(kind, "")) for kind, n in kinds.items())


def _lanes(decision: Decision, name: str, beside: list[str]) -> str:
    match decision:
        case events.HeadMoved():
            return f"head · {name} {_words(decision.reason)}"
        case events.LanesChanged():
            return f"lanes · {decision.lanes}, {decision.clashed} of {decision.carried} edits clashed"
        case events.ValidationStarted():
            return f"validating · {name}"
        case events.ValidationEnded():
            wins, losses = _counted(decision.wins, "win"), _counted(decision.losses, "loss", "losses")
            return f"validated · {name} against {''.join(beside) or name}: {wins}, {losses}"
        case _:
            return ""


def _end(decision: Decision, name: str, rollouts: int | None) -> str:
    match decision:
        case events.SearchEnded():
            return f"search ended · {_words(decision.reason)}"
        case events.BestChosen():
            return f"best · {name}, chosen on {decision.chosen_on}"
        case events.RunFinished():
            return "finished" if rollouts is None else f"finished · {_counted(rollouts, 'rollout')}"
        case _:
            return ""


def _counted(number: int, noun: str, several: str = "") -> str:
    return f"{number} {noun if number == 1 else several or f'{noun}s'}"


def _words(reason: str) -> str:
    return reason.replace("_", " ")
