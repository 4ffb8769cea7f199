"""The grounded proposer: instructions from the data, the program and what was measured (MIPRO).

Opsahl-Ong et al., arXiv 2406.11695, section 3.1: proposals are grounded in a summary of the data set, the
program, demonstrations, a tip, and the history of what was tried.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from paretune.core.canonical import JsonValue, digest
from paretune.core.rollout import Usage
from paretune.llm.chat import Completion
from paretune.propose.base import Grounding, Packet, Proposal
from paretune.propose.guards import Rejected
from paretune.propose.instruction_text import (
    GROUNDED_VERSION,
    INSTRUCTION,
    NOTE_CHARACTERS,
    NOTHING_NEW,
    SUMMARY_CHARACTERS,
    render_instruction,
    render_look,
    render_summary,
)
from paretune.propose.packet_text import PromptLimits, cut
from paretune.propose.reflect import Chat, ReflectiveProposer, read_answer, without_thoughts

ROWS_AT_ONCE = 10
MOST_LOOKS = 4
SUMMARY_PROMPT_TOKENS = 6_500
"""The most that a prompt for the summary takes, at about three characters a token."""


def summary_calls(rows: int) -> int:
    """The most calls that the first proposal on so many rows makes before the one that asks for its text."""
    if rows <= ROWS_AT_ONCE:
        return min(rows, 1)
    return min(-(-rows // ROWS_AT_ONCE), MOST_LOOKS) + 1


class GroundedProposer:
    """Asks `model` once for each instruction, and for a summary of the data set before the first one.

    `metaprompt` takes the place of the built-in instruction, word for word; `spec` is a specification that
    the texts must agree with. A packet without grounding is put as by the reflective proposer. Raises what
    `Proposer` says.

    The summary is kept in memory by the rows' content. Proposals that need it wait for the one that asks;
    what it cost counts on the first of them that comes home.
    """

    def __init__(
        self,
        model: Chat,
        metaprompt: str | None = None,
        *,
        spec: str = "",
        limits: PromptLimits | None = None,
    ) -> None:
        self._model = model
        self._metaprompt = metaprompt
        self._spec = spec
        self._limits = limits or PromptLimits()
        self._reflective = ReflectiveProposer(model, metaprompt, spec=spec, limits=limits)
        self._summaries: dict[str, _Summary] = {}

    @property
    def identity(self) -> str:
        prompt = digest([GROUNDED_VERSION, self._metaprompt or INSTRUCTION, ROWS_AT_ONCE, MOST_LOOKS], 12)
        return f"grounded {prompt} {self._reflective.identity}"

    async def propose(self, packet: Packet) -> Proposal:
        if packet.grounding is None:
            return await self._reflective.propose(packet)
        summary = await self._summary(packet.grounding)
        messages = render_instruction(
            packet,
            packet.grounding,
            summary.text,
            metaprompt=self._metaprompt,
            spec=self._spec,
            limits=self._limits,
        )
        completion = await self._model.complete(messages)
        usage, calls = summary.settle(completion.usage)
        transcript: dict[str, JsonValue] = {**_told(messages, completion), "summary": calls}
        try:
            rationale, texts = read_answer(completion, packet)
        except Rejected as rejection:
            raise Rejected(rejection.reason, rejection.detail, usage=usage, transcript=transcript) from None
        return Proposal(texts, rationale, usage=usage, transcript=transcript)

    async def _summary(self, grounding: Grounding) -> _Summary:
        rows = list(grounding.rows)
        summary = self._summaries.setdefault(digest(rows, 32), _Summary(spread(rows)))
        async with summary.lock:
            await summary.write(self._model)
        return summary


def spread(rows: Sequence[str]) -> tuple[str, ...]:
    """As many rows as are looked at, evenly over all of them: the order of a file often has a meaning."""
    most = ROWS_AT_ONCE * MOST_LOOKS
    if len(rows) <= most:
        return tuple(rows)
    return tuple(rows[number * len(rows) // most] for number in range(most))


@dataclass(slots=True)
class _Summary:
    """A data set's summary as far as it is written; after a failed call it is carried on from there."""

    rows: tuple[str, ...]
    text: str = ""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _notes: list[str] = field(default_factory=list)
    _looks: int = 0
    _written: bool = False
    _usage: list[Usage] = field(default_factory=list)
    _calls: list[JsonValue] = field(default_factory=list)

    async def write(self, model: Chat) -> None:
        """Nothing to do where it is written already. Raises AttemptFailed."""
        batches = [self.rows[at : at + ROWS_AT_ONCE] for at in range(0, len(self.rows), ROWS_AT_ONCE)]
        while len(batches) > 1 and self._looks < len(batches):
            rows = batches[self._looks]
            note = await self._ask(model, render_look(rows, self._notes))
            self._looks += 1
            if NOTHING_NEW in note.upper():
                self._looks = len(batches)
            elif note:
                self._notes.append(cut(note, NOTE_CHARACTERS))
        if self.rows and not self._written:
            text = await self._ask(model, render_summary(batches[0], self._notes))
            self.text, self._written = cut(text, SUMMARY_CHARACTERS), True

    async def _ask(self, model: Chat, messages: list[dict[str, str]]) -> str:
        """What the model wrote; nothing where it only thought or would not answer."""
        completion = await model.complete(messages)
        self._usage.append(completion.usage)
        self._calls.append(_told(messages, completion))
        try:
            return without_thoughts(completion.text).strip()
        except Rejected:
            return ""

    def settle(self, usage: Usage) -> tuple[Usage, list[JsonValue]]:
        """This usage and what nobody was charged for yet, and the calls that this was for."""
        spent, calls = [usage, *self._usage], list(self._calls)
        self._usage.clear()
        self._calls.clear()
        return _sum(spent), calls


def _sum(spent: Sequence[Usage]) -> Usage:
    """Money is unknown where that of a call is."""
    costs = [usage.cost_usd for usage in spent if usage.cost_usd is not None]
    return Usage(
        sum(usage.prompt_tokens for usage in spent),
        sum(usage.completion_tokens for usage in spent),
        sum(costs) if len(costs) == len(spent) else None,
    )


def _told(messages: Sequence[dict[str, str]], completion: Completion) -> dict[str, JsonValue]:
    return {
        "messages": list(messages),
        "answer": completion.text,
        "finish_reason": completion.finish_reason,
    }
