"""What a run spent and how its work flowed: sums agree with the ledger and with the calls themselves."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from paretune.core import events
from paretune.views.calls import ENDED
from paretune.views.pipeline import UnderWay, busy, staleness, under_way
from paretune.views.run_view import Moment, RunView, read
from paretune.views.spending import active_seconds, over_time
from support.runs import carry, lanes, merging

START = 1_767_225_600.0  # 2026-01-01


@pytest.fixture(scope="module")
def real() -> RunView:
    finished = asyncio.run(carry(lanes(3)))
    return read(finished.store, finished.run_id)


def with_calls(view: RunView, *calls: tuple[float, float], rest: float = 0.0) -> RunView:
    """Rollouts that ended after so many seconds and took so long; the run rested for a while after 10 s."""
    rows = [(START + at, place, 0, 0, 0, 7, 0.5, seconds) for place, (at, seconds) in enumerate(calls)]
    moments = (
        Moment("2026-01-01T00:00:00+00:00", 0.0),
        Moment("2026-01-01T00:00:10+00:00", 10.0),
        Moment(f"2026-01-01T00:{int(rest) // 60:02}:{10 + int(rest) % 60:02}+00:00", 10.0),
        Moment(f"2026-01-01T00:{int(rest) // 60:02}:{20 + int(rest) % 60:02}+00:00", 20.0),
    )
    return replace(view, spent=np.array(rows, ENDED), moments=moments)


def test_lines_end_where_the_ledger_stands(real: RunView) -> None:
    for line in over_time(real, "tokens"):
        assert line.total[-1] == real.ledger.role(line.role).tokens
        assert list(line.total) == sorted(line.total)
    for line in over_time(real, "calls"):
        assert line.total[-1] == real.ledger.role(line.role).calls
    for line in over_time(real, "usd"):
        assert line.total[-1] == pytest.approx(real.ledger.role(line.role).usd)


def test_a_long_line_is_thinned_and_keeps_its_ends(real: RunView) -> None:
    view = with_calls(real, *((at / 10, 0.1) for at in range(1, 200)))
    line = over_time(view, "calls", points=20)[0]
    assert len(line.total) == 22
    assert (line.total[0], line.total[-1]) == (0.0, 199.0)


def test_rests_do_not_count(real: RunView) -> None:
    view = with_calls(real, rest=1800.0)
    at = np.array([START - 1, START + 5, START + 900, START + 1815])
    assert active_seconds(view, at).tolist() == [0.0, 5.0, 10.0, 15.0]


def test_calls_at_once(real: RunView) -> None:
    # Two calls for the first ten seconds, none for the next ten, but for one of five.
    line = busy(with_calls(real, (10.0, 10.0), (10.0, 10.0), (20.0, 5.0)), bins=4)[0]
    assert line.seconds == (5.0, 10.0, 15.0, 20.0)
    assert line.calls == pytest.approx((2.0, 2.0, 0.0, 1.0))
    assert sum(line.calls) * 5 == pytest.approx(25.0)


def test_nothing_is_under_way_at_the_end_and_something_in_the_middle(real: RunView) -> None:
    assert not under_way(real).gate
    gated = next(at for at, d in enumerate(real.decisions) if isinstance(d, events.GateDecided))
    assert under_way(replace(real, decisions=real.decisions[:gated])).gate


def test_seed_children_that_passed_and_the_closing_evaluation_have_a_stage() -> None:
    finished = asyncio.run(carry(merging(2)))
    view = read(finished.store, finished.run_id)

    def until(at: int) -> UnderWay:
        return under_way(replace(view, decisions=view.decisions[: at + 1]))

    assert until(0).evaluation == 1
    before = until(0)
    for at, decision in enumerate(view.decisions):
        now = until(at)
        match decision:
            case events.GateDecided():
                assert now.evaluation == before.evaluation + decision.passed
            case events.CandidateAdmitted():
                assert now.evaluation == before.evaluation - 1
            case events.SearchEnded() | events.BestChosen():
                assert now.closing
        before = now
    assert before == UnderWay(0, 0, 0, False, 0, 0)


def test_staleness_is_what_the_decisions_say(real: RunView) -> None:
    found = staleness(real)
    moves = real.of_kind(events.HeadMoved)
    assert sum(found.moves.values()) == len(moves) > 0
    assert found.joined == sum(getattr(move, "reason", "") == "joined" for move in moves)
    assert sum(found.skipped.values()) == len(real.of_kind(events.StepSkipped))
