"""Guards: what turns a proposal down before it costs a rollout."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum

from paretune.core.candidate import CandidateId, content_id
from paretune.core.canonical import JsonValue
from paretune.core.errors import ParetuneError
from paretune.core.placeholders import placeholders as placeholders
from paretune.core.rollout import Usage
from paretune.propose.base import Evidence, Packet, Proposal, Surface
from paretune.propose.copies import TrainingTexts
from paretune.propose.demonstrations import checked, is_demonstrations


class Reason(StrEnum):
    """Why there is no child. The first group is about the answer, the second about its texts."""

    PROPOSER_FAILED = "proposer_failed"
    REFUSED = "refused"
    TRUNCATED = "truncated"
    UNFENCED = "unfenced"
    AMBIGUOUS = "ambiguous"
    UNKNOWN_COMPONENT = "unknown_component"
    NO_IDEA = "no_idea"

    EMPTY = "empty"
    UNCHANGED = "unchanged"
    STALE = "stale"
    CLASH = "clash"
    DUPLICATE = "duplicate"
    REPEATED = "repeated"
    PLACEHOLDER_LOST = "placeholder_lost"
    PLACEHOLDER_INVENTED = "placeholder_invented"
    BAD_DEMONSTRATIONS = "bad_demonstrations"
    COPIED_TRAINING_TEXT = "copied_training_text"
    TOO_LONG = "too_long"


class Rejected(ParetuneError):
    """A proposal, or an answer that should have been one, is unusable; asking again is another step.

    `usage` is what the answer cost all the same, `transcript` what was said.
    """

    def __init__(
        self, reason: Reason, detail: str, usage: Usage | None = None, transcript: JsonValue = None
    ) -> None:
        super().__init__(reason, detail, usage, transcript)
        self.reason = reason
        self.detail = detail
        self.usage = usage or Usage()
        self.transcript = transcript

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


def check(
    proposal: Proposal,
    packet: Packet,
    *,
    known: Collection[CandidateId] = (),
    training: TrainingTexts | Sequence[Evidence | str] = (),
    count: Callable[[str], int] | None = None,
) -> dict[str, str]:
    """The child's texts, all components in the parent's order. Raises Rejected, with the usage.

    `known` holds the candidates that exist, `training` what must not be copied, `count` the tokens of
    a text (None: an estimate of four characters a token). Demonstrations come back in canonical form.
    """
    parent = packet.parent.components
    try:
        _check_names(proposal, packet)
        given = _with_known_demonstrations(proposal.components, packet)
        child = {name: given.get(name, text) for name, text in parent.items()}
        changed = [name for name, text in child.items() if text.strip() != parent[name].strip()]
        if not changed:
            raise Rejected(Reason.UNCHANGED, "the texts are the parent's")
        prose = {n: text for n, text in parent.items() if not is_demonstrations(packet.surface, n)}
        written = [name for name in changed if name in prose]
        for name in written:
            _check_whole(name, child[name], parent[name])
            _check_placeholders(name, child[name], packet)
        _check_new(child, packet, known)
        _check_length(child, packet.surface, count)
        texts = training if isinstance(training, TrainingTexts) else TrainingTexts(training)
        _check_copies([child[name] for name in written], prose.values(), texts, proposal.demonstrations)
    except Rejected as rejection:
        raise Rejected(
            rejection.reason, rejection.detail, usage=proposal.usage, transcript=proposal.transcript
        ) from None
    return child


def _check_names(proposal: Proposal, packet: Packet) -> None:
    parent = packet.parent.components
    for name, text in proposal.components.items():
        if name not in parent:
            raise Rejected(Reason.UNKNOWN_COMPONENT, f"the parent has no component {name!r}")
        if name not in packet.targets and text != parent[name]:
            raise Rejected(Reason.UNKNOWN_COMPONENT, f"component {name!r} was not to be edited")


def _with_known_demonstrations(given: Mapping[str, str], packet: Packet) -> dict[str, str]:
    """The proposal's texts; demonstrations are of training examples that may be shown, and nothing else."""
    texts = dict(given)
    for name, text in given.items():
        if is_demonstrations(packet.surface, name) and text != packet.parent.components[name]:
            try:
                texts[name] = checked(text, name, packet)
            except ValueError as error:
                raise Rejected(Reason.BAD_DEMONSTRATIONS, f"component {name!r}: {error}") from None
    return texts


