"""Callbacks hear of everything and can break nothing; stoppers end runs and leave the process as it was."""

import logging
import os
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from paretune.core.errors import Misconfigured
from paretune.library.callbacks import EVENTS, CompositeCallback, GEPACallback, notify_callbacks
from paretune.library.stoppers import (
    CompositeStopper,
    FileStopper,
    MaxCandidateProposalsStopper,
    MaxMetricCallsStopper,
    MaxReflectionCostStopper,
    MaxTrackedCandidatesStopper,
    NoImprovementStopper,
    ScoreThresholdStopper,
    SignalStopper,
    StopperProtocol,
    TimeoutStopCondition,
)
from support.gepa_states import at, state_of

# -- callbacks --------------------------------------------------------------------------------------


class Broken:
    def on_error(self, event: Any) -> None:
        raise RuntimeError("the watcher is broken")


class Hearing:
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_error(self, event: Any) -> None:
        self.heard.append(event)


def test_what_a_callback_raises_is_logged_and_keeps_nothing_from_the_next(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hearing = Hearing()
    with caplog.at_level(logging.WARNING, logger="paretune.library"):
        notify_callbacks([Broken(), object(), hearing], "on_error", {"iteration": 1})
    assert hearing.heard == [{"iteration": 1}]
    [record] = caplog.records
    assert "Broken" in record.getMessage()
    assert record.exc_info is not None


def test_nobody_may_listen(caplog: pytest.LogCaptureFixture) -> None:
    notify_callbacks(None, "on_error", {})
    assert not caplog.records


def test_a_composite_passes_every_event_on() -> None:
    heard: list[str] = []

    class Everything:
        def __getattr__(self, name: str) -> Any:
            return lambda event: heard.append(name)

    composite = CompositeCallback()
    composite.add(Everything())
    assert isinstance(composite, GEPACallback)
    for name in EVENTS:
        getattr(composite, name)({})
    assert heard == list(EVENTS)
    assert len(EVENTS) == 22


# -- stoppers ---------------------------------------------------------------------------------------


def test_counts_end_a_run_when_they_are_reached() -> None:
    state = state_of({0: 0.2, 1: 0.4}, {0: 0.4, 1: 0.6})
    assert [MaxTrackedCandidatesStopper(n)(state) for n in (1, 2, 3)] == [True, True, False]
    assert [MaxMetricCallsStopper(n)(state) for n in (1, 2, 3)] == [True, True, False]
    assert [ScoreThresholdStopper(t)(state) for t in (0.4, 0.5, 0.6)] == [True, True, False]
    assert [MaxCandidateProposalsStopper(2)(at(state, i)) for i in (-1, 0, 1, 2)] == [
        False,
        False,
        True,
        True,
    ]


def test_standing_still_for_too_long_ends_a_run() -> None:
    low, high = state_of({0: 0.1}), state_of({0: 0.1}, {0: 0.2})
    stopper = NoImprovementStopper(2)
    assert [stopper(s) for s in (low, low, high, high)] == [False, False, False, False]
    stopper.reset()
    assert [stopper(s) for s in (high, low)] == [False, True]


def test_money_is_counted_where_the_model_knows_it() -> None:
    state = state_of({0: 0.0})
    assert MaxReflectionCostStopper(0.5, SimpleNamespace(total_cost=0.5))(state)
    assert not MaxReflectionCostStopper(0.5, SimpleNamespace(total_cost=0.4))(state)
    assert not MaxReflectionCostStopper(0.5, object())(state)


def test_time_and_a_file(tmp_path: Path) -> None:
    state, path = state_of({0: 0.0}), tmp_path / "gepa.stop"
    short, long = TimeoutStopCondition(0.0), TimeoutStopCondition(3600)
    time.sleep(0.002)
    assert (short(state), long(state)) == (True, False)
    stopper = FileStopper(str(path))
    assert not stopper(state)
    path.touch()
    assert stopper(state)
    stopper.remove_stop_file()
    stopper.remove_stop_file()
    assert not path.exists()


def test_composites_ask_everybody_and_alone_they_never_end_a_run() -> None:
    state, asked = state_of({0: 0.0}), []

    def saying(answer: bool) -> StopperProtocol:
        def stopper(gepa_state: Any) -> bool:
            asked.append(answer)
            return answer

        return stopper

    yes, no = saying(True), saying(False)
    assert CompositeStopper(yes, no)(state)
    assert not CompositeStopper(yes, no, mode="all")(state)
    assert CompositeStopper(yes, yes, mode="all")(state)
    assert len(asked) == 6
    assert not CompositeStopper(mode="all")(state)
    with pytest.raises(Misconfigured, match="mode"):
        CompositeStopper(yes, mode="most")  # type: ignore[arg-type]


def test_a_signal_ends_the_run_once_and_the_process_has_its_handlers_back() -> None:
    state, before = state_of({0: 0.0}), signal.getsignal(signal.SIGUSR1)
    stopper = SignalStopper([signal.SIGUSR1])
    assert not stopper(state)
    os.kill(os.getpid(), signal.SIGUSR1)
    assert stopper(state)
    assert signal.getsignal(signal.SIGUSR1) is before


def test_the_end_of_the_block_puts_handlers_back_unless_somebody_else_set_theirs() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with SignalStopper([signal.SIGUSR1]):
        assert signal.getsignal(signal.SIGUSR1) is not before
    assert signal.getsignal(signal.SIGUSR1) is before

    def mine(number: int, frame: Any) -> None: ...

    try:
        with SignalStopper([signal.SIGUSR1]):
            signal.signal(signal.SIGUSR1, mine)
        assert signal.getsignal(signal.SIGUSR1) is mine
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_off_the_main_thread_signals_are_left_alone() -> None:
    before, made = signal.getsignal(signal.SIGUSR1), list[SignalStopper]()
    thread = threading.Thread(target=lambda: made.append(SignalStopper([signal.SIGUSR1])))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGUSR1) is before
    made[0].cleanup()
    assert not made[0](state_of({0: 0.0}))
