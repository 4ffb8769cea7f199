"""Guards: what turns a proposal down before it costs a rollout."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

from paretune.core.candidate import CandidateId, content_id
from paretune.core.canonical import JsonValue
from paretune.core.errors import ParetuneError
from paretune.core.rollout import Usage
from paretune.propose.base import Evidence, Packet, Proposal

COPIED_WORDS = 8
COPIED_CHARACTERS = 50
"""A run of so many words, or so many characters, is a copy and no coincidence."""

_FRAME_AT_LEAST = 4


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
    training: Sequence[Evidence | str] = (),
    count: Callable[[str], int] | None = None,
) -> dict[str, str]:
    """The child's texts, all components in the parent's order. Raises Rejected, with the usage.

    `known` holds the candidates that exist, `training` what must not be copied, `count` the tokens of
    a text (None: an estimate of four characters a token).
    """
    parent = packet.parent.components
    try:
        _check_names(proposal, packet)
        child = {name: proposal.components.get(name, text) for name, text in parent.items()}
        changed = [name for name, text in child.items() if text.strip() != parent[name].strip()]
        if not changed:
            raise Rejected(Reason.UNCHANGED, "the texts are the parent's")
        for name in changed:
            _check_whole(name, child[name], parent[name])
            _check_placeholders(name, child[name], packet)
        _check_new(child, packet, known)
        _check_length(child, packet.surface.max_tokens, count)
        _check_copies([child[name] for name in changed], parent.values(), training, proposal.demonstrations)
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


def _check_length(child: Mapping[str, str], limit: int | None, count: Callable[[str], int] | None) -> None:
    if limit is None:
        return
    tokens = sum(map(count or estimated_tokens, child.values()))
    if tokens > limit:
        how = "" if count else ", estimated at four characters a token"
        raise Rejected(Reason.TOO_LONG, f"{tokens} tokens{how}; the limit is {limit}")


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


_PLACEHOLDER = re.compile(r"(?<!\{)(\{+)([A-Za-z_][A-Za-z0-9_]*)\}")
_OPEN_PLACEHOLDER = re.compile(r"(?<!\{)\{[A-Za-z_][A-Za-z0-9_]*\Z")


def placeholders(text: str) -> tuple[str, ...]:
    """The `{name}` placeholders of a text, each once, in order.

    Names are identifiers. Doubled braces stand for themselves, as in `str.format`, and braces around
    anything else, as in JSON, are text.
    """
    found = (match[2] for match in _PLACEHOLDER.finditer(text) if len(match[1]) % 2)
    return tuple(dict.fromkeys(found))


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
    new: Sequence[str],
    parent: Iterable[str],
    training: Sequence[Evidence | str],
    demonstrations: Collection[str],
) -> None:
    """No run of a training input or expected answer, unless the parent or a demonstration has it.

    Case and spaces do not count. What most training texts have in common is the task's frame (its list
    of labels, say), which is nobody's answer.
    """
    shown = [e for e in training if isinstance(e, Evidence) and e.example in demonstrations]
    allowed = [*parent, *(text for e in shown for text in (e.input, e.expected))]
    secret = _by_example(training)
    for view, length in ((_words, COPIED_WORDS), (_characters, COPIED_CHARACTERS)):
        fresh = _runs(map(view, new), length) - _runs(map(view, allowed), length)
        if not fresh:
            continue
        copied = _copied(fresh, [[view(text) for text in texts] for texts in secret], length)
        if copied:
            quote = "".join(copied) if view is _characters else " ".join(copied)
            raise Rejected(Reason.COPIED_TRAINING_TEXT, f"a training example says {quote!r} too")


def _by_example(training: Iterable[Evidence | str]) -> list[set[str]]:
    """The texts of each example once, however often it was rolled out."""
    texts: dict[str, set[str]] = {}
    for e in training:
        own = {e} if isinstance(e, str) else {e.input, e.expected}
        texts.setdefault(e if isinstance(e, str) else e.example, set()).update(own)
    return [set(own) for own in dict.fromkeys(map(frozenset, texts.values()))]


_Run = tuple[str, ...] | str


def _words(text: str) -> _Run:
    return tuple(text.casefold().split())


def _characters(text: str) -> _Run:
    return " ".join(text.casefold().split())


def _runs(texts: Iterable[_Run], length: int) -> set[_Run]:
    return {text[i : i + length] for text in texts for i in range(len(text) - length + 1)}


def _copied(fresh: set[_Run], examples: list[list[_Run]], length: int) -> _Run | None:
    """A run of `fresh` that an example has, and not so many that it is no example's own."""
    halves = _runs(fresh, length // 2)
    holders: Counter[_Run] = Counter()
    for texts in examples:
        holders.update({run for text in texts for run in _shared(text, fresh, halves, length)})
    most = len(examples) / 2 if len(examples) >= _FRAME_AT_LEAST else math.inf
    return min((run for run, count in holders.items() if count <= most), default=None)


def _shared(text: _Run, fresh: set[_Run], halves: set[_Run], length: int) -> Iterator[_Run]:
    """The runs of `fresh` within a text. Every run holds a half that starts at a multiple of a half."""
    half = length // 2
    for anchor in range(0, len(text) - half + 1, half):
        if text[anchor : anchor + half] in halves:
            for start in range(max(0, anchor + half - length), anchor + 1):
                if text[start : start + length] in fresh:
                    yield text[start : start + length]