def _check_whole(name: str, text: str, parent: str) -> None:
    if not text.strip():
        raise Rejected(Reason.EMPTY, f"component {name!r} would be empty")
    if _open_fence(text) and not _open_fence(parent):
        raise Rejected(Reason.TRUNCATED, f"component {name!r} ends inside a code block")
    if _OPEN_PLACEHOLDER.search(text) and not _OPEN_PLACEHOLDER.search(parent):
        raise Rejected(Reason.TRUNCATED, f"component {name!r} ends inside a placeholder")
    # Models that are asked for the whole like to answer with the part that they looked at.
    if f"\n{text.strip()}\n" in parent.strip():
        raise Rejected(
            Reason.TRUNCATED, f"component {name!r} is an excerpt of the current text, nothing else"
        )


def _check_new(child: Mapping[str, str], packet: Packet, known: Collection[CandidateId]) -> None:
    parent, identity = packet.parent.components, content_id(child)
    why = packet.tried.get(identity)
    if why is None:
        same = (t for t in packet.rejected if {**parent, **t.components} == child)
        why = next((tried.reason for tried in same), None)
    if why is not None:
        raise Rejected(Reason.REPEATED, f"tried from this parent before: {why}")
    if identity in known:
        raise Rejected(Reason.DUPLICATE, f"these texts are candidate {identity}")


# -- length ---------------------------------------------------------------------------------------


def estimated_tokens(text: str) -> int:
    """Four characters a token: an estimate, good for English to a fifth or so."""
    return math.ceil(len(text) / 4)


def _check_length(child: Mapping[str, str], surface: Surface, count: Callable[[str], int] | None) -> None:
    tokens = {name: (count or estimated_tokens)(text) for name, text in child.items()}
    how = "" if count else ", estimated at four characters a token"
    for name, limit in surface.component_tokens.items():
        if tokens.get(name, 0) > limit:
            said = f"component {name!r} has {tokens[name]} tokens{how}; its limit is {limit}"
            raise Rejected(Reason.TOO_LONG, said)
    if surface.max_tokens is not None and sum(tokens.values()) > surface.max_tokens:
        raise Rejected(
            Reason.TOO_LONG, f"{sum(tokens.values())} tokens{how}; the limit is {surface.max_tokens}"
        )


def _open_fence(text: str) -> bool:
    """True if the text ends inside a code block."""
    fence = ""
    for line in text.split("\n"):
        run = _FENCE.match(line)
        if run and not fence:
            fence = run[1]
        elif run and run[1].startswith(fence) and not run[2].strip():
            fence = ""
    return bool(fence)


_FENCE = re.compile(r" {0,3}(`{3,})([^`]*)$")


# -- placeholders ---------------------------------------------------------------------------------


_OPEN_PLACEHOLDER = re.compile(r"(?<!\{)\{[A-Za-z_][A-Za-z0-9_]*\Z")


def _check_placeholders(name: str, text: str, packet: Packet) -> None:
    """What must survive is there, and where texts are patterns nothing is there that nobody fills."""
    surface = packet.surface.placeholders
    required, present = surface.get(name, ()), placeholders(text)
    lost = [hole for hole in required if hole not in present]
    if lost:
        raise Rejected(Reason.PLACEHOLDER_LOST, f"component {name!r} lost {_braced(lost)}")
    if name not in surface or not any(surface.values()):
        return
    fillable = {*required, *placeholders(packet.parent.components[name])}
    invented = [hole for hole in present if hole not in fillable]
    if invented:
        raise Rejected(
            Reason.PLACEHOLDER_INVENTED, f"component {name!r} has {_braced(invented)}, which nobody fills"
        )


def _braced(names: Iterable[str]) -> str:
    return ", ".join("{" + name + "}" for name in names)


# -- copies ---------------------------------------------------------------------------------------


def _check_copies(
    new: Sequence[str], parent: Iterable[str], training: TrainingTexts, demonstrations: Collection[str]
) -> None:
    """No run of a training input or expected answer, unless the parent or a demonstration has it."""
    copy = training.copied(new, [*parent, *training.said_by(demonstrations)])
    if copy:
        raise Rejected(Reason.COPIED_TRAINING_TEXT, f"a training example says {copy!r} too")
