"""Live progress: two lines that move on a terminal, one line per event elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rich.live import Live as Screen
from rich.text import Text

from paretune.cli.console import clean, out, say
from paretune.cli.outlook import duration, short
from paretune.core import events
from paretune.core.events import Decision
from paretune.engine.job import Job
from paretune.engine.run import Live, Watch
from paretune.evaluate.queue import QueueState


@dataclass(slots=True)
class Progress:
    """Follows a run. Use as a context manager; `watch` goes to the runner."""

    job: Job
    quiet: bool = False
    _live: Live | None = None
    _screen: Screen | None = None
    _best: float | None = None
    _seed: float | None = None
    _admitted: int = 0
    _phase: str = "measuring the initial prompt"

    @property
    def watch(self) -> Watch:
        return Watch(decision=self.decided, live=self.attach)

    def attach(self, live: Live) -> None:
        self._live = live

    def __enter__(self) -> Progress:
        if not self.quiet and out.is_terminal:
            self._screen = Screen(
                get_renderable=self._line, console=out, refresh_per_second=4, transient=True
            )
            self._screen.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._screen:
            self._screen.stop()

    def decided(self, decision: Decision) -> None:
        """Say what matters to somebody who waits."""
        text = self._told(decision)
        replaying = self._live is not None and self._live.record.replaying
        if text and not self.quiet and not replaying:
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
            case events.SearchEnded():
                self._phase = "comparing finalists and the held-out test"
                return f"search ended by {decision.reason}: {decision.detail}"
            case events.BestChosen():
                return f"best: {decision.best}, chosen on {decision.chosen_on}"
            case _:
                return ""

    def _admission(self, decision: events.CandidateAdmitted) -> str:
        if decision.step == 0:
            self._seed = self._best = decision.mean
            self._phase = "searching"
            return f"initial prompt: {decision.mean:.3f} on {decision.scored} examples"
        self._admitted += 1
        if decision.best:
            self._best = decision.mean
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

    def _line(self) -> Text:
        """What was done, and below it what is going on and what is to come."""
        if self._live is None:
            return Text("starting")
        done = [self._spent(), self._phase]
        if self._best is not None and self._seed is not None:
            done.append(f"best {self._best:.3f} (initial {self._seed:.3f})")
        done.append(duration(self._live.record.elapsed))
        now = [queue_words(self._live.evaluator.state, self.job.queue.concurrency)]
        if not self._live.record.replaying:
            now.append(short(self._live.outlook()))
        return Text(clean("  ".join(done)) + "\n" + clean("  ".join(now)), style="cyan")


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
