"""What happened, decision by decision, in a line each: for people who watch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from paretune.core import events
from paretune.core.candidate import CandidateId
from paretune.core.events import Decision
from paretune.views.run_view import Row, RunView
from paretune.views.splits import called


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
        case events.ChildProposed(origin="trial"):
            return [decision.child]
        case events.ChildProposed():
            return [decision.child, *decision.parents]
        case events.TrialEnded():
            return [decision.candidate]
        case events.GateDecided() | events.EvaluationDeferred():
            return [decision.child]
        case events.CandidateAdmitted() | events.RungEnded() | events.CandidateRetired():
            return [decision.candidate]
        case events.PoolJudged():
            return [decision.candidate, decision.rival]
        case events.ValidationStarted() | events.ProxyCalibrated() | events.ProxyDecided():
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
        case events.ChildProposed(origin="trial"):
            return f"combined · {name}"
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
        case events.ProxyDecided(stopped=True):
            seen = f"{decision.measured} of {decision.wanted} examples"
            return f"stopped · {name} after {seen}, by the cheap policy on all of them"
        case events.CandidateRetired():
            return f"retired · {name}"
        case events.PoolChanged():
            return f"pool · {_counted(decision.size, 'example')} ({decision.reason})"
        case events.PoolJudged():
            return _pooled(decision, name, beside)
        case _:
            return _lanes(decision, name, beside) or _trials(decision, name) or _end(decision, name, rollouts)


def _on_pairs(gate: events.GateDecided) -> str:
    """Both means on the examples that were compared; the record has sums."""
    if not gate.pairs:
        return ""
    before, after = gate.before / gate.pairs, gate.after / gate.pairs
    return f": {before:.3f} -> {after:.3f} on {_counted(gate.pairs, 'example')}"


def _measured(decision: events.CandidateAdmitted, name: str) -> str:
    if not decision.step:
        return f"measured · the initial prompt: {decision.mean:.3f} on {_counted(decision.scored, 'example')}"
    better = f", frontier +{_cells(decision.gained)}" if decision.gained else ""
    leads = ", leads" if decision.best else ""
    about = "about " if decision.pool else ""
    on = f"{_counted(decision.scored, 'example')}{' of the pool' if decision.pool else ''}"
    return f"measured · {name}: {about}{decision.mean:.3f} on {on}{better}{leads}"


def _pooled(decision: events.PoolJudged, name: str, beside: list[str]) -> str:
    if decision.measured == decision.wanted:
        return f"completed · {name} on all {decision.wanted} examples"
    goes = f"goes on to all {decision.wanted}" if decision.completed else "no further now"
    ahead = f"{decision.difference:+.3f} ± {decision.error:.3f} against {''.join(beside) or name}"
    return f"pool · {name} {ahead} after {decision.measured} examples: {goes}"


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


def _trials(decision: Decision, name: str) -> str:
    match decision:
        case events.Bootstrapped():
            asked = _counted(decision.asked, "rollout")
            return f"bootstrapped · {decision.qualified} of {asked} reached {decision.threshold:g}"
        case events.OptionAdded():
            shown = _counted(len(decision.examples), "example") if decision.examples else ""
            how = "written" if decision.proposal else decision.rationale or shown
            return f"option · {decision.dimension} {decision.number}{f', {how}' if how else ''}"
        case events.TrialEnded(mean=None):
            return f"tried · {name}: none of {_counted(decision.failed, 'example')} was scored"
        case events.TrialEnded():
            guess = "" if decision.estimate is None else f", estimate {decision.estimate:.3f}"
            return f"tried · {name}: {decision.mean:.3f} on {_counted(decision.scored, 'example')}{guess}"
        case _:
            return ""


def _end(decision: Decision, name: str, rollouts: int | None) -> str:
    match decision:
        case events.SearchEnded():
            return f"search ended · {_words(decision.reason)}"
        case events.BestChosen():
            return f"best · {name}, chosen on {called(decision.chosen_on)}"
        case events.RunFinished():
            return "finished" if rollouts is None else f"finished · {_counted(rollouts, 'rollout')}"
        case _:
            return ""


def _counted(number: int, noun: str, several: str = "") -> str:
    return f"{number} {noun if number == 1 else several or f'{noun}s'}"


def _words(reason: str) -> str:
    return reason.replace("_", " ")
