"""A run's progress where no line can move: a line for each event that matters."""

from __future__ import annotations

import math
from dataclasses import dataclass

from paretune.cli.console import note, say
from paretune.core import events
from paretune.core.events import Decision
from paretune.engine.run import Live, Watch
from paretune.evaluate.queue import QueueState
from paretune.views.run_view import RunView


@dataclass(slots=True)
class Plain:
    """Use as an asynchronous context manager; `watch` goes to the runner."""

    view: RunView | None = None
    _live: Live | None = None

    @property
    def watch(self) -> Watch:
        return Watch(decision=self._decided, live=self._attach)

    def _attach(self, live: Live) -> None:
        self._live = live

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        pass

    def note(self, text: str) -> None:
        note(text)

    def end(self, view: RunView) -> None:
        """The summary is the command's."""

    def _decided(self, decision: Decision) -> None:
        """Say what matters to somebody who waits."""
        text = self._told(decision)
        replaying = self._live is not None and self._live.record.replaying
        if text and not replaying:
            say(f"[{self._spent()}] {text}")

    def _told(self, decision: Decision) -> str:
        match decision:
            case events.CandidateAdmitted():
                return self._admission(decision)
            case events.ProposalRejected():
                return f"step {decision.step}: proposal refused, {decision.reason} ({decision.detail[:100]})"
            case events.GateDecided(passed=False):
                return (
                    f"step {decision.step}: {decision.child} not better "
                    f"({decision.before:g} -> {decision.after:g} on {decision.pairs})"
                )
            case events.HeadMoved():
                told = {"accepted": "is the head now", "joined": "joins two edits and is the head now"}
                return f"step {decision.step}: {decision.head} {told.get(decision.reason, decision.reason)}"
            case events.EvaluationDeferred():
                return f"step {decision.step}: {decision.child} passed its gate; no budget for all examples"
            case events.RungEnded(stopped=True):
                return (
                    f"step {decision.step}: {decision.candidate} stopped after {decision.measured} of "
                    f"{decision.wanted} examples: it can no longer matter"
                )
            case events.ProxyDecided(stopped=True):
                return (
                    f"step {decision.step}: {decision.candidate} stopped after {decision.measured} of "
                    f"{decision.wanted} examples: by the cheap policy it is not better"
                )
            case events.Bootstrapped():
                return (
                    f"bootstrap: {decision.qualified} of {decision.asked} rollouts reached "
                    f"{decision.threshold:g}"
                )
            case events.TrialEnded():
                return self._tried(decision)
            case events.SearchEnded():
                return f"search ended by {decision.reason}: {decision.detail}"
            case events.BestChosen():
                return f"best: {decision.best}, chosen on {decision.chosen_on}"
            case _:
                return ""

    def _tried(self, trial: events.TrialEnded) -> str:
        if trial.mean is None:
            return f"trial {trial.step}: {trial.candidate}, nothing was scored"
        estimate = "" if trial.estimate is None else f", estimate {trial.estimate:.3f} from {trial.examples}"
        return f"trial {trial.step}: {trial.candidate} {trial.mean:.3f} on {trial.scored}{estimate}"

    def _admission(self, decision: events.CandidateAdmitted) -> str:
        if decision.step == 0:
            return f"initial prompt: {decision.mean:.3f} on {decision.scored} examples"
        mark = "  <- best so far" if decision.best else ""
        return (
            f"step {decision.step}: {decision.candidate} on all {decision.scored}: {decision.mean:.3f}{mark}"
        )

    def _spent(self) -> str:
        if self._live is None:
            return "0"
        ledger = self._live.ledger
        cap = ledger.limits.rollouts
        text = f"{len(ledger.drawn)}{f'/{cap}' if cap else ''} rollouts"
        if ledger.cost_usd or ledger.limits.cost_usd is not None:
            text += f", ${ledger.cost_usd:.4f}"
        return text


def queue_words(state: QueueState, most: int) -> str:
    """How many rollouts are out, and what keeps others from going; `most` may be out at once."""
    parts = [f"{state.in_flight} in flight"]
    if state.waiting:
        parts.append(f"{state.waiting} waiting")
    if state.circuit == "probing":
        parts.append("the task cannot be reached, trying again")
    elif state.circuit == "open":
        parts.append(f"the task cannot be reached, next try in {math.ceil(state.probe_in)} s")
    elif state.held:
        parts.append(f"asked to wait {math.ceil(state.held)} s")
    if state.limit < most:
        parts.append(f"slowed to {state.limit} of {most} at once")
    return ", ".join(parts)
