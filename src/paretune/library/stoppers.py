"""When to stop: a stopper is asked between two iterations and answers True for the end."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, runtime_checkable

from paretune.core.errors import Misconfigured

if TYPE_CHECKING:
    from paretune.library.state import GEPAState


@runtime_checkable
class StopperProtocol(Protocol):
    """Anything callable with the state. Also a plain function."""

    def __call__(self, gepa_state: GEPAState[Any, Any]) -> bool:
        """True if the run is to end now."""
        ...


class TimeoutStopCondition(StopperProtocol):
    """Ends a run `timeout_seconds` after this object was made."""

    def __init__(self, timeout_seconds: float) -> None:
        self.timeout_seconds = timeout_seconds
        # Not the wall clock, which somebody may set in the middle of a run.
        self._started = time.monotonic()

    def __call__(self, gepa_state: GEPAState[Any, Any]) -> bool:
        return time.monotonic() - self._started > self.timeout_seconds


class FileStopper(StopperProtocol):
    """Ends a run when a file exists: `touch gepa.stop`."""

    def __init__(self, stop_file_path: str) -> None:
        self.stop_file_path = stop_file_path

    def __call__(self, gepa_state: GEPAState[Any, Any]) -> bool:
        return os.path.exists(self.stop_file_path)

    def remove_stop_file(self) -> None:
        """Takes the file away, if it is there."""
        Path(self.stop_file_path).unlink(missing_ok=True)


class ScoreThresholdStopper(StopperProtocol):
    """Ends a run when some candidate's validation mean is `threshold` or more."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def __call__(self, gepa_state: GEPAState[Any, Any]) -> bool:
        return max(gepa_state.program_full_scores_val_set, default=float("-inf")) >= self.threshold


class NoImprovementStopper(StopperProtocol):
    """Ends a run when the best validation mean has not risen for so many iterations."""

    def __init__(self, max_iterations_without_improvement: int) -> None:
        self.max_iterations_without_improvement = max_iterations_without_improvement
        self.best_score = float("-inf")
        self.iterations_without_improvement = 0

    def __call__(self, gepa_state: GEPAState[Any, Any]) -> bool:
        best = max(gepa_state.program_full_scores_val_set, default=float("-inf"))
        if best > self.best_score:
            self.best_score = best
            self.iterations_without_improvement = 0
        else:
            self.iterations_without_improvement += 1
        return self.iterations_without_improvement >= self.max_iterations_without_improvement

    def reset(self) -> None:
        """Counts from nothing again; the best score so far is kept."""
        self.iterations_without_improvement = 0


class SignalStopper(StopperProtocol):
    """Ends a run after one of `signals` (SIGINT and SIGTERM unless told).

    The process's own handlers are back after the first signal, so a second one does what it always did,
    and after `cleanup` or the end of a `with` block. Off the main thread, where Python lets nobody
    set handlers, it changes nothing and never ends a run.
    """

    def __init__(self, signals: Sequence[int] | None = None) -> None:
        given = (signal.SIGINT, signal.SIGTERM) if signals is None else signals
        self.signals = [signal.Signals(number) for number in given]
        self._stop_requested = False
        self._former: dict[signal.Signals, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in self.signals:
                self._former[number] = signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._stop_requested = True
        self.cleanup()

    def __call__(self, gepa_state: GEPAState[Any, Any]) -> bool:
        return self._stop_requested

    def cleanup(self) -> None:
        """Puts back the handlers that were there before, where ours still stands."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number, former in self._former.items():
            # One that C code set cannot be read, hence not be put back: the default stands in.
            if signal.getsignal(number) == self._handle:
                signal.signal(number, signal.SIG_DFL if former is None else former)
        self._former.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cleanup()


class MaxTrackedCandidatesStopper(StopperProtocol):
    """Ends a run when the pool holds so many candidates, the seed counted."""

    def __init__(self, max_tracked_candidates: int) -> None:
        self.max_tracked_candidates = max_tracked_candidates

    def __call__(self, gepa_state: GEPAState[Any, Any]) -> bool:
        return len(gepa_state.program_candidates) >= self.max_tracked_candidates


class MaxMetricCallsStopper(StopperProtocol):
    """Ends a run when so many evaluations are spent, the seed's counted."""

    def __init__(self, max_metric_calls: int) -> None:
        self.max_metric_calls = max_metric_calls

    def __call__(self, gepa_state: GEPAState[Any, Any]) -> bool:
        return gepa_state.total_num_evals >= self.max_metric_calls


class MaxReflectionCostStopper(StopperProtocol):
    """Ends a run when the reflection model has cost so many US dollars.

    The cost is `reflection_lm.total_cost`; a model that does not know it never ends a run.
    """

    def __init__(self, max_reflection_cost_usd: float, reflection_lm: object | None = None) -> None:
        self.max_reflection_cost_usd = max_reflection_cost_usd
        self._reflection_lm = reflection_lm

    def __call__(self, gepa_state: GEPAState[Any, Any]) -> bool:
        spent = getattr(self._reflection_lm, "total_cost", 0.0)
        return float(spent) >= self.max_reflection_cost_usd


class MaxCandidateProposalsStopper(StopperProtocol):
    """Ends a run after so many iterations, whatever came of them."""

    def __init__(self, max_proposals: int) -> None:
        self.max_proposals = max_proposals

    def __call__(self, gepa_state: GEPAState[Any, Any]) -> bool:
        # `i` is the last iteration's number, from 0; -1 before the first.
        return gepa_state.i + 1 >= self.max_proposals


class CompositeStopper(StopperProtocol):
    """Ends a run when `any` (or `all`) of its stoppers would; without stoppers, never.

    Each is asked every time, for some of them count. Raises Misconfigured on another mode.
    """

    def __init__(self, *stoppers: StopperProtocol, mode: Literal["any", "all"] = "any") -> None:
        if mode not in ("any", "all"):
            raise Misconfigured("mode", f"must be 'any' or 'all', not {mode!r}")
        self.stoppers = stoppers
        self.mode = mode

    def __call__(self, gepa_state: GEPAState[Any, Any]) -> bool:
        answers = [stopper(gepa_state) for stopper in self.stoppers]
        return any(answers) if self.mode == "any" else bool(answers) and all(answers)
