"""Live progress: one line that moves on a terminal, one line per event elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from rich.live import Live as Screen
from rich.text import Text

from paretune.cli.console import clean, out, say
from paretune.core import events
from paretune.core.events import Decision
from paretune.engine.job import Job
from paretune.engine.run import Live, Watch


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
    _began: float = field(default_factory=time.monotonic)

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
        if self._live is None:
            return Text("starting")
        parts = [self._spent(), self._phase]
        if self._best is not None and self._seed is not None:
            parts.append(f"best {self._best:.3f} (initial {self._seed:.3f})")
        parts.append(f"{self._live.evaluator.in_flight} in flight")
        left = self._seconds_left()
        parts.append(f"{self._live.record.elapsed:.0f} s" + (f", about {left:.0f} s left" if left else ""))
        return Text(clean("  ".join(parts)), style="cyan")

    def _seconds_left(self) -> float | None:
        """By the rate so far, if the whole budget is used."""
        assert self._live is not None
        ledger = self._live.ledger
        paid = ledger.role("rollout").calls
        left = ledger.left()
        if left is None or paid < 10:
            return None
        return left * (time.monotonic() - self._began) / paid
