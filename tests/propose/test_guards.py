"""Guards: what is turned down, and what must not be."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretune.core.candidate import Candidate, content_id
from paretune.core.rollout import Usage
from paretune.propose.base import Evidence, Packet, Proposal, Surface, Tried
from paretune.propose.copies import IndexedTexts, TrainingTexts
from paretune.propose.diff import by_component, pieces, unified, words
from paretune.propose.guards import Reason, Rejected, check, placeholders

PARENT = {"system": "Answer the question about {topic}.", "user": "{query}"}
SURFACE = Surface(placeholders={"system": ("topic",), "user": ("query",)})


def packet(
    parent: Mapping[str, str] = PARENT,
    targets: Sequence[str] = ("system",),
    surface: Surface = SURFACE,
    rejected: Sequence[Tried] = (),
) -> Packet:
    return Packet(Candidate(parent), tuple(targets), (), surface, rejected=tuple(rejected))


def refused(texts: Mapping[str, str], packet: Packet, **known: Any) -> Reason:
    usage, transcript = Usage(7, 8, 0.5), {"answer": "said"}
    with pytest.raises(Rejected) as caught:
        check(Proposal(texts, usage=usage, transcript=transcript), packet, **known)
    assert (caught.value.usage, caught.value.transcript) == (usage, transcript)
    assert caught.value.detail
    return caught.value.reason


def passes(text: str, parent: str = "Say it.", **known: Any) -> bool:
    """False if this one text, in place of the parent's and with no placeholders anywhere, is a copy."""
    alone = packet({"system": parent}, surface=Surface())
    reason = None
    try:
        assert check(Proposal({"system": text}), alone, **known) == {"system": text}
    except Rejected as rejection:
        reason = rejection.reason
    assert reason in (None, Reason.COPIED_TRAINING_TEXT)
    return reason is None


def test_the_child_has_all_components_in_the_parent_s_order() -> None:
    child = check(Proposal({"system": "Be brief about {topic}."}), packet())
    assert list(child.items()) == [("system", "Be brief about {topic}."), ("user", "{query}")]


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ({}, Reason.UNCHANGED),
        (PARENT, Reason.UNCHANGED),
        ({"system": PARENT["system"] + "\n"}, Reason.UNCHANGED),
        ({"system": " \n"}, Reason.EMPTY),
        ({"other": "x"}, Reason.UNKNOWN_COMPONENT),
        ({"user": "Q: {query}"}, Reason.UNKNOWN_COMPONENT),
        ({"system": "Be brief."}, Reason.PLACEHOLDER_LOST),
        ({"system": "Be brief about {{topic}}."}, Reason.PLACEHOLDER_LOST),
        ({"system": "Be brief about { topic }."}, Reason.PLACEHOLDER_LOST),
        ({"system": "{topic} {query}"}, Reason.PLACEHOLDER_INVENTED),
        ({"system": "{topic}, answer as {label}"}, Reason.PLACEHOLDER_INVENTED),
        ({"system": "{topic}\n```json\n{}"}, Reason.TRUNCATED),
        ({"system": "{topic} and {top"}, Reason.TRUNCATED),
    ],
)
def test_refused(texts: dict[str, str], reason: Reason) -> None:
    assert refused(texts, packet()) is reason


@pytest.mark.parametrize(
    "text",
    [
        '{topic} as JSON: {"label": "x", "n": {"a": 1}}',
        "{topic} twice: {topic}",
        "{topic} with {{literal}} braces and {} and {0} and {two words}",
        "{topic}\n```json\n{}\n```",
        "{topic}\n````\n```\n````",
        "Begin about {topic} with {",
    ],
)
def test_passed(text: str) -> None:
    assert check(Proposal({"system": text}), packet())["system"] == text


def test_texts_that_are_no_patterns_may_hold_any_braces() -> None:
    assert passes("def f(x): return f'{x} {y}'")


def test_in_a_pattern_a_message_without_placeholders_gets_none() -> None:
    surface = Surface(placeholders={"system": (), "user": ("query",)})
    told = packet({"system": "Be good.", "user": "{query}"}, surface=surface)
    assert refused({"system": "Be good: {answer}"}, told) is Reason.PLACEHOLDER_INVENTED


