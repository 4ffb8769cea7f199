"""The reflective proposer: one call to a model that reads a packet and writes better texts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from paretune.core.canonical import digest
from paretune.llm.chat import Completion
from paretune.propose.base import Packet, Proposal
from paretune.propose.demonstrations import chosen, is_demonstrations
from paretune.propose.guards import Reason, Rejected
from paretune.propose.packet_text import (
    EXAMPLE_TEXT,
    INSTRUCTION,
    PROMPT_VERSION,
    PromptLimits,
    labels,
    render,
)


class Chat(Protocol):
    """What a proposer needs of a model; `paretune.llm.chat.ChatModel` is one."""

    @property
    def identity(self) -> str: ...

    async def complete(self, messages: Sequence[Mapping[str, str]]) -> Completion: ...


class ReflectiveProposer:
    """Asks `model` once per proposal (GEPA, arXiv 2507.19457, section 3.2).

    `metaprompt` takes the place of the built-in instruction, word for word; evidence, rules and answer
    format stay. `spec` is a specification that the texts must agree with. Raises what `Proposer` says.
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

    @property
    def identity(self) -> str:
        sizes = [self._limits.field, self._limits.whole, self._limits.tried]
        own = [self._spec] if self._spec else []
        prompt = digest([PROMPT_VERSION, self._metaprompt or INSTRUCTION, sizes, *own], 12)
        return f"reflect {prompt} {self._model.identity}"

    async def propose(self, packet: Packet) -> Proposal:
        messages = render(packet, metaprompt=self._metaprompt, spec=self._spec, limits=self._limits)
        completion = await self._model.complete(messages)
        transcript = {
            "messages": messages,
            "answer": completion.text,
            "finish_reason": completion.finish_reason,
        }
        try:
            rationale, texts = read_answer(completion, packet)
        except Rejected as rejection:
            raise Rejected(
                rejection.reason, rejection.detail, usage=completion.usage, transcript=transcript
            ) from None
        return Proposal(texts, rationale, usage=completion.usage, transcript=transcript)


def read_answer(completion: Completion, packet: Packet) -> tuple[str, dict[str, str]]:
    """(rationale, component -> new text) of a model's answer. Raises Rejected rather than guess."""
    if completion.finish_reason == "length":
        raise Rejected(
            Reason.TRUNCATED, f"the answer broke off after {completion.usage.completion_tokens} tokens"
        )
    if completion.finish_reason in ("content_filter", "refusal"):
        raise Rejected(Reason.REFUSED, f"the model gave no answer: {completion.finish_reason}")
    answer = without_thoughts(completion.text.replace("\r\n", "\n"))
    if not answer.strip():
        raise Rejected(Reason.EMPTY, "the model wrote nothing")
    prose, blocks = read_blocks(answer)
    if not blocks:
        raise Rejected(Reason.UNFENCED, f"no code block in the answer: {_excerpt(answer)}")
    texts: dict[str, str] = {}
    for block in blocks:
        name = _component(block, packet)
        if len(blocks) > 1 and len(packet.targets) == 1:
            raise Rejected(Reason.AMBIGUOUS, f"{len(blocks)} code blocks for one component")
        if name in texts:
            raise Rejected(Reason.AMBIGUOUS, f"two code blocks for component {name!r}")
        if block.text.strip() in ("", EXAMPLE_TEXT):
            raise Rejected(Reason.EMPTY, f"the block for component {name!r} holds no text")
        texts[name] = _component_text(name, block.text, packet)
    return _excerpt(prose, 1_000), texts


def _component_text(name: str, text: str, packet: Packet) -> str:
    if not is_demonstrations(packet.surface, name):
        return text
    try:
        return chosen(text, name, packet)
    except ValueError as error:
        raise Rejected(Reason.BAD_DEMONSTRATIONS, f"component {name!r}: {error}") from None


@dataclass(frozen=True, slots=True)
class Block:
    """A code block: the word after its fence and what is inside."""

    tag: str
    text: str


def read_blocks(answer: str) -> tuple[str, list[Block]]:
    """(the prose between, the code blocks in order). Raises Rejected on a block that is never closed.

    A block is closed by a line of at least as many backticks as opened it (CommonMark 0.31, 4.5).
    """
    prose: list[str] = []
    blocks: list[Block] = []
    fence, tag, inside = "", "", list[str]()
    for line in answer.split("\n"):
        mark = _FENCE.fullmatch(line.rstrip())
        if not fence and mark:
            fence, tag, inside = mark[1], mark[2].strip(), []
        elif not fence:
            prose.append(line)
        elif mark and not mark[2].strip() and mark[1].startswith(fence):
            blocks.append(Block(tag, "\n".join(inside)))
            fence = ""
        else:
            inside.append(line)
    if fence:
        raise Rejected(Reason.TRUNCATED, f"the code block {tag!r} is never closed")
    return "\n".join(prose), blocks


_FENCE = re.compile(r" {0,3}(`{3,})([^`]*)")
_PLAIN = frozenset({"", "text", "txt", "plaintext", "markdown", "md", "prompt"})


def _component(block: Block, packet: Packet) -> str:
    """Which component a block is for; an untagged one only where there is no choice."""
    known = labels(packet)
    if block.tag in known:
        return known[block.tag]
    if block.tag not in _PLAIN or block.tag in packet.parent.components:
        raise Rejected(Reason.UNKNOWN_COMPONENT, f"a code block is tagged {_excerpt(block.tag, 80)!r}")
    if len(packet.targets) > 1:
        raise Rejected(Reason.AMBIGUOUS, "a code block without the name of its component")
    return packet.targets[0]


def without_thoughts(answer: str) -> str:
    """Some endpoints leave a model's thinking in front of its answer; drafts in there are no answer."""
    if not answer.lstrip().startswith("<think>"):
        return answer
    _, closed, rest = answer.partition("</think>")
    if not closed:
        raise Rejected(Reason.TRUNCATED, "the answer broke off while the model was still thinking")
    return rest


def _excerpt(text: str, limit: int = 300) -> str:
    words = " ".join(text.split())
    return words if len(words) <= limit else words[: limit - 3] + "..."
