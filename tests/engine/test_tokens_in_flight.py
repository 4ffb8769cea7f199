"""Caps on tokens with 64 calls in flight: what a call takes is known only once one is home."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from paretune.core.budget import Limits
from paretune.core.errors import AttemptFailed, RunFailed
from paretune.core.rollout import Answer, Usage
from paretune.engine.job import Prices
from paretune.evaluate.evaluator import QueueSettings
from paretune.evaluate.executors import Dispatch
from paretune.propose.base import Packet, Proposal
from paretune.store import MemoryStore
from paretune.views.run_view import RunView, read
from support.rulebook import HintProposer, RulebookExecutor, dice
from support.runs import CASES, Case, begin
from support.slow import Thinking, lived

ROLLOUT, PROPOSAL = 700, 900
"""Tokens of the longest calls."""
KNOWN = Prices(rollout_tokens=ROLLOUT, answer_tokens=PROPOSAL)


def _drawn(most: int, *question: object) -> Usage:
    tokens = dice("tokens", *question).randint(most // 10, most)
    return Usage(tokens // 2, tokens - tokens // 2, 0.0)


@dataclass(slots=True)
class Thirsty(RulebookExecutor):
    """Each rollout takes as many tokens as the dice say, or all the same."""

    alike: bool = False

    async def run(self, batch: Sequence[Dispatch]) -> list[Answer | AttemptFailed]:
        (answer,) = await RulebookExecutor.run(self, batch)
        usage = Usage(ROLLOUT, 0) if self.alike else _drawn(ROLLOUT, batch[0].rollout_id)
        return [replace(answer, usage=usage) if isinstance(answer, Answer) else answer]


@dataclass(slots=True)
class Wordy(HintProposer):
    alike: bool = False

    async def propose(self, packet: Packet) -> Proposal:
        proposal = await HintProposer.propose(self, packet)
        return replace(proposal, usage=Usage(PROPOSAL, 0) if self.alike else _drawn(PROPOSAL, packet.draw))


def _wide(name: str) -> Case:
    case = CASES[name](1)
    splits = case.book.splits(reflect=64, pareto=64)
    if name == "lanes":
        pipeline = replace(case.settings.pipeline, lanes=8)
        case = replace(case, settings=replace(case.settings, pipeline=pipeline))
    return replace(case, splits=splits, queue=QueueSettings(64))


def _ran(name: str, prices: Prices, limits: Limits, *, alike: bool) -> RunView:
    case, store = _wide(name), MemoryStore()
    wordy = Wordy(case.book.seed, alike=alike)
    run_id = begin(store, case.job(), wordy)
    executor = Thirsty(case.book, alike=alike)
    with contextlib.suppress(RunFailed):
        lived(
            case,
            store=store,
            run_id=run_id,
            executor=executor,
            proposer=Thinking(wordy),
            prices=prices,
            limits=limits,
        )
    return read(store, run_id)


CAPS = [
    *(Limits(rollouts=900, rollout_tokens=cap) for cap in (900, 20_000, 46_000, 70_000)),
    *(Limits(rollouts=900, tokens=cap) for cap in (10_000, 50_000, 90_000)),
    *(Limits(rollouts=900, proposal_tokens=cap) for cap in (1_000, 4_000, 12_000)),
]


def _caps(view: RunView, limits: Limits) -> list[tuple[int, int, int]]:
    """Each cap, what was taken of it, and what one call of a kind that it holds for can take."""
    ledger = view.ledger
    caps = [
        (limits.rollout_tokens, ledger.role("rollout").tokens, ROLLOUT),
        (limits.proposal_tokens, ledger.role("proposal").tokens, PROPOSAL),
        (limits.tokens, ledger.tokens, max(ROLLOUT, PROPOSAL)),
    ]
    return [(cap, taken, one) for cap, taken, one in caps if cap is not None]


@pytest.mark.parametrize("limits", CAPS, ids=str)
@pytest.mark.parametrize("name", ["classic", "lanes"])
def test_with_a_known_longest_answer_no_cap_on_tokens_is_passed(name: str, limits: Limits) -> None:
    view = _ran(name, KNOWN, limits, alike=False)
    assert [(cap, taken) for cap, taken, _ in _caps(view, limits) if taken > cap] == []
    assert view.ledger.tokens > 0


@pytest.mark.parametrize("limits", CAPS, ids=str)
@pytest.mark.parametrize("name", ["classic", "lanes"])
def test_with_unknown_sizes_a_cap_is_passed_by_the_first_call_at_most(name: str, limits: Limits) -> None:
    view = _ran(name, Prices(), limits, alike=True)
    for cap, taken, one in _caps(view, limits):
        assert taken <= max(cap, one)


def test_as_many_as_the_cap_holds_are_out_at_once_when_one_call_is_known() -> None:
    """Nothing is lost by the first call going out alone, nor by what is held for calls that take less."""
    case = _wide("classic")
    free, capped = (lived(case, limits=Limits(rollouts=64, rollout_tokens=cap)) for cap in (None, 10**6))
    assert free.seconds < capped.seconds < 2 * free.seconds < 0.5 * capped.executor.busy
    enough = _ran("classic", KNOWN, Limits(rollouts=900, rollout_tokens=30_000), alike=False)
    assert enough.finished is not None
    assert enough.ledger.role("rollout").calls == 64 > 30_000 / ROLLOUT