def test_tried_and_known_texts_are_not_tried_again() -> None:
    new = {"system": "Shorter: {topic}"}
    tried = packet(rejected=[Tried({}, "unfenced"), Tried(new, "not_improved: 1 before, 0 after")])
    assert refused(new, tried) is Reason.REPEATED
    whole = packet(rejected=[Tried({**PARENT, **new}, "not_improved")])
    assert refused(new, whole) is Reason.REPEATED
    long_ago = replace(packet(), tried={content_id({**PARENT, **new}): "not_improved"})
    assert refused(new, long_ago) is Reason.REPEATED
    assert refused(new, packet(), known={content_id({**PARENT, **new})}) is Reason.DUPLICATE
    assert check(Proposal(new), packet(rejected=[Tried({}, "unfenced")]), known={content_id(PARENT)})


def test_length_is_of_the_whole_candidate() -> None:
    tight = packet(surface=Surface(SURFACE.placeholders, max_tokens=10))
    assert check(Proposal({"system": "{topic}" + "x" * 25}), tight)
    assert refused({"system": "{topic}" + "x" * 26}, tight) is Reason.TOO_LONG
    assert check(Proposal({"system": "{topic}" + "x" * 99}), tight, count=lambda text: 5)
    with pytest.raises(Rejected, match="12 tokens; the limit is 10"):
        check(Proposal({"system": "{topic}!"}), tight, count=lambda text: 6)
    with pytest.raises(Rejected, match="estimated"):
        check(Proposal({"system": "{topic}" + "x" * 99}), tight)


# -- copies ---------------------------------------------------------------------------------------

INPUT = "My card was swallowed by the machine at the station this morning, what now?"
COPY = f"Classify.\nExample: {INPUT} -> card_swallowed"


def one(text: str, example: str = "e1", expected: str = "") -> Evidence:
    return Evidence(example, 0.0, False, input=text, expected=expected)


def test_copies_of_training_inputs() -> None:
    assert not passes(COPY, training=[one(INPUT)])
    assert not passes(COPY.upper().replace(" ", "\n"), training=[one(INPUT)])
    assert not passes(COPY, training=[INPUT])
    assert passes(COPY, training=[one("something else")])
    assert passes("A card that a machine swallowed is card_swallowed.", training=[one(INPUT)])


def test_short_answers_are_no_copies_but_long_ones_are() -> None:
    assert passes("Labels: card_swallowed, card_lost.", training=[one("", expected="card_swallowed")])
    assert not passes("Say: " + INPUT, training=[one("", expected=INPUT)])


def test_what_the_parent_says_already_is_no_copy() -> None:
    assert passes(COPY + " Be brief.", COPY, training=[one(INPUT)])


def test_demonstrations_named_on_purpose_are_no_copies() -> None:
    alone = packet({"system": "Say it."}, surface=Surface())
    other = "Why did you charge me twice for the same taxi on the same evening last week?"
    both = Proposal({"system": COPY + other}, demonstrations=("e1",))
    with pytest.raises(Rejected, match="taxi"):
        check(both, alone, training=[one(INPUT), one(other, "e2")])
    assert check(both, alone, training=[one(INPUT), one(INPUT, "e3")])


FRAME = "Pick one of the labels: card_lost, card_swallowed, card_payment_fee_charged, top_up_failed."


def test_the_frame_that_most_inputs_share_is_nobody_s_answer() -> None:
    inputs = [one(f"{FRAME} {word}", f"e{n}") for n, word in enumerate(["a", "b", "c", "d"])]
    again = [one(f"{FRAME} a", "e0")] * 20
    assert passes(FRAME + " Nothing else.", training=inputs)
    assert not passes(FRAME + " Nothing else.", training=inputs[:3])
    assert not passes(FRAME + " Nothing else.", training=[*again, *(one(w, w) for w in "xyz")])


plain = st.text(alphabet="abc \n", max_size=200)
word = st.sampled_from(["eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"])


