"""Proposals that share a summary of the data, on the ledger and in the store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from paretune.core.budget import Ledger, Limits
from paretune.core.candidate import Candidate
from paretune.core.errors import BudgetExceeded
from paretune.core.rollout import Usage
from paretune.engine.proposals import Proposals
from paretune.llm.chat import Completion
from paretune.propose.base import Grounding, Packet, Proposal, Surface
from paretune.propose.instruction_text import TIPS
from paretune.propose.instructions import GroundedProposer, summary_calls
from paretune.store import MemoryStore, Store
from paretune.store.book import RunBook
from support.runs import begin, classic

LONGEST = 500
ROWS = tuple(f"row {number}" for number in range(30))


@dataclass
class Wordy:
    """Every answer is as long as it may be."""

    calls: int = 0
    identity: str = "wordy"

    async def complete(self, messages: Sequence[Mapping[str, str]]) -> Completion:
        self.calls += 1
        await asyncio.sleep(0)
        shown = sum(len(message["content"]) for message in messages)
        usage = Usage(shown // 4, LONGEST, 0.01)
        return Completion(f"Why.\n```\nText {self.calls}.\n```", "stop", usage)


def packets(count: int) -> list[Packet]:
    parent, tips = Candidate({"text": "Say it."}), list(TIPS)
    return [
        Packet(
            parent,
            ("text",),
            (),
            Surface(),
            draw=str(number),
            grounding=Grounding(rows=ROWS, tip=tips[number % len(tips)]),
        )
        for number in range(count)
    ]


async def drafted(
    store: Store, run_id: str, model: Wordy, limits: Limits
) -> tuple[Ledger, list[Proposal | BaseException]]:
    ledger = Ledger(limits)
    book = RunBook(store, run_id, now=lambda: "")
    proposals = Proposals(book, ledger, GroundedProposer(model), longest=LONGEST)
    home = await asyncio.gather(*map(proposals.start, packets(12)), return_exceptions=True)
    return ledger, [one if isinstance(one, BaseException) else one.result for one in home]


async def test_a_summary_is_paid_once_and_a_resumed_run_asks_for_nothing() -> None:
    store, first, second = MemoryStore(), Wordy(), Wordy()
    run_id = begin(store, classic(1).job(), GroundedProposer(first))
    ledger, made = await drafted(store, run_id, first, Limits())
    assert first.calls == 12 + summary_calls(len(ROWS))
    assert all(isinstance(one, Proposal) for one in made)
    assert round(ledger.cost_usd / 0.01) == first.calls
    _, again = await drafted(store, run_id, second, Limits())
    assert second.calls == 0
    assert again == made


async def test_a_cap_on_tokens_holds_for_the_summary_too() -> None:
    for cap in (40_000, 60_000):
        store, model = MemoryStore(), Wordy()
        run_id = begin(store, classic(1).job(), GroundedProposer(model))
        ledger, made = await drafted(store, run_id, model, Limits(proposal_tokens=cap))
        assert 0 < ledger.role("proposal").tokens <= cap
        assert all(isinstance(one, Proposal | BudgetExceeded) for one in made)
        assert any(isinstance(one, Proposal) for one in made)
