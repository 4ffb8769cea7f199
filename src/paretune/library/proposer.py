"""Proposals by what people have for gepa: a reflection model, an adapter's own proposer, or a function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paretune.core.canonical import JsonValue
from paretune.core.errors import AttemptFailed, FailureKind
from paretune.core.rollout import Usage
from paretune.library.adapter import ProposalFn
from paretune.library.evaluation import AdapterExecutor, Caller
from paretune.library.guide import LibraryGuide
from paretune.library.reflection import ReflectionLM, ReflectionProposal
from paretune.propose.base import Packet, Proposal
from paretune.propose.guards import Rejected

SHOWN = 3
"""So many earlier proposals of a parent that were turned down are shown again."""

TURNED_DOWN = "Earlier attempts that were turned down (do not repeat them)"

Dataset = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(slots=True)
class LibraryProposer:
    """Asks `custom` where there is one, else `reflection`, with what the adapter says is to be learned.

    Equal identities give exchangeable answers; a run's own folder is the only place where they are kept.
    """

    executor: AdapterExecutor
    guide: LibraryGuide
    call: Caller
    reflection: ReflectionLM | None
    custom: ProposalFn | None = None
    identity: str = "library"
    asked: int = 0

    async def propose(self, packet: Packet) -> Proposal:
        """Raises Rejected for an answer that cannot be used, AttemptFailed where code of the user raised."""
        parent, targets = dict(packet.parent.components), list(packet.targets)
        examples = [self.guide.train.named(evidence.example) for evidence in packet.evidence]
        self.asked += 1
        try:
            batch = await self.executor.batch_of(packet.parent, examples)
            dataset = await self.call(self.executor.adapter.make_reflective_dataset, parent, batch, targets)
            told = {name: [dict(record) for record in records] for name, records in dataset.items()}
            place = self.guide.place(packet.parent.id)
            self.guide.tell("reflective_dataset_built", candidate_idx=place, components=targets, dataset=told)
            self.guide.tell(
                "proposal_start", parent_candidate=parent, components=targets, reflective_dataset=told
            )
            before = self._counters()
            answer = await self._asked(parent, dataset, targets, packet)
        except (Rejected, AttemptFailed):
            raise
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            raise AttemptFailed(FailureKind.EVALUATOR_RAISED, message) from error
        self.guide.tell(
            "proposal_end",
            new_instructions=dict(answer.new_texts),
            prompts=dict(answer.prompts),
            raw_lm_outputs=dict(answer.raw_lm_outputs),
        )
        return Proposal(
            dict(answer.new_texts),
            rationale=_left_out(answer),
            usage=self._used(before),
            transcript=_transcript(answer),
        )

    async def _asked(
        self, parent: dict[str, str], dataset: Dataset, targets: list[str], packet: Packet
    ) -> ReflectionProposal:
        if self.custom is not None:
            return ReflectionProposal(dict(await self.call(self.custom, parent, dataset, targets)))
        assert self.reflection is not None
        shown = _with_rejected(dataset, targets, packet)
        answer: ReflectionProposal
        answer, self.reflection = await self.call(self.reflection.reflect, parent, shown, targets)
        return answer

    def _counters(self) -> tuple[float, float, float]:
        """Tokens in, tokens out and money of the reflection model so far, as far as it counts them."""
        model = getattr(self.reflection, "lm", self.reflection)
        names = ("total_tokens_in", "total_tokens_out", "total_cost")
        tokens_in, tokens_out, usd = (float(getattr(model, name, 0) or 0) for name in names)
        return tokens_in, tokens_out, usd

    def _used(self, before: tuple[float, float, float]) -> Usage:
        spent = [now - then for now, then in zip(self._counters(), before, strict=True)]
        return Usage(int(max(0, spent[0])), int(max(0, spent[1])), max(0.0, spent[2]))


def _with_rejected(dataset: Dataset, targets: Sequence[str], packet: Packet) -> Dataset:
    """The records, and after them what was tried from this parent in vain."""
    tried = packet.rejected[-SHOWN:]
    if not tried:
        return dataset

    def further(name: str) -> list[dict[str, Any]]:
        if name not in targets:
            return []
        return [{TURNED_DOWN: [{"Text": t.components.get(name, ""), "Why": t.reason} for t in tried]}]

    return {name: [*records, *further(name)] for name, records in dataset.items()}


def _left_out(answer: ReflectionProposal) -> str:
    """Which components keep their text since the answer for them could not be used."""
    rejected = answer.metadata.get("rejected") or {}
    return "; ".join(f"{name} keeps its text: {why}" for name, why in rejected.items())


def _transcript(answer: ReflectionProposal) -> JsonValue:
    """What was said, where it is text."""
    prompts = {name: said for name, said in answer.prompts.items() if isinstance(said, str)}
    if not prompts and not answer.raw_lm_outputs:
        return None
    return {"prompts": prompts, "answers": dict(answer.raw_lm_outputs)}