@given(st.lists(word, max_size=30), st.lists(word, min_size=8, max_size=30), st.data())
def test_eight_words_in_a_row_are_always_found(new: list[str], old: list[str], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(old) - 8))
    at = data.draw(st.integers(0, len(new)))
    copy = [*new[:at], *old[start : start + 8], *new[at:]]
    assert not passes(" ".join(copy), training=[one("  ".join(old).upper())])


@given(plain, plain)
def test_copies_are_exactly_what_a_plain_search_finds(new: str, old: str) -> None:
    def holds_run() -> bool:
        a, b = new.split(), old.split()
        seven = {tuple(b[i : i + 8]) for i in range(len(b) - 7)}
        c, d = " ".join(a), " ".join(b)
        return any(tuple(a[i : i + 8]) in seven for i in range(len(a) - 7)) or any(
            c[i : i + 50] in d for i in range(len(c) - 49)
        )

    if new.strip():
        assert passes(new, training=[one(old)]) is not holds_run()


def plainly_copied(new: str, allowed: str, examples: Sequence[set[str]]) -> set[str]:
    """All runs that are copies, by the definition: eight words, or else fifty characters."""
    different = {frozenset(own) for own in examples}
    for length, between in ((8, " "), (50, "")):

        def runs(text: str, length: int = length, between: str = between) -> set[tuple[str, ...]]:
            words = text.casefold().split()
            read = words if between else " ".join(words)
            return {tuple(read[i : i + length]) for i in range(len(read) - length + 1)}

        held = [set[tuple[str, ...]]().union(*map(runs, own)) for own in different]
        common = len(different) / 2 if len(different) >= 4 else len(different)
        fresh = runs(new) - runs(allowed)
        if found := {between.join(run) for run in fresh if 0 < sum(run in own for own in held) <= common}:
            return found
    return set()


PIECES = ["abc " * 20, "The frame of them all is a list of labels to choose from. ", "ab" * 40, *"xyz"]
pieces_of_text = st.lists(word | st.sampled_from(PIECES), max_size=12).map(" ".join)
added = st.tuples(st.sampled_from("abcdef"), pieces_of_text, pieces_of_text)


@settings(max_examples=300)
@given(st.lists(added | st.tuples(pieces_of_text, pieces_of_text), max_size=12), st.data())
def test_texts_that_are_indexed_once_are_judged_as_if_all_were_read_again(
    moves: list[tuple[str, ...]], data: st.DataObject
) -> None:
    index, examples = IndexedTexts(), dict[str, set[str]]()
    for example, *rest in moves:
        if len(rest) == 2:  # else it is a question: new text and allowed one
            examples.setdefault(example, set()).update(rest)
            index.add(example, *rest)
            continue
        said = [text for own in examples.values() for text in own]
        new = example + data.draw(st.sampled_from(["", *said]))[data.draw(st.integers(0, 9)) :]
        plain = TrainingTexts([one(t, e) for e, own in examples.items() for t in own])
        found = index.copied([new], rest)
        assert found == plain.copied([new], rest)
        copies = plainly_copied(new, rest[0], list(examples.values()))
        assert (found in copies) if copies else (found is None)


def test_a_question_to_indexed_texts_reads_none_of_those_that_have_nothing_of_it() -> None:
    class Text(str):
        __slots__ = ()
        read = 0

        def casefold(self) -> str:
            Text.read += 1
            return str.casefold(self)

    index = IndexedTexts(one(Text(f"question {n} " + f"of word {n} " * 50), str(n)) for n in range(1_000))
    Text.read = 0
    assert index.copied(["Some rules about this. " * 200], ["Some rules"]) is None
    assert Text.read == 0
    assert index.copied(["So: of word 7 of word 7 of word 7!"], ["So"]) == "of word 7 of word 7 of word"
    assert Text.read <= 2


def test_the_copy_guard_is_quick_on_long_and_dull_texts() -> None:
    began = time.monotonic()
    assert passes("a" * 20_000, "a" * 60, training=[one("a" * 20_000, str(n)) for n in range(50)])
    assert not passes("ab " * 5_000, training=[one("ab " * 5_000 + str(n), str(n)) for n in range(3)])
    many = [one(f"question {n} " + "of many words " * 50, str(n)) for n in range(1_000)]
    assert passes("Some rules about this. " * 200, training=many)
    assert time.monotonic() - began < 10


# -- placeholders ---------------------------------------------------------------------------------

name = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True)
prose = st.text(alphabet=st.characters(exclude_characters="{}"), max_size=20)


@given(st.lists(st.tuples(prose, name)), prose)
def test_every_placeholder_is_found_once_in_order(holes: list[tuple[str, str]], end: str) -> None:
    text = "".join(before + "{" + hole + "}" for before, hole in holes) + end
    assert placeholders(text) == tuple(dict.fromkeys(hole for _, hole in holes))


@given(st.dictionaries(name, st.one_of(name, st.integers(), st.lists(name)), max_size=5), st.booleans())
def test_json_and_doubled_braces_hold_no_placeholders(data: dict[str, Any], spaced: bool) -> None:
    import json

    assert placeholders(json.dumps(data, indent=2 if spaced else None)) == ()
    assert placeholders("".join("{{" + key + "}}" for key in data)) == ()


@given(st.text(alphabet="{}ab _1\n", max_size=60))
def test_what_str_format_would_ask_for_is_found(text: str) -> None:
    from string import Formatter

    try:
        asked = [field for _, field, spec, _ in Formatter().parse(text) if field and not spec]
    except ValueError:
        return
    assert {field for field in asked if field.isidentifier()} <= set(placeholders(text))


def test_braces_without_end_are_read_quickly() -> None:
    began = time.monotonic()
    assert placeholders("{" * 200_000) == ()
    assert placeholders("{a" * 100_000) == ()
    assert time.monotonic() - began < 2


@given(st.text(alphabet="topic{}` \n", max_size=30))
def test_what_is_taken_has_its_placeholders(text: str) -> None:
    try:
        child = check(Proposal({"system": text}), packet(), training=[one(INPUT)])
    except Rejected:
        return
    assert child == {**PARENT, "system": text}
    assert set(placeholders(text)) == {"topic"}


# -- differences ----------------------------------------------------------------------------------


@given(st.text(alphabet="ab c\n.", max_size=60), st.text(alphabet="ab c\n.", max_size=60))
def test_the_pieces_of_a_difference_are_the_texts(before: str, after: str) -> None:
    found = pieces(before, after)
    assert "".join(p.text for p in found if p.kind != "new") == before
    assert "".join(p.text for p in found if p.kind != "gone") == after
    assert (unified(before, after) == "") is (before == after)


def test_differences_for_people() -> None:
    assert words("Answer in words.\nBe kind.", "Answer in digits.\nBe kind.") == (
        "Answer in [-words-]{+digits+}.\nBe kind."
    )
    assert by_component({"a": "x\ny", "b": "same"}, {"a": "x\nz", "b": "same"}) == {
        "a": "--- a (before)\n+++ a (after)\n@@ -1,2 +1,2 @@\n x\n-y\n+z"
    }


def test_an_excerpt_without_beginning_and_end_is_no_edit() -> None:
    parent = "Answer the ticket.\nRULES\n- be brief\n- be kind\nEND\nAnswer only."
    packet = Packet(Candidate({"text": parent}), ("text",), (), Surface())
    for excerpt in ("- be brief\n- be kind", "RULES\n- be brief\n- be kind\nEND"):
        with pytest.raises(Rejected, match="excerpt") as rejection:
            check(Proposal({"text": excerpt}), packet)
        assert rejection.value.reason is Reason.TRUNCATED
    for edit in (
        "Answer the ticket.\nRULES\n- be brief",
        "- be kind\nEND\nAnswer only.",
        "- be kind\n- be brief",
    ):
        assert check(Proposal({"text": edit}), packet) == {"text": edit}


def test_a_component_may_have_a_length_of_its_own() -> None:
    tight = packet(surface=Surface(SURFACE.placeholders, component_tokens={"system": 8, "absent": 1}))
    assert check(Proposal({"system": "{topic}" + "x" * 25}), tight)
    assert refused({"system": "{topic}" + "x" * 26}, tight) is Reason.TOO_LONG
